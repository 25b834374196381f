"""Scoring pictures that something else restored: a folder against a folder, matched by name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.matching import check_sizes, cropped, listed, notice_of_crops
from rainkit.datasets.pairs import CLEAN_FOLDERS, RAINY_FOLDERS, PairFiles, find_matches
from rainkit.engine import Work, open_engine
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.metrics.registry import Ready
from rainkit.evaluation.rain_attributes import conditions, told
from rainkit.evaluation.scores import (
    Advance,
    Comparison,
    Conditions,
    SourceFile,
    about_metrics,
    excluded_notices,
    versions,
)
from rainkit.evaluation.scoring import Outcome, Triple, attempt, collect, oddity_notices
from rainkit.images import RGB8

__all__ = [
    "FoldersRequest",
    "Likeness",
    "evaluate_folders",
    "mixup_notices",
]


_SIDE = 16  # px of a thumbnail: rain and blur hardly show in it
_NEAR = 0.2  # of the squared distance to the own target
_FAR = 8.0  # levels, root mean square; nearer to the own target is near enough
_MOST = 5000  # pictures, since each is compared with all


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Thumbnails of a result and its target, float32 [N] without their mean."""

    restored: NDArray[np.float32]
    target: NDArray[np.float32]

    @classmethod
    def of(cls, restored: RGB8, target: RGB8) -> Likeness:
        """Of two pictures, HWC uint8 RGB."""
        return cls(_thumbnail(restored), _thumbnail(target))


def mixup_notices(dataset: str, found: Mapping[str, Likeness]) -> tuple[str, ...]:
    """One line if results look much more like another picture's target than like their own.

    Args:
        dataset: its name.
        found: by the pictures' names.
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


_JPEG = frozenset({".jpg", ".jpeg"})
_TOGETHER = 16
"""Rows of one target that one thread takes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldersRequest:
    """Score restored pictures against their targets.

    Attributes:
        restored: a folder of restored pictures, or one picture.
        target: what they should look like, matched by name.
        protocols: at least one.
        rainy: the pictures before deraining, for the input row and the gains.
        limit: pictures at most, the first ones in natural order; None = all.
        crop_to_common: cut pictures that differ in size to the common one instead of refusing them.
        metrics: what is measured besides.
        exact: compute in float64 throughout.
    """

    restored: Path
    target: Path
    protocols: tuple[Protocol, ...]
    rainy: Path | None = None
    limit: int | None = None
    crop_to_common: bool = False
    metrics: tuple[Ready, ...] = ()
    exact: bool = False


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one row."""

    name: str
    restored: ImageRef
    target: ImageRef
    rainy: ImageRef | None

    @property
    def roles(self) -> dict[str, ImageRef]:
        roles = {"restored": self.restored, "target": self.target}
        return roles | ({"rainy": self.rainy} if self.rainy is not None else {})

    def cropped(self) -> _Files:
        restored, target, *rainy = cropped([*self.roles.values()])
        return replace(self, restored=restored, target=target, rainy=next(iter(rainy), None))

    def read(self, target: Callable[[], RGB8], likeness: dict[str, Likeness]) -> Triple:
        rainy = None if self.rainy is None else self.rainy.read()
        triple = Triple(self.name, self.restored.read(), target(), rainy)
        likeness[self.name] = Likeness.of(triple.restored, triple.target)
        return triple


def evaluate_folders(request: FoldersRequest, advance: Advance | None = None) -> Comparison:
    """Score restored pictures; decoding and metrics run on several threads.

    Raises:
        UsageError: a path that does not exist, or a folder against a file.
        PairingError: files without a partner, or of another size than it.
    """
    rows = _rows(request)
    check_sizes(tuple(row.roles.values()) for row in rows)
    found: dict[_Files, Outcome] = {}
    likeness: dict[str, Likeness] = {}
    with open_engine("threads", workers=min(8, os.cpu_count() or 1)) as engine:
        for scored in engine.run(Work.calling(_score, request, likeness), _sharing(rows)):
            found |= scored.get()
            if advance is not None:
                advance(len(found), len(rows))
    outcomes = [found[row] for row in rows]
    dataset = _dataset_name(request.target.resolve())
    scores = told(collect(dataset, outcomes, request.protocols), _conditions(request, rows))
    return Comparison(
        restored=_result_name(request.restored.resolve()),
        scores=scores,
        about={"versions": versions()} | about_metrics(request.metrics),
        notices=(
            *_jpeg_notice(rows),
            *notice_of_crops(tuple(row.roles.values()) for row in rows),
            *excluded_notices(scores),
            *oddity_notices(scores),
            *mixup_notices(dataset, likeness),
        ),
        files=tuple(
            SourceFile(dataset, role, stored, row.name)
            for row in rows
            for role, stored in row.roles.items()
        ),
    )


def _rows(request: FoldersRequest) -> tuple[_Files, ...]:
    matches = find_matches(request.restored, request.target)
    if request.rainy is None:
        rows = [_Files(each.name, each.rainy, each.clean, None) for each in matches]
    else:
        # One rainy picture per restored one: matched with each other, not through the target,
        # since several rainy pictures may share a target.
        before = find_matches(request.restored, request.rainy)
        rainy = {each.rainy: each.clean for each in before}
        rows = [_Files(each.name, each.rainy, each.clean, rainy[each.rainy]) for each in matches]
    rows = rows[: request.limit]
    return tuple(row.cropped() for row in rows) if request.crop_to_common else tuple(rows)


def _sharing(rows: Sequence[_Files]) -> list[tuple[_Files, ...]]:
    """Rows by their target, which is decoded once for them; not too many for one thread."""
    groups: defaultdict[ImageRef, list[_Files]] = defaultdict(list)
    for row in rows:
        groups[row.target].append(row)
    return [
        tuple(group[start : start + _TOGETHER])
        for group in groups.values()
        for start in range(0, len(group), _TOGETHER)
    ]


def _score(
    request: FoldersRequest, likeness: dict[str, Likeness], rows: Sequence[_Files]
) -> dict[_Files, Outcome]:
    """Rows of one target."""
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


def _conditions(request: FoldersRequest, rows: Sequence[_Files]) -> dict[str, Conditions]:
    """Of rainy pictures that lie in a dataset with a manifest."""
    if request.rainy is None or not request.rainy.is_dir():
        return {}
    pairs = [PairFiles(row.name, row.rainy, row.target) for row in rows if row.rainy is not None]
    return conditions(request.rainy, pairs) or conditions(request.rainy.parent, pairs)


def _result_name(restored: Path) -> str:
    """Its own, with the parent's in front where that alone would be a row of another kind."""
    taken = {"mean", *RAINY_FOLDERS, *CLEAN_FOLDERS}
    if restored.name.casefold() in taken:
        return f"{restored.parent.name}/{restored.name}"
    return restored.name


def _dataset_name(target: Path) -> str:
    """``rain100l`` for ``rain100l/clean``: what everybody calls the pictures."""
    return target.parent.name if target.name.casefold() in CLEAN_FOLDERS else target.name


def _jpeg_notice(rows: Sequence[_Files]) -> tuple[str, ...]:
    count = sum(row.restored.path.suffix.casefold() in _JPEG for row in rows)
    if not count:
        return ()
    are = "picture is" if count == 1 else "pictures are"
    return (
        f"{count} restored {are} JPEG: compression alone costs PSNR, at quality 95 about 0.04 dB"
        " of 29 dB and 0.4 dB of 37 dB, and more at lower quality; score PNG files",
    )
