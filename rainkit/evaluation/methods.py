"""Scoring a method: derain the rainy side of datasets and compare with the clean side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rainkit import images
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.matching import check_sizes, notice_of_crops
from rainkit.datasets.pairs import Dataset, PairFiles, ReadOptions, named_datasets
from rainkit.errors import MethodError, UsageError, WeightsError
from rainkit.evaluation.cached_derainer import Restorer, RestorerRequest
from rainkit.evaluation.metrics.protocols import RGB8, Protocol
from rainkit.evaluation.metrics.registry import Ready
from rainkit.evaluation.rain_attributes import conditions, told
from rainkit.evaluation.scores import (
    Advance,
    Comparison,
    Scores,
    SourceFile,
    about_metrics,
    excluded_notices,
)
from rainkit.evaluation.scoring import (
    Outcome,
    PairArrays,
    Triple,
    attempt,
    collect,
    read_pair,
)
from rainkit.files import natural

if TYPE_CHECKING:
    from rainkit.api import Method

__all__ = [
    "MethodRequest",
    "VariantWeights",
    "evaluate_method",
    "variants_in",
]


_LAST = "last.safetensors"
"""Of a training's files, the one after its last step: as in the table of ``train --ablation``."""
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantWeights:
    """What was found.

    Attributes:
        files: weights by the name of their row: the variant, and where it lies if there are more
            of it. In the paper's order.
        notices: what was left out, and which variants of the paper are missing.
    """

    files: tuple[tuple[str, Path], ...]
    notices: tuple[str, ...]


def variants_in(folder: Path, method: Method) -> VariantWeights:
    """Find weights in a folder and below it; of a training's run folder, those of its last step.

    Args:
        folder: of weights files or run folders, such as ``rainkit train --ablation`` makes.
        method: whose variants.

    Raises:
        UsageError: not a folder, or one without weights of the method.
    """
    from rainkit.weights import open_file

    if not folder.is_dir():
        raise UsageError(f"--ablation {folder}: is not a folder; give one of weights or runs")
    by_variant: dict[str, list[Path]] = {}
    left_out = []
    for path in _weights_in(folder):
        try:
            variant = open_file(method, path).variant
        except WeightsError as error:
            left_out.append(f"left out: {error}")
        else:
            by_variant.setdefault(variant, []).append(path)
    if not by_variant:
        why = f" ({left_out[0]})" if left_out else ""
        raise UsageError(
            f"--ablation {folder}: holds no weights of {method.name}{why}; make some with"
            f" rainkit train -m {method.name} --ablation published"
        )
    order = dict.fromkeys([*method.ablation, *method.variants, *by_variant])
    files = [
        (variant if len(paths) == 1 else f"{variant} ({_place(path, folder)})", path)
        for variant in order
        for paths in [by_variant.get(variant, [])]
        for path in paths
    ]
    if missing := [variant for variant in method.ablation if variant not in by_variant]:
        left_out.append(f"{folder} holds no weights of the paper's {', '.join(missing)}")
    return VariantWeights(files=tuple(files), notices=tuple(left_out))


def _weights_in(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.rglob("*.safetensors")
        if _CHECKPOINTS not in path.relative_to(folder).parts
    ]
    runs = {path.parent for path in found if path.name == _LAST}
    chosen = [path for path in found if path.name == _LAST or path.parent not in runs]
    return sorted(chosen, key=lambda path: natural(path.as_posix()))


def _place(path: Path, folder: Path) -> str:
    """Where weights lie: their run's folder, or their own name."""
    relative = path.relative_to(folder)
    return relative.parent.as_posix() if path.name == _LAST else relative.as_posix()


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodRequest(RestorerRequest):
    """Derain the rainy side of datasets and score the results.

    Attributes:
        datasets: folders of pairs, or folders of such folders; of those that are split, the split
            ``test``.
        protocols: at least one; every picture is derained once for all.
        limit: pictures per dataset at most; None = all.
        save: folder for the derained pictures, ``<save>/<dataset>/<name>.png``.
        overwrite: replace pictures that are there.
        reading: how dataset folders are read.
        metrics: what is measured besides.
        exact: compute scores in float64 throughout.
    """

    datasets: tuple[Path, ...]
    protocols: tuple[Protocol, ...]
    limit: int | None = None
    save: Path | None = None
    overwrite: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)
    metrics: tuple[Ready, ...] = ()
    exact: bool = False


def evaluate_method(request: MethodRequest, advance: Advance | None = None) -> Comparison:
    """Derain datasets with a method and score the results, rounded to 8 bit like a saved PNG.

    Raises:
        UsageError: an unknown method, device or weights tag, or pictures that would be replaced.
        PairingError: files without a partner, or of another size than it.
        MethodError, WeightsError: the method cannot run.
    """
    datasets = tuple(
        replace(each, pairs=each.pairs[: request.limit])
        for each in named_datasets(request.datasets, prefer=("test",), options=request.reading)
    )
    _refuse_to_replace(request, datasets)
    check_sizes((pair.rainy, pair.clean) for each in datasets for pair in each.pairs)
    restorer = Restorer(request)

    total, done = sum(len(each.pairs) for each in datasets), 0
    scores: list[Scores] = []
    part_scores: dict[str, list[Scores]] = {name: [] for name in restorer.parts}
    for dataset in datasets:
        outcomes: list[Outcome] = []
        part_outcomes: dict[str, list[Outcome]] = {name: [] for name in restorer.parts}
        for pair in dataset.pairs:
            save = None if request.save is None else _saved(request.save, dataset, pair)
            made = _Made(request, restorer, dataset.name, pair, save)
            outcomes.append(_scored(request, pair, made.whole))
            for name, each in part_outcomes.items():
                each.append(_scored(request, pair, partial(made.part, name)))
            done += 1
            if advance is not None:
                advance(done, total)
        rain = conditions(dataset.root, dataset.pairs)
        scores += told(collect(dataset.name, outcomes, request.protocols), rain)
        for name, each in part_outcomes.items():
            part_scores[name] += told(collect(dataset.name, each, request.protocols), rain)
    return Comparison(
        restored=restorer.label,
        scores=tuple(scores),
        about=restorer.about | about_metrics(request.metrics) | {"versions": restorer.versions},
        notices=(*_split_notices(datasets), *_crop_notices(datasets), *excluded_notices(scores)),
        files=tuple(
            SourceFile(each.name, role, stored, pair.name)
            for each in datasets
            for pair in each.pairs
            for role, stored in _roles(each, pair, request, restorer)
        ),
        parts=tuple(
            Comparison(
                restored=f"{restorer.label}: {name}",
                scores=tuple(found),
                about=restorer.about
                | {"estimates": restorer.parts[name].estimates}
                | about_metrics(request.metrics)
                | {"versions": restorer.versions},
                part_of=restorer.label,
            )
            for name, found in part_scores.items()
            if any(each.rows for each in found)
        ),
    )


class _Made:
    """What a method makes of one picture: run once, scored as a whole and part by part."""

    def __init__(
        self,
        request: MethodRequest,
        restorer: Restorer,
        dataset: str,
        pair: PairFiles,
        save: Path | None,
    ) -> None:
        self._request = request
        self._restorer = restorer
        self._dataset = dataset
        self._pair = pair
        self._save = save
        self._arrays: PairArrays | None = None
        self._parts: dict[str, RGB8] = {}

    def whole(self) -> Triple:
        """The method's result.

        Raises:
            RainkitError: the pair cannot be read, or its result not be made or saved.
        """
        arrays = read_pair(self._pair)
        place = self._dataset, self._pair.name
        if self._restorer.parts:
            restored, ms, self._parts = self._restorer.restore_with_parts(*place, arrays.rainy)
        else:
            restored, ms = self._restorer.restore(*place, arrays.rainy)
        if self._save is not None:
            images.write(
                self._save, images.Picture(rgb=restored), overwrite=self._request.overwrite
            )
        self._arrays = arrays
        return Triple(self._pair.name, restored, arrays.clean, arrays.rainy, ms)

    def part(self, name: str) -> Triple:
        """One of its parts, after the whole.

        Raises:
            MethodError: there is none, since the network stopped before, or the whole failed.
        """
        if self._arrays is None or name not in self._parts:
            raise MethodError("it was not made")
        rainy, clean = self._arrays.rainy, self._arrays.clean
        if self._restorer.parts[name].estimates == "picture":
            return Triple(self._pair.name, self._parts[name], clean, rainy)
        rain = np.maximum(rainy.astype(np.int16) - clean, 0).astype(np.uint8)
        return Triple(self._pair.name, self._parts[name], rain)


def _scored(request: MethodRequest, pair: PairFiles, restore: Callable[[], Triple]) -> Outcome:
    return attempt(
        pair.name, restore, request.protocols, metrics=request.metrics, exact=request.exact
    )


def _roles(
    dataset: Dataset, pair: PairFiles, request: MethodRequest, restorer: Restorer
) -> Iterator[tuple[str, ImageRef]]:
    yield "rainy", pair.rainy
    yield "target", pair.clean
    if request.save is not None:
        yield "restored", ImageRef(_saved(request.save, dataset, pair))
    elif (kept := restorer.path(dataset.name, pair.name)) is not None:
        yield "restored", ImageRef(kept)


def _split_notices(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    return tuple(
        f"{each.name}: its split {each.split!r} alone is scored" for each in datasets if each.split
    )


def _crop_notices(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    return tuple(
        f"{each.name}: {notice}"
        for each in datasets
        for notice in notice_of_crops((pair.rainy, pair.clean) for pair in each.pairs)
    )


def _saved(folder: Path, dataset: Dataset, pair: PairFiles) -> Path:
    return folder / dataset.name / f"{pair.name}.png"


def _refuse_to_replace(request: MethodRequest, datasets: Iterable[Dataset]) -> None:
    """Before hours of computing, not after."""
    datasets = tuple(datasets)
    sides = {
        stored.path.parent.resolve()
        for dataset in datasets
        for pair in dataset.pairs
        for stored in (pair.rainy, pair.clean)
        if not stored.member
    }
    for option, folder in (("--save", request.save), ("--output", request.keep)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; give a folder to {option}")
        if folder is not None and any(map(folder.resolve().is_relative_to, sides)):
            raise UsageError(
                f"{folder} lies among the pictures of a dataset, and what is written there would be"
                f" taken for more of them; give another folder to {option}"
            )
    if request.save is None or request.overwrite:
        return
    for dataset in datasets:
        for pair in dataset.pairs:
            if (path := _saved(request.save, dataset, pair)).exists():
                raise UsageError(f"{path} exists; pass --overwrite, or another folder to --save")
