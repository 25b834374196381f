"""Derained pictures that are kept, so that scoring again does not run the network again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rainkit import images
from rainkit.errors import ImageError
from rainkit.evaluation.protocols import RGB8
from rainkit.ledger import Ledger

__all__ = ["Cache"]

_LEDGER = "restored.jsonl"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is known of a picture: hashes of the rainy one and of the result, and milliseconds."""

    rainy: str
    restored: str
    ms: float


class Cache:
    """The pictures of one method in a folder: ``<dataset>/<name>.png``, and a ledger of them.

    A picture is used again if the ledger tells of it and neither its own pixels, nor the rainy
    picture's, nor anything in ``key`` has changed. A run that is killed loses the picture it was
    at. While pictures are added, no other process can add any, until :meth:`close`.

    Args:
        folder: made when the first picture is kept.
        key: all that decides what a picture becomes: weights' hash, precision, tiles...
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._folder = folder
        self._key = dict(key)
        self._ledger: Ledger[_Kept] | None = None
        self._known = self._read()

    def path(self, dataset: str, name: str) -> Path:
        """Where a picture is kept."""
        return self._folder / dataset / f"{name}.png"

    def get(self, dataset: str, name: str, rainy: RGB8) -> tuple[RGB8, float] | None:
        """A derained picture and the milliseconds it once took; None if it must be made."""
        known = self._known if self._ledger is None else self._ledger.entries
        kept = known.get(f"{dataset}/{name}")
        if kept is None or kept.rainy != _digest(rainy):
            return None
        try:
            restored = np.asarray(images.read(self.path(dataset, name)).rgb)
        except ImageError:
            return None
        if restored.dtype != np.uint8 or kept.restored != _digest(restored):
            return None  # somebody else's
        return restored, kept.ms

    def put(
        self, dataset: str, name: str, rainy: RGB8, restored: RGB8, milliseconds: float
    ) -> None:
        """Keep a picture.

        Raises:
            FileError: it cannot be written.
            UsageError: another process is adding pictures.
        """
        if self._ledger is None:
            self._ledger = Ledger[_Kept].open(
                self._folder / _LEDGER,
                settings=self._key,
                encode=asdict,
                decode=_decoded,
                restart=True,
                writer="rainkit eval",
            )
        images.write(self.path(dataset, name), images.Picture(rgb=restored), overwrite=True)
        kept = _Kept(_digest(rainy), _digest(restored), milliseconds)
        self._ledger.record(f"{dataset}/{name}", kept)

    def close(self) -> None:
        """Let other processes add pictures; those that are kept remain known."""
        if self._ledger is not None:
            self._known = dict(self._ledger.entries)
            self._ledger.close()
            self._ledger = None

    def _read(self) -> Mapping[str, _Kept]:
        held = Ledger[_Kept].read(self._folder / _LEDGER, decode=_decoded)
        return held.done if held is not None and held.is_of(self._key) else {}


def _decoded(data: Any) -> _Kept:
    return _Kept(str(data["rainy"]), str(data["restored"]), float(data["ms"]))


def _digest(picture: RGB8) -> str:
    """Of pixels and size."""
    shape = repr(picture.shape).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).hexdigest()
