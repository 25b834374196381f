"""Files of a mix: taking pictures over, and what is known of the whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit import images
from rainkit.datasets.folder import read_json, remove_temporary, write_json
from rainkit.datasets.pairs import PairFiles
from rainkit.datasets.plan import pixel_hash
from rainkit.datasets.stored import Stored
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.files import atomic_path

__all__ = ["MIX", "Chosen", "admit", "begin", "finish", "take"]

MIX = "mix.json"
"""Name of the file that says what a mix was made of."""

_UNFINISHED = "mix-unfinished.json"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A pair to take over: its new name, the source's name, and its pictures."""

    name: str
    source: str
    pair: PairFiles

    @property
    def input(self) -> str:
        """Where the rainy picture goes."""
        return f"input/{self.name}{_suffix(self.pair.rainy)}"

    @property
    def target(self) -> str:
        """Where the clean picture goes."""
        return f"target/{self.name}{_suffix(self.pair.clean)}"


def admit(
    out: Path, about: Mapping[str, Any], chosen: Sequence[Chosen], *, overwrite: bool
) -> None:
    """See whether a mix may be written to a folder: it is empty, or holds the same one unfinished.

    Raises:
        UsageError: it may not.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder to write to")
    if overwrite or not out.exists() or not any(out.iterdir()):
        return
    held = read_json(out / _UNFINISHED)
    if not isinstance(held, dict):
        raise UsageError(f"{out} is not empty: add --overwrite, or name another folder")
    if held.get("plan") != _plan(about, chosen):
        raise UsageError(
            f"{out} holds another mix, unfinished: repeat its command to finish it, or add "
            "--overwrite to start again"
        )


def begin(out: Path, about: Mapping[str, Any], chosen: Sequence[Chosen]) -> set[str]:
    """Note down what is going to be made; files of an earlier mix, which are not to stay.

    Raises:
        ImageError: the folder cannot be written to.
    """
    former = _listed(read_json(out / MIX)) | _listed(read_json(out / _UNFINISHED))
    files = {name for each in chosen for name in (each.input, each.target)}
    plan = _plan(about, chosen)
    write_json(out / _UNFINISHED, {"plan": plan, "files": sorted(files | former)})
    (out / MIX).unlink(missing_ok=True)
    return former


def take(out: Path, chosen: Chosen, *, copy: bool) -> tuple[str, str] | str:
    """Take a pair over; SHA-256 of the pixels of both pictures, or why it cannot be read.

    Raises:
        ImageError: a file cannot be written.
    """
    pair = chosen.pair
    try:
        rainy, clean = pair.rainy.read(), pair.clean.read()
    except (DatasetError, ImageError) as error:
        return str(error)
    if rainy.shape != clean.shape:
        (h, w), (high, wide) = rainy.shape[:2], clean.shape[:2]
        return f"{pair.rainy}: {w}x{h}, but its clean picture is {wide}x{high}"
    for stored, rgb, place in (
        (pair.clean, clean, chosen.target),
        (pair.rainy, rainy, chosen.input),
    ):
        path = out / place
        if not _is_file(stored):
            images.write(path, images.Picture(rgb), overwrite=True)
        elif copy or not _linked(stored.path, path):
            with atomic_path(path, overwrite=True) as temporary:
                shutil.copyfile(stored.path, temporary)
    return pixel_hash(rainy), pixel_hash(clean)


def finish(
    out: Path,
    about: Mapping[str, Any],
    done: Iterable[tuple[Chosen, tuple[str, str]]],
    former: Iterable[str],
) -> None:
    """Write ``mix.json`` and delete files of an earlier mix that are not in this one.

    Raises:
        ImageError: it cannot be written.
    """
    pairs = [
        {
            "name": each.name,
            "source": each.source,
            "pair": each.pair.name,
            "input": each.input,
            "target": each.target,
            "sha256": {"input": hashes[0], "target": hashes[1]},
        }
        for each, hashes in done
    ]
    kept = {pair[side] for pair in pairs for side in ("input", "target")}
    for name in set(former) - kept:
        path = out / name
        # The names come from a file: nothing outside the dataset is ever removed.
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)
    remove_temporary(out)
    write_json(out / MIX, {**about, "pairs": pairs})
    (out / _UNFINISHED).unlink(missing_ok=True)


def _is_file(stored: Stored) -> bool:
    """A picture in a file of its own."""
    return not stored.member and not stored.half


def _suffix(stored: Stored) -> str:
    return stored.path.suffix if _is_file(stored) else ".png"


def _linked(source: Path, path: Path) -> bool:
    """Make a hard link; False where the file system will not have it."""
    with suppress(OSError):
        if path.exists() and path.samefile(source):
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.link(source.resolve(), path)
        return True
    return False


def _plan(about: Mapping[str, Any], chosen: Sequence[Chosen]) -> str:
    """What must be equal to go on with a mix."""
    pairs = [[each.name, str(each.pair.rainy), str(each.pair.clean)] for each in chosen]
    return hashlib.sha256(json.dumps([about, pairs], sort_keys=True).encode()).hexdigest()


def _listed(held: Any) -> set[str]:
    """Files that a list names: of a finished mix, or of one that is not."""
    if not isinstance(held, dict):
        return set()
    pairs = held.get("pairs", [])
    return {*held.get("files", ()), *(pair[side] for pair in pairs for side in ("input", "target"))}
