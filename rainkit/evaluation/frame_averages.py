"""Scoring averages of the frames of static scenes, beside methods that need one frame.

Pictures of a dataset that share a clean picture are the frames of a scene.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path

import numpy as np

from rainkit.choices import unknown
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import check_sizes
from rainkit.datasets.pairs import Dataset, PairFiles, ReadOptions
from rainkit.datasets.sequences import average_frames
from rainkit.errors import UsageError
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.metrics.registry import LoadedMetric
from rainkit.evaluation.rain_attributes import rain_attributes, with_attributes
from rainkit.evaluation.scores import (
    Advance,
    Comparison,
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
    scored_datasets,
)
from rainkit.images import RGB8

__all__ = ["AveragesRequest", "check_averages", "evaluate_averages", "parse_average"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragesRequest:
    """Score averages of frames.

    Attributes:
        datasets: folders of pairs, as for methods.
        protocols: at least one.
        by: ``mean`` or ``median``.
        frames: the number of frames of an average, from the scored one on, around to the scene's
            first; None for all frames of the scene.
        limit: the number of pictures of each dataset; None for all. Averages are still of frames
            beyond it.
        reading: how dataset folders are read.
        metrics: what is measured beside PSNR and SSIM.
        exact: compute scores in float64 throughout.
    """

    datasets: tuple[Path, ...]
    protocols: tuple[Protocol, ...]
    by: str
    frames: int | None = None
    limit: int | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    metrics: tuple[LoadedMetric, ...] = ()
    exact: bool = False


_ROWS = ("parts", "published", "mean", "median")


def parse_average(text: str) -> tuple[str, int | None]:
    """Return ``median`` or ``mean=5`` as the kind of average and its number of frames.

    Raises:
        UsageError: it is neither.
    """
    by, _, count = text.partition("=")
    if by in ("mean", "median"):
        if not count and "=" not in text:
            return by, None
        if count.isdecimal() and int(count) >= 2:
            return by, int(count)
        raise UsageError(f"--also {text}: write {by}=5 for 5 frames; 2 is the least")
    raise unknown("--also", text, (*_ROWS, "mean=5", "median=5"))


def check_averages(request: AveragesRequest) -> None:
    """Refuse datasets that have no averages, before anything is computed.

    Raises:
        UsageError: no two pictures share a clean one, or a scene has fewer frames than asked for.
        PairingError: files without a partner, or of another size than others of their scene.
    """
    for dataset in _datasets(request):
        _check(dataset.name, _scenes(dataset.pairs), request)


def evaluate_averages(request: AveragesRequest, advance: Advance | None = None) -> Comparison:
    """Score each frame's average over its scene.

    Raises:
        UsageError, PairingError: as :func:`check_averages`.
    """
    check_averages(request)
    whole = _datasets(request)
    scored = {each.name: each.pairs[: request.limit] for each in whole}
    scenes = {each.name: _scenes(each.pairs) for each in whole}
    total, done = sum(map(len, scored.values())), 0
    scores: list[Scores] = []
    for dataset in whole:
        outcomes: dict[str, Outcome] = {}
        for clean, frames in scenes[dataset.name].items():
            for pair, restore in _averages_of(clean, frames, scored[dataset.name], request):
                outcomes[pair.name] = attempt(
                    pair.name,
                    restore,
                    request.protocols,
                    metrics=request.metrics,
                    exact=request.exact,
                )
                done += 1
                if advance is not None:
                    advance(done, total)
        in_order = [outcomes[pair.name] for pair in scored[dataset.name]]
        scores += with_attributes(
            collect(dataset.name, in_order, request.protocols),
            rain_attributes(dataset.root, scored[dataset.name]),
        )
    of = "all frames" if request.frames is None else f"{request.frames} frames"
    return Comparison(
        restored=f"{request.by} of {of}",
        scores=tuple(scores),
        about={
            "average": {
                "by": request.by,
                "frames": request.frames,
                "frames_of_a_scene": {
                    name: max(map(len, own.values())) for name, own in scenes.items()
                },
            },
            "versions": versions(),
        }
        | about_metrics(request.metrics),
        notices=(*dataset_notices(whole), *excluded_notices(scores)),
        files=tuple(
            SourceFile(name, role, stored, pair.name)
            for name, pairs in scored.items()
            for pair in pairs
            for role, stored in (("rainy", pair.rainy), ("target", pair.clean))
        ),
    )


def _datasets(request: AveragesRequest) -> tuple[Dataset, ...]:
    return scored_datasets(request.datasets, request.reading)


_Scenes = dict[ImageRef, tuple[PairFiles, ...]]


def _scenes(pairs: Sequence[PairFiles]) -> _Scenes:
    """Group pairs by their clean picture."""
    found: defaultdict[ImageRef, list[PairFiles]] = defaultdict(list)
    for pair in pairs:
        found[pair.clean].append(pair)
    return {clean: tuple(frames) for clean, frames in found.items()}


def _check(name: str, scenes: _Scenes, request: AveragesRequest) -> None:
    check_sizes((clean, *(pair.rainy for pair in frames)) for clean, frames in scenes.items())
    least = min(map(len, scenes.values()))
    if max(map(len, scenes.values())) < 2:
        raise UsageError(
            f"--also {request.by}: {name} has no two pictures of one scene, which share their"
            " clean picture"
        )
    if request.frames is not None and least < request.frames:
        frames = "1 frame" if least == 1 else f"{least} frames"
        raise UsageError(
            f"--also {request.by}={request.frames}: a scene of {name} has {frames}; ask for fewer"
        )


def _averages_of(
    clean: ImageRef,
    frames: Sequence[PairFiles],
    scored: Sequence[PairFiles],
    request: AveragesRequest,
) -> list[tuple[PairFiles, partial[Triple]]]:
    """Return the scored frames of one scene, each with a function that makes its average."""
    wanted = {pair.name for pair in scored}
    scene = _Scene(clean, frames, request.by, request.frames)
    return [
        (pair, partial(scene.averaged, place))
        for place, pair in enumerate(frames)
        if pair.name in wanted
    ]


class _Scene:
    """The frames of a scene, each of which is read once and kept as long as it may be needed.

    If a frame cannot be read, it is not tried again: all pictures of its scene fail alike.
    """

    def __init__(
        self, clean: ImageRef, frames: Sequence[PairFiles], by: str, count: int | None
    ) -> None:
        self._frames = frames
        self._by = by
        self._count = count
        self._target = cache(clean.read)
        self._rainy = lru_cache(count or 1)(lambda place: frames[place].rainy.read())
        self._whole: RGB8 | None = None
        self._problem: Exception | None = None

    def averaged(self, place: int) -> Triple:
        """Return the average from one frame on, with the frame itself.

        Raises:
            ImageError, DatasetError: a picture of the scene cannot be read.
        """
        if self._problem is not None:
            raise self._problem
        try:
            average, rainy = self._average(place), self._rainy(place)
            return Triple(self._frames[place].name, average, self._target(), rainy)
        except Exception as error:
            self._problem = error
            raise

    def _average(self, place: int) -> RGB8:
        if self._count is not None:
            around = [(place + i) % len(self._frames) for i in range(self._count)]
            return np.asarray(
                average_frames([self._rainy(each) for each in around], self._by), np.uint8
            )
        if self._whole is None:
            frames = [each.rainy.read() for each in self._frames]
            self._whole = np.asarray(average_frames(frames, self._by), np.uint8)
        return self._whole
