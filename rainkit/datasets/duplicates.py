"""Duplicates: scenes that two sets share, or that one set holds several times."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from rainkit import images
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import listed
from rainkit.datasets.pairs import CLEAN_FOLDERS, RAINY_FOLDERS, find_datasets
from rainkit.datasets.phash import LIMIT, components, phash, pixel_hash
from rainkit.engine import Failed, Work, open_engine, paying_workers
from rainkit.errors import PairingError, UsageError
from rainkit.files import write_text

__all__ = [
    "AuditRequest",
    "AuditResult",
    "CleanImages",
    "HashedImage",
    "Leak",
    "OnProgress",
    "Overlap",
    "audit",
    "common_names",
    "find_clean",
    "hash_images",
    "near_hashes",
    "write_clean_list",
]


OnProgress = Callable[[int, int], None]
"""Called with the number of pictures done and their total."""


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """Sets to compare with each other, or one to search for scenes that it holds twice.

    Attributes:
        sets: folders of pairs, whose clean pictures are compared, or of photographs.
        limit: number of bits in which hashes of one scene may differ.
        photos: take every folder as photographs, even if it could hold pairs.
        clean_list: file that :func:`write_clean_list` is to write; None for no file.
        overwrite: replace an existing ``clean_list``.
        workers: number of processes; None for as many as pay.

    Raises:
        UsageError: A value is wrong, or the list exists.
    """

    sets: tuple[Path, ...]
    limit: int = LIMIT
    photos: bool = False
    clean_list: Path | None = None
    overwrite: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        if not self.sets:
            raise UsageError("no set given: name one folder or more")
        if not 0 <= self.limit < 32:
            raise UsageError(
                f"--limit {self.limit}: must be 0 to 31, since different scenes differ in more bits"
            )
        resolved = [each.resolve() for each in self.sets]
        if len(set(resolved)) < len(resolved):
            raise UsageError("a set is given twice: name a single set to search it for duplicates")
        if self.clean_list is not None and self.clean_list.exists() and not self.overwrite:
            raise UsageError(
                f"--write-clean {self.clean_list}: exists; add --overwrite, or name another file"
            )


@dataclass(frozen=True, slots=True)
class Leak:
    """Two files that show one scene.

    Attributes:
        a: a file.
        b: another file.
        distance: number of the 64 bits in which their hashes differ.
    """

    a: str
    b: str
    distance: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """The scenes that two sets share, or that one set holds twice.

    Attributes:
        a: name of a set.
        b: name of the other set, or of the same one.
        pictures_a: number of different clean pictures in ``a``.
        pictures_b: number of different clean pictures in ``b``.
        shared_a: number of pictures of ``a`` whose scene is in ``b`` too.
        shared_b: number of pictures of ``b`` whose scene is in ``a`` too.
        leaks: pairs of files, nearest first. Every file that shows a shared scene is in one.
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
    """The result of an audit.

    Attributes:
        limit: number of bits in which hashes of one scene may differ.
        pictures: number of different clean pictures in each set, by its name.
        overlaps: one for every two sets, or one for a single set with itself.
        usable: files of the first set that show no scene of the other sets, or of a single set
            those of one picture of each scene. Each entry is a photograph, or a rainy and a clean
            file, or one file that holds both, named relative to the set's folder.
        failures: files that could not be read, each with the reason.
    """

    limit: int
    pictures: Mapping[str, int]
    overlaps: tuple[Overlap, ...]
    usable: tuple[tuple[str, ...], ...] = ()
    failures: tuple[tuple[str, str], ...] = field(default=())

    @property
    def leaks(self) -> int:
        """Number of pairs of files that show one scene."""
        return sum(len(overlap.leaks) for overlap in self.overlaps)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "limit": self.limit,
            "pictures": dict(self.pictures),
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
            "failures": [{"file": name, "reason": reason} for name, reason in self.failures],
        }


def audit(request: AuditRequest, on_progress: OnProgress | None = None) -> AuditResult:
    """Compare the clean pictures of all sets.

    Files with equal pixels in one set of pairs count as one picture, since a scene may have many
    rains. In a single folder of photographs they count as duplicates.

    Raises:
        UsageError: A folder is missing, empty, or holds rainy pictures alone.
        DatasetError, PairingError: Pairs cannot be made out.
    """
    found = [find_clean(path, photos=request.photos) for path in request.sets]
    total = sum(len(each.clean) for each in found)
    sets: dict[str, tuple[HashedImage, ...]] = {}
    failures: list[tuple[str, str]] = []
    done = 0
    for name, pictures in zip(common_names(request.sets), found, strict=True):

        def tell(count: int, _: int, before: int = done) -> None:
            if on_progress is not None:
                on_progress(before + count, total)

        sets[name], failed = hash_images(pictures.clean, workers=request.workers, on_progress=tell)
        failures += failed
        done += len(pictures.clean)
    first, *others = sets.values()
    if others:
        overlaps = [
            _between(a, sets[a], b, sets[b], request.limit) for a, b in combinations(sets, 2)
        ]
        theirs = [one.phash for other in others for one in other]
        leaking = {
            i for i, _, _ in near_hashes([one.phash for one in first], theirs, request.limit)
        }
        fair = [one for i, one in enumerate(first) if i not in leaking]
    else:
        copies = not found[0].rainy
        overlaps = [_within(next(iter(sets)), first, request.limit, copies=copies)]
        groups = components([one.phash for one in first], request.limit)
        fair = [one for i, one in enumerate(first) if groups[i] == i]
        if copies:
            fair = [replace(one, files=one.files[:1]) for one in fair]
    return AuditResult(
        limit=request.limit,
        pictures={name: len(hashed) for name, hashed in sets.items()},
        overlaps=tuple(overlaps),
        usable=tuple(_lines(found[0], fair)),
        failures=tuple(failures),
    )


def write_clean_list(result: AuditResult, path: Path, *, overwrite: bool = False) -> None:
    """Write the files that may be used, one entry a line, with a tab between rainy and clean.

    In the folder of a set of pairs, such a list is read as a list of SPA-Data's layout.

    Raises:
        FileError: The file exists and ``overwrite`` is False, or it cannot be written.
    """
    text = "".join("\t".join(line) + "\n" for line in result.usable)
    # Names that are not UTF-8 keep their bytes, so that the list finds the files.
    write_text(path, text, overwrite=overwrite, errors="surrogateescape")


def _lines(pictures: CleanImages, fair: Iterable[HashedImage]) -> Iterator[tuple[str, ...]]:
    """Yield the files of pictures in the order in which they were found."""
    kept = {file for one in fair for file in one.files}
    for clean in pictures.clean:
        if clean not in kept:
            continue
        for rainy in pictures.rainy.get(clean, (clean,)):
            both = (rainy, clean)
            names = (_relative(replace(each, half="", crop=None), pictures.root) for each in both)
            yield tuple(dict.fromkeys(names))


def _relative(file: ImageRef, root: Path) -> str:
    return str(replace(file, path=Path(os.path.relpath(file.path, root))))


def _between(
    a: str, in_a: Sequence[HashedImage], b: str, in_b: Sequence[HashedImage], limit: int
) -> Overlap:
    pairs = near_hashes((one.phash for one in in_a), (one.phash for one in in_b), limit)
    leaks = [leak for i, j, apart in pairs for leak in _leaks(in_a[i], in_b[j], apart)]
    return Overlap(
        a=a,
        b=b,
        pictures_a=len(in_a),
        pictures_b=len(in_b),
        shared_a=len({i for i, _, _ in pairs}),
        shared_b=len({j for _, j, _ in pairs}),
        leaks=_sorted(leaks),
    )


def _within(name: str, hashed: Sequence[HashedImage], limit: int, *, copies: bool) -> Overlap:
    bits = [one.phash for one in hashed]
    pairs = [(i, j, apart) for i, j, apart in near_hashes(bits, bits, limit) if i < j]
    leaks = [leak for i, j, apart in pairs for leak in _leaks(hashed[i], hashed[j], apart)]
    shared = {index for i, j, _ in pairs for index in (i, j)}
    if copies:
        leaks += [
            Leak(str(one.files[0]), str(other), 0) for one in hashed for other in one.files[1:]
        ]
        shared |= {index for index, one in enumerate(hashed) if len(one.files) > 1}
    return Overlap(
        a=name,
        b=name,
        pictures_a=len(hashed),
        pictures_b=len(hashed),
        shared_a=len(shared),
        shared_b=len(shared),
        leaks=_sorted(leaks),
    )


def _leaks(a: HashedImage, b: HashedImage, distance: int) -> Iterator[Leak]:
    """Yield every file of two pictures of one scene, each at least once."""
    for file in a.files:
        yield Leak(str(file), str(b.files[0]), distance)
    for file in b.files[1:]:
        yield Leak(str(a.files[0]), str(file), distance)


def _sorted(leaks: Iterable[Leak]) -> tuple[Leak, ...]:
    return tuple(sorted(dict.fromkeys(leaks), key=lambda leak: leak.distance))


@dataclass(frozen=True, slots=True)
class CleanImages:
    """The clean pictures of a folder.

    Attributes:
        root: the folder.
        clean: the clean pictures, each file once.
        rainy: the rainy pictures of each clean one; empty for photographs.
    """

    root: Path
    clean: tuple[ImageRef, ...]
    rainy: Mapping[ImageRef, Sequence[ImageRef]] = field(default_factory=dict)


def find_clean(root: Path, *, photos: bool = False) -> CleanImages:
    """Find the clean pictures of a folder of pairs, or all pictures of another folder.

    Args:
        root: the folder.
        photos: take it as photographs, even if it could hold pairs.

    Raises:
        UsageError: The folder is missing, empty, or by its name holds rainy pictures alone.
        DatasetError, PairingError: Pairs cannot be made out.
    """
    if photos or not root.is_dir():
        return _all_images(root)
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
        return _all_images(root)
    if beside := sets[0].beside:
        raise PairingError(
            f"{listed([str(path) for path in beside])}: pictures, but no pairs, beside those of"
            f" {root}; name each dataset by itself, or add --photos"
        )
    rainy: defaultdict[ImageRef, list[ImageRef]] = defaultdict(list)
    for each in sets:
        for pair in each.pairs:
            rainy[pair.clean].append(pair.rainy)
    return CleanImages(root, tuple(rainy), rainy)


def _all_images(root: Path) -> CleanImages:
    folder = root if root.is_dir() else root.parent
    return CleanImages(folder, tuple(ImageRef(each.path) for each in images.find([root])))


@dataclass(frozen=True, slots=True)
class HashedImage:
    """A picture that may be stored in several files.

    Attributes:
        phash: its perceptual hash.
        pixels: SHA-256 of its pixels in hex.
        files: the files, at least one.
    """

    phash: int
    pixels: str
    files: tuple[ImageRef, ...]


def hash_images(
    pictures: Sequence[ImageRef],
    *,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[tuple[HashedImage, ...], tuple[tuple[str, str], ...]]:
    """Hash pictures.

    Args:
        pictures: the pictures to read.
        workers: number of processes; None for as many as pay.
        on_progress: called after each picture.

    Returns:
        The different pictures in the order given, and each file that cannot be read with the
        reason.
    """
    hashed: dict[tuple[int, str], list[ImageRef]] = {}
    failures = []
    count = paying_workers(len(pictures), workers, len(pictures))
    with open_engine(workers=count) as engine:
        outcomes = engine.run(Work.calling(_hash), pictures)
        for done, outcome in enumerate(outcomes, start=1):
            if isinstance(outcome, Failed):
                failures.append((str(outcome.item), outcome.reason))
            else:
                hashed.setdefault(outcome.value, []).append(outcome.item)
            if on_progress is not None:
                on_progress(done, len(pictures))
    return (
        tuple(HashedImage(bits, pixels, tuple(files)) for (bits, pixels), files in hashed.items()),
        tuple(failures),
    )


def _hash(picture: ImageRef) -> tuple[int, str]:
    rgb = picture.read()
    return phash(rgb), pixel_hash(rgb)


def near_hashes(
    a: Iterable[int], b: Iterable[int], limit: int = LIMIT
) -> list[tuple[int, int, int]]:
    """Return which hashes are at most ``limit`` bits apart.

    Returns:
        For each two such hashes the index in ``a``, the index in ``b``, and the distance.
    """
    others = np.fromiter(b, np.uint64)
    found = []
    for i, bits in enumerate(a):
        apart = np.bitwise_count(others ^ np.uint64(bits))
        found += [(i, int(j), int(apart[j])) for j in np.flatnonzero(apart <= limit)]
    return found


def common_names(paths: Sequence[Path]) -> list[str]:
    """Return as many last parts of each path as tell them all apart."""
    parts = [path.resolve().parts for path in paths]
    length = 1
    while len({each[-length:] for each in parts}) < len(parts):
        length += 1
    return ["/".join(each[-length:]) for each in parts]
