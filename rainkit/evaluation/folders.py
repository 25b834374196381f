"""Scoring pictures that something else restored, against a folder or beside methods.

Pictures are matched by name. A check of likeness notices results whose names were swapped.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import (
    check_sizes,
    cropped_to_common,
    listed,
    match_by_name,
    notice_of_crops,
    pictures_in,
)
from rainkit.datasets.pairs import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    Dataset,
    PairFiles,
    ReadOptions,
    find_matches,
)
from rainkit.engine import Work, open_engine
from rainkit.errors import PairingError, UsageError
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.metrics.registry import LoadedMetric
from rainkit.evaluation.rain_attributes import rain_attributes, with_attributes
from rainkit.evaluation.scores import (
    Advance,
    Comparison,
    RainAttributes,
    Scores,
    SourceFile,
    about_metrics,
    excluded_notices,
    versions,
)
from rainkit.evaluation.scoring import (
    Outcome,
    Triple,
    attempt,
    collect,
    dataset_notices,
    oddity_notices,
    scored_datasets,
)
from rainkit.images import RGB8

__all__ = [
    "FoldersRequest",
    "Likeness",
    "RestoredFiles",
    "RestoredRequest",
    "check_folders",
    "evaluate_folders",
    "evaluate_restored",
    "folder_labels",
    "restored_rows",
    "swapped_name_notices",
]


_SIDE = 16  # px of a thumbnail: rain and blur hardly show in it
_NEAR = 0.2  # of the squared distance to the own target
_FAR = 8.0  # levels, root mean square; nearer to the own target is near enough
_MOST = 5000  # pictures; each is compared with all others


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Thumbnails of a result and its target, float32 [N] without their means."""

    restored: NDArray[np.float32]
    target: NDArray[np.float32]

    @classmethod
    def of(cls, restored: RGB8, target: RGB8) -> Likeness:
        """Return the thumbnails of two pictures, HWC uint8 RGB."""
        return cls(_thumbnail(restored), _thumbnail(target))


def swapped_name_notices(dataset: str, found: Mapping[str, Likeness]) -> tuple[str, ...]:
    """Return a line if results look much more like another picture's target than like their own.

    Args:
        dataset: name of the dataset.
        found: thumbnails by the pictures' names.
    """
    if not 1 < len(found) <= _MOST:
        return ()
    names = list(found)
    restored = np.stack([found[name].restored for name in names])
    targets = np.stack([found[name].target for name in names])
    squares = (restored**2).sum(axis=1)[:, None] + (targets**2).sum(axis=1)[None]
    distances = (squares - 2 * restored @ targets.T) / restored.shape[1]
    own = distances.diagonal()
    nearest = distances.argmin(axis=1)
    least = distances[np.arange(len(names)), nearest]
    odd = np.flatnonzero((own > _FAR**2) & (least < _NEAR * own))
    if not len(odd):
        return ()
    likes = listed([f"{names[i]} like {names[nearest[i]]}" for i in odd])
    looks = "picture looks" if len(odd) == 1 else "pictures look"
    return (
        f"{dataset}: {len(odd)} of {len(names)} restored {looks} like the target of another:"
        f" {likes}; were they saved under each other's names?",
    )


def _thumbnail(rgb: RGB8) -> NDArray[np.float32]:
    step = max(1, min(rgb.shape[:2]) // (4 * _SIDE))  # averaging all pixels would take longer
    rgb = np.ascontiguousarray(rgb[::step, ::step])
    small = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(small - small.mean(axis=(0, 1)), np.float32).ravel()


_SPLITS = frozenset({"train", "val", "test"})
_JPEG = frozenset({".jpg", ".jpeg"})
_TOGETHER = 16
"""Number of rows of one target that one thread scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldersRequest:
    """Score restored pictures against their targets.

    Attributes:
        restored: a folder of restored pictures, or one picture.
        target: the folder or picture of what they should look like; names must match.
        protocols: at least one.
        rainy: the pictures before deraining, for the input row and the gains.
        label: name of the row in tables; None for the restored folder's name.
        limit: the number of pictures, from the first in natural order; None for all.
        crop_to_common: cut pictures that differ in size to their common size instead of refusing
            them.
        metrics: what is measured besides.
        exact: compute in float64 throughout.
    """

    restored: Path
    target: Path
    protocols: tuple[Protocol, ...]
    rainy: Path | None = None
    label: str | None = None
    limit: int | None = None
    crop_to_common: bool = False
    metrics: tuple[LoadedMetric, ...] = ()
    exact: bool = False


@dataclass(frozen=True, slots=True)
class RestoredFiles:
    """The files of one row: a restored picture, its target, and the rainy picture if known."""

    name: str
    restored: ImageRef
    target: ImageRef
    rainy: ImageRef | None

    @property
    def roles(self) -> dict[str, ImageRef]:
        """The files by their role."""
        roles = {"restored": self.restored, "target": self.target}
        return roles | ({"rainy": self.rainy} if self.rainy is not None else {})

    def cropped(self) -> RestoredFiles:
        """Return the files cut to their common size."""
        restored, target, *rainy = cropped_to_common([*self.roles.values()])
        return replace(self, restored=restored, target=target, rainy=next(iter(rainy), None))

    def read(self, target: Callable[[], RGB8], likeness: dict[str, Likeness]) -> Triple:
        """Read the files; ``likeness`` keeps what the check for swapped names compares."""
        rainy = None if self.rainy is None else self.rainy.read()
        triple = Triple(self.name, self.restored.read(), target(), rainy)
        likeness[self.name] = Likeness.of(triple.restored, triple.target)
        return triple


def check_folders(request: FoldersRequest) -> None:
    """Check that the pictures are there and pair up.

    Raises:
        UsageError, PairingError: as :func:`evaluate_folders`.
    """
    _rows(request)


def evaluate_folders(request: FoldersRequest, advance: Advance | None = None) -> Comparison:
    """Score restored pictures; decoding and metrics run on several threads.

    Raises:
        UsageError: a path that does not exist, or a folder against a file.
        PairingError: files without a partner, or of another size than it.
    """
    rows, notices = _rows(request)
    dataset = _dataset_name(request.target.resolve())
    label = request.label or _result_name(request.restored.resolve())
    known = {dataset: _attributes(request, rows)}
    return _evaluated(label, {dataset: rows}, request, known, advance, notices)


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoredRequest:
    """Score pictures that were restored elsewhere from the rainy side of datasets.

    Attributes:
        restored: their folder. It holds a folder for each dataset, or the pictures themselves if
            there is a single dataset; pictures have the names that scores give them.
        datasets: folders of pairs, as for methods.
        protocols: at least one.
        label: name of the row in tables; None for the folder's name.
        limit: the number of pictures of each dataset; None for all.
        reading: how dataset folders are read.
        metrics: what is measured besides.
        exact: compute scores in float64 throughout.
    """

    restored: Path
    datasets: tuple[Path, ...]
    protocols: tuple[Protocol, ...]
    label: str | None = None
    limit: int | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    metrics: tuple[LoadedMetric, ...] = ()
    exact: bool = False


def evaluate_restored(request: RestoredRequest, advance: Advance | None = None) -> Comparison:
    """Score restored pictures beside methods, on the pictures that these are scored on.

    Raises:
        UsageError: the folder does not exist, or has no folder for one of several datasets.
        PairingError: a picture of a dataset has no restored one, or one of another size.
    """
    datasets = scored_datasets(request.datasets, request.reading, request.limit)
    rows = restored_rows(request.restored, datasets, request.reading)
    known = {each.name: rain_attributes(each.root, each.pairs) for each in datasets}
    label = request.label or _result_name(request.restored.resolve())
    return _evaluated(label, rows, request, known, advance, dataset_notices(datasets))


def restored_rows(
    folder: Path, datasets: Sequence[Dataset], reading: ReadOptions
) -> dict[str, tuple[RestoredFiles, ...]]:
    """Find the restored pictures of datasets, by name; the result is by the datasets' names.

    Raises:
        UsageError, PairingError: as :func:`evaluate_restored`.
    """
    if not folder.is_dir():
        raise UsageError(
            f"--restored {folder}: is not a folder; give a folder of restored pictures"
        )
    found: dict[str, tuple[RestoredFiles, ...]] = {}
    for dataset in datasets:
        home = folder / dataset.name
        if not home.is_dir():
            if len(datasets) > 1:
                raise UsageError(
                    f"--restored {folder}: holds no folder {dataset.name}; with several datasets,"
                    " give a folder that holds one for each"
                )
            home = folder
        index: defaultdict[str, list[Path]] = defaultdict(list)
        for path in pictures_in(home):
            index[path.relative_to(home).with_suffix("").as_posix()].append(path)
        if several := [str(path) for paths in index.values() for path in paths[1:]]:
            raise PairingError(f"{home}: more than one picture of a name: {listed(several)}")
        if missing := [pair.name for pair in dataset.pairs if pair.name not in index]:
            raise PairingError(
                f"{home}: has no picture for {len(missing)} of {dataset.name}: {listed(missing)};"
                " names must match"
            )
        rows = [
            RestoredFiles(pair.name, ImageRef(index[pair.name][0]), pair.clean, pair.rainy)
            for pair in dataset.pairs
        ]
        found[dataset.name] = tuple(
            row.cropped() if reading.crop_to_common else row for row in rows
        )
    return found


def _evaluated(
    label: str,
    rows: Mapping[str, Sequence[RestoredFiles]],
    request: FoldersRequest | RestoredRequest,
    known: Mapping[str, Mapping[str, RainAttributes]],
    advance: Advance | None,
    found_before: Sequence[str],
) -> Comparison:
    """Score the rows of each dataset."""
    check_sizes(tuple(row.roles.values()) for own in rows.values() for row in own)
    done, total = 0, sum(map(len, rows.values()))
    scores: list[Scores] = []
    notices: list[str] = []
    with open_engine("threads", workers=min(8, os.cpu_count() or 1)) as engine:
        for dataset, own in rows.items():
            found: dict[RestoredFiles, Outcome] = {}
            likeness: dict[str, Likeness] = {}
            for scored in engine.run(Work.calling(_score, request, likeness), _sharing(own)):
                found |= scored.get()
                if advance is not None:
                    advance(done + len(found), total)
            done += len(own)
            outcomes = [found[row] for row in own]
            scores += with_attributes(collect(dataset, outcomes, request.protocols), known[dataset])
            notices += swapped_name_notices(dataset, likeness)
    every = [row for own in rows.values() for row in own]
    return Comparison(
        restored=label,
        scores=tuple(scores),
        about={"versions": versions()} | about_metrics(request.metrics),
        notices=(
            *found_before,
            *_jpeg_notice(every),
            *notice_of_crops(tuple(row.roles.values()) for row in every),
            *excluded_notices(scores),
            *oddity_notices(scores),
            *notices,
        ),
        files=tuple(
            SourceFile(dataset, role, stored, row.name)
            for dataset, own in rows.items()
            for row in own
            for role, stored in row.roles.items()
        ),
    )


def _rows(request: FoldersRequest) -> tuple[tuple[RestoredFiles, ...], tuple[str, ...]]:
    matches = find_matches(request.restored, request.target)
    scored = [each.rainy.path for each in matches]
    notices: tuple[str, ...] = ()
    if request.restored.is_dir() and (aside := {*pictures_in(request.restored)} - {*scored}):
        notices = (
            "not scored, since they are taken for what the results beside them were made of:"
            f" {listed([str(path) for path in aside])}",
        )
    if request.rainy is None:
        rows = [RestoredFiles(each.name, each.rainy, each.clean, None) for each in matches]
    else:
        # One rainy picture per restored one: matched with each other, not through the target,
        # since several rainy pictures may share a target.
        before = (
            match_by_name(
                request.restored, scored, request.rainy, pictures_in(request.rainy), results=True
            )
            if request.restored.is_dir() and request.rainy.is_dir()
            else find_matches(request.restored, request.rainy)
        )
        rainy = {each.rainy: each.clean for each in before}
        rows = [
            RestoredFiles(each.name, each.rainy, each.clean, rainy[each.rainy]) for each in matches
        ]
    rows = rows[: request.limit]
    if request.crop_to_common:
        rows = [row.cropped() for row in rows]
    return tuple(rows), notices


def _sharing(rows: Sequence[RestoredFiles]) -> list[tuple[RestoredFiles, ...]]:
    """Group rows by their target, which is decoded once for a group, into pieces for threads."""
    groups: defaultdict[ImageRef, list[RestoredFiles]] = defaultdict(list)
    for row in rows:
        groups[row.target].append(row)
    return [
        tuple(group[start : start + _TOGETHER])
        for group in groups.values()
        for start in range(0, len(group), _TOGETHER)
    ]


def _score(
    request: FoldersRequest | RestoredRequest,
    likeness: dict[str, Likeness],
    rows: Sequence[RestoredFiles],
) -> dict[RestoredFiles, Outcome]:
    """Score the rows of one target."""
    target = cache(rows[0].target.read)
    return {
        row: attempt(
            row.name,
            partial(row.read, target, likeness),
            request.protocols,
            metrics=request.metrics,
            exact=request.exact,
        )
        for row in rows
    }


def _attributes(
    request: FoldersRequest, rows: Sequence[RestoredFiles]
) -> dict[str, RainAttributes]:
    """Return the rain attributes of rainy pictures that lie in a dataset with a manifest."""
    if request.rainy is None or not request.rainy.is_dir():
        return {}
    pairs = [PairFiles(row.name, row.rainy, row.target) for row in rows if row.rainy is not None]
    rainy = request.rainy.absolute()
    places = (rainy, rainy.parent, rainy.parent.parent)  # the last one if the dataset is split
    return next((found for place in places if (found := rain_attributes(place, pairs))), {})


def folder_labels(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return the row names of folders of restored pictures, different ones if possible.

    The parent's name is put in front where the folder's own would be that of another row.
    """
    names = [_result_name(folder.resolve()) for folder in folders]
    return tuple(
        f"{folder.resolve().parent.name}/{folder.resolve().name}" if names.count(name) > 1 else name
        for folder, name in zip(folders, names, strict=True)
    )


def _result_name(restored: Path) -> str:
    """Return the folder's name, with the parent's in front if it is that of another kind of row."""
    taken = {"mean", *RAINY_FOLDERS, *CLEAN_FOLDERS}
    if restored.name.casefold() in taken:
        return f"{restored.parent.name}/{restored.name}"
    return restored.name


def _dataset_name(target: Path) -> str:
    """Return the dataset's name, as if the dataset itself were scored.

    It is ``rain100l`` for ``rain100l/clean`` and for ``rain100l/test/clean``.
    """
    if target.name.casefold() not in CLEAN_FOLDERS:
        return target.name
    home = target.parent
    return home.parent.name if home.name.casefold() in _SPLITS else home.name


def _jpeg_notice(rows: Sequence[RestoredFiles]) -> tuple[str, ...]:
    count = sum(row.restored.path.suffix.casefold() in _JPEG for row in rows)
    if not count:
        return ()
    are = "picture is" if count == 1 else "pictures are"
    return (
        f"{count} restored {are} JPEG: compression alone costs PSNR, at quality 95 about 0.04 dB"
        " of 29 dB and 0.4 dB of 37 dB, and more at lower quality; score PNG files",
    )
