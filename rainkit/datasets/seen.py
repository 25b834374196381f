"""Looking at the clean pictures of a set: which of them are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rainkit import images
from rainkit.datasets.pairs import CLEAN_FOLDERS, RAINY_FOLDERS, find_datasets
from rainkit.datasets.phash import LIMIT, phash
from rainkit.datasets.plan import pixel_hash
from rainkit.datasets.stored import Stored
from rainkit.engine import Failed, Work, open_engine, paying_workers
from rainkit.errors import PairingError, UsageError

__all__ = ["OnProgress", "Seen", "clean_pictures", "common_names", "look", "near"]

OnProgress = Callable[[int, int], None]
"""Called with how many pictures of how many are done."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture: its hashes, and where it is stored, which may be in several places."""

    phash: int
    pixels: str
    places: tuple[Stored, ...]


def clean_pictures(root: Path, *, photos: bool) -> tuple[list[Stored], bool]:
    """Clean pictures of a folder of pairs, each file once, or all pictures of another folder.

    Also whether they come from pairs.

    Args:
        root: the folder.
        photos: take it as photographs, even if pairs might be seen in it.

    Raises:
        UsageError: no such folder, nothing in it, or by its name rainy pictures alone.
        DatasetError, PairingError: pairs that cannot be made out.
    """
    if photos or not root.is_dir():
        return [Stored(each.path) for each in images.find([root])], False
    try:
        sets = find_datasets(root)
    except PairingError:
        inside = {path.name.casefold() for path in root.rglob("*")}
        folders = inside & RAINY_FOLDERS and inside & CLEAN_FOLDERS
        if folders or any(name.startswith(("norain-", "norain_")) for name in inside):
            raise  # pairs, but not whole
        if root.resolve().name.casefold() in RAINY_FOLDERS:
            raise UsageError(
                f"{root}: rainy pictures, by its name; name the dataset, its clean folder, or add "
                "--photos"
            ) from None
        return [Stored(each.path) for each in images.find([root])], False
    return list(dict.fromkeys(pair.clean for each in sets for pair in each.pairs)), True


def look(
    pictures: Sequence[Stored],
    *,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[tuple[Seen, ...], tuple[tuple[str, str], ...]]:
    """Hash pictures: the different ones in the order given, and file and reason of what failed.

    Args:
        pictures: to read.
        workers: processes; None for as many as pay.
        on_progress: called after each picture.
    """
    hashed: dict[Stored, tuple[int, str] | str] = {}
    count = paying_workers(len(pictures), workers, len(pictures))
    with open_engine(workers=count) as engine:
        for outcome in engine.run(Work.calling(_hash), pictures):
            hashed[outcome.item] = outcome.reason if isinstance(outcome, Failed) else outcome.value
            if on_progress is not None:
                on_progress(len(hashed), len(pictures))
    held: dict[tuple[int, str], list[Stored]] = {}
    failures = []
    for picture in pictures:
        result = hashed[picture]
        if isinstance(result, str):
            failures.append((str(picture), result))
        else:
            held.setdefault(result, []).append(picture)
    seen = tuple(Seen(bits, pixels, tuple(places)) for (bits, pixels), places in held.items())
    return seen, tuple(failures)


def near(a: Iterable[int], b: Iterable[int], limit: int = LIMIT) -> list[tuple[int, int, int]]:
    """Pairs of hashes at most ``limit`` bits apart: index in ``a``, index in ``b``, distance."""
    others = np.fromiter(b, np.uint64)
    found = []
    for i, bits in enumerate(a):
        apart = np.bitwise_count(others ^ np.uint64(bits))
        found += [(i, int(j), int(apart[j])) for j in np.flatnonzero(apart <= limit)]
    return found


def common_names(paths: Sequence[Path]) -> list[str]:
    """Last parts of paths, all different, and as many more parts as that takes."""
    parts = [path.resolve().parts for path in paths]
    length = 1
    while len({each[-length:] for each in parts}) < len(parts):
        length += 1
    return ["/".join(each[-length:]) for each in parts]


def _hash(picture: Stored) -> tuple[int, str]:
    """Both hashes of a picture."""
    rgb = picture.read()
    return phash(rgb), pixel_hash(rgb)
