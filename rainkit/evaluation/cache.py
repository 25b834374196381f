"""Derained pictures that are kept, so that scoring again does not run the network again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rainkit import images
from rainkit.errors import ImageError
from rainkit.evaluation.protocols import RGB8

__all__ = ["Cache"]

_LEDGER = "restored.jsonl"


class Cache:
    """The pictures of one method in a folder: ``<dataset>/<name>.png``, and a ledger of them.

    A picture is used again if the ledger tells of it and neither its own pixels, nor the rainy
    picture's, nor anything in ``key`` has changed. A run that is killed loses the picture it was
    at.

    Args:
        folder: made when the first picture is kept.
        key: all that decides what a picture becomes: weights' hash, precision, tiles...
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._folder = folder
        self._key = json.loads(json.dumps(key))
        self._known = self._read()
        self._fresh = not self._known

    def path(self, dataset: str, name: str) -> Path:
        """Where a picture is kept."""
        return self._folder / dataset / f"{name}.png"

    def get(self, dataset: str, name: str, rainy: RGB8) -> tuple[RGB8, float] | None:
        """A derained picture and the milliseconds it once took; None if it must be made."""
        entry = self._known.get(f"{dataset}/{name}")
        if entry is None or entry.get("rainy") != _digest(rainy):
            return None
        try:
            restored = np.asarray(images.read(self.path(dataset, name)).rgb)
        except ImageError:
            return None
        if restored.dtype != np.uint8 or entry.get("restored") != _digest(restored):
            return None  # somebody else's
        return restored, float(entry["ms"])

    def put(
        self, dataset: str, name: str, rainy: RGB8, restored: RGB8, milliseconds: float
    ) -> None:
        """Keep a picture.

        Raises:
            ImageError: it cannot be written.
        """
        images.write(self.path(dataset, name), images.Picture(rgb=restored), overwrite=True)
        entry = {
            "picture": f"{dataset}/{name}",
            "rainy": _digest(rainy),
            "restored": _digest(restored),
            "ms": milliseconds,
        }
        lines = [json.dumps({"key": self._key}), json.dumps(entry)]
        ledger = self._folder / _LEDGER
        try:
            with ledger.open("w" if self._fresh else "a", encoding="utf-8") as file:
                file.write("\n".join(lines if self._fresh else lines[1:]) + "\n")
        except OSError as error:
            raise ImageError(f"{ledger}: cannot be written ({error.strerror})") from error
        self._fresh = False

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            lines = (self._folder / _LEDGER).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return {}
        known: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut off by a kill
            if number == 0 and entry.get("key") != self._key:
                return {}
            if {"picture", "rainy", "ms"} <= entry.keys():
                known[entry["picture"]] = entry
        return known


def _digest(picture: RGB8) -> str:
    """Of pixels and size."""
    shape = repr(picture.shape).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).hexdigest()
