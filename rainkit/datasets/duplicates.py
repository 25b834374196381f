"""Pictures that two sets share, or that one set holds twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from rainkit import images
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairs import CLEAN_FOLDERS, RAINY_FOLDERS, find_datasets
from rainkit.datasets.phash import LIMIT, phash, pixel_hash
from rainkit.engine import Failed, Work, open_engine, paying_workers
from rainkit.errors import PairingError, UsageError

__all__ = [
    "AuditRequest",
    "AuditResult",
    "Leak",
    "OnProgress",
    "Overlap",
    "Seen",
    "audit",
    "clean_pictures",
    "common_names",
    "look",
    "near",
]


OnProgress = Callable[[int, int], None]
"""Called with how many pictures of how many are done."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture: its hashes, and where it is stored, which may be in several places."""

    phash: int
    pixels: str
    places: tuple[ImageRef, ...]


def clean_pictures(root: Path, *, photos: bool) -> tuple[list[ImageRef], bool]:
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
        return [ImageRef(each.path) for each in images.find([root])], False
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
        return [ImageRef(each.path) for each in images.find([root])], False
    return list(dict.fromkeys(pair.clean for each in sets for pair in each.pairs)), True


def look(
    pictures: Sequence[ImageRef],
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
    hashed: dict[ImageRef, tuple[int, str] | str] = {}
    count = paying_workers(len(pictures), workers, len(pictures))
    with open_engine(workers=count) as engine:
        for outcome in engine.run(Work.calling(_hash), pictures):
            hashed[outcome.item] = outcome.reason if isinstance(outcome, Failed) else outcome.value
            if on_progress is not None:
                on_progress(len(hashed), len(pictures))
    held: dict[tuple[int, str], list[ImageRef]] = {}
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


def _hash(picture: ImageRef) -> tuple[int, str]:
    """Return both hashes of a picture."""
    rgb = picture.read()
    return phash(rgb), pixel_hash(rgb)


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """Sets to compare with each other, or one to search for pictures it has twice.

    Attributes:
        sets: folders of pairs, of which the clean pictures are looked at, or of photographs.
        limit: bits in which hashes of one scene may differ.
        photos: take every folder as photographs, even if pairs might be seen in it.
        workers: processes; None for as many as pay.
    """

    sets: tuple[Path, ...]
    limit: int = LIMIT
    photos: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if not self.sets:
            raise UsageError("no set given; name one folder or more")
        if not 0 <= self.limit < 32:
            raise UsageError(f"--limit {self.limit}: bits from 0 to 31; different scenes have more")
        resolved = [each.resolve() for each in self.sets]
        if len(set(resolved)) < len(resolved):
            raise UsageError("a set is given twice; name a single set to search it for duplicates")


@dataclass(frozen=True, slots=True)
class Leak:
    """Two files that show one scene, and in how many bits of 64 their hashes differ."""

    a: str
    b: str
    distance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """What two sets share; ``a`` equals ``b`` for what one set has twice.

    Attributes:
        a: name of a set.
        b: name of another one.
        pictures_a: how many different clean pictures it has.
        pictures_b: likewise.
        shared_a: how many of them are in the other set too.
        shared_b: likewise.
        leaks: the pairs of files, nearest first.
    """

    a: str
    b: str
    pictures_a: int
    pictures_b: int
    shared_a: int
    shared_b: int
    leaks: tuple[Leak, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """What was found.

    Attributes:
        limit: bits in which hashes of one scene may differ.
        pictures: clean pictures of each set, by its name.
        overlaps: of every two sets, or of the only one with itself.
        failures: files that could not be read, and why.
    """

    limit: int
    pictures: Mapping[str, int]
    overlaps: tuple[Overlap, ...]
    failures: tuple[tuple[str, str], ...] = field(default=())

    @property
    def leaks(self) -> int:
        """How many pairs of files show one scene."""
        return sum(len(overlap.leaks) for overlap in self.overlaps)

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "limit": self.limit,
            "pictures": dict(self.pictures),
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
            "failures": [{"file": name, "reason": reason} for name, reason in self.failures],
        }


def audit(request: AuditRequest, on_progress: OnProgress | None = None) -> AuditResult:
    """Compare the clean pictures of all sets.

    Files with equal pixels in one set of pairs count as one picture, the target of a scene's many
    rains. Among the photographs of a single folder they are told of.

    Raises:
        UsageError: no such folder, nothing in it, or rainy pictures alone.
        DatasetError, PairingError: pairs that cannot be made out.
    """
    found = [clean_pictures(path, photos=request.photos) for path in request.sets]
    total = sum(len(pictures) for pictures, _ in found)
    sets: dict[str, tuple[Seen, ...]] = {}
    failures: list[tuple[str, str]] = []
    done = 0
    for name, (pictures, _) in zip(common_names(request.sets), found, strict=True):

        def tell(count: int, _: int, before: int = done) -> None:
            if on_progress is not None:
                on_progress(before + count, total)

        sets[name], failed = look(pictures, workers=request.workers, on_progress=tell)
        failures += failed
        done += len(pictures)
    if len(sets) == 1:
        ((name, seen),) = sets.items()
        overlaps = [_within(name, seen, request.limit, copies=not found[0][1])]
    else:
        overlaps = [
            _between(a, sets[a], b, sets[b], request.limit) for a, b in combinations(sets, 2)
        ]
    return AuditResult(
        limit=request.limit,
        pictures={name: len(seen) for name, seen in sets.items()},
        overlaps=tuple(overlaps),
        failures=tuple(failures),
    )


def _between(a: str, seen_a: Sequence[Seen], b: str, seen_b: Sequence[Seen], limit: int) -> Overlap:
    pairs = near((one.phash for one in seen_a), (one.phash for one in seen_b), limit)
    leaks = [
        Leak(str(seen_a[i].places[0]), str(seen_b[j].places[0]), apart) for i, j, apart in pairs
    ]
    return Overlap(
        a=a,
        b=b,
        pictures_a=len(seen_a),
        pictures_b=len(seen_b),
        shared_a=len({i for i, _, _ in pairs}),
        shared_b=len({j for _, j, _ in pairs}),
        leaks=tuple(sorted(leaks, key=lambda leak: leak.distance)),
    )


def _within(name: str, seen: Sequence[Seen], limit: int, *, copies: bool) -> Overlap:
    bits = [one.phash for one in seen]
    pairs = [(i, j, apart) for i, j, apart in near(bits, bits, limit) if i < j]
    leaks = [Leak(str(seen[i].places[0]), str(seen[j].places[0]), apart) for i, j, apart in pairs]
    shared = {index for i, j, _ in pairs for index in (i, j)}
    if copies:
        leaks += [
            Leak(str(one.places[0]), str(other), 0) for one in seen for other in one.places[1:]
        ]
        shared |= {index for index, one in enumerate(seen) if len(one.places) > 1}
    return Overlap(
        a=name,
        b=name,
        pictures_a=len(seen),
        pictures_b=len(seen),
        shared_a=len(shared),
        shared_b=len(shared),
        leaks=tuple(sorted(leaks, key=lambda leak: leak.distance)),
    )
