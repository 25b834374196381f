"""Scoring methods: choose them, derain the rainy side of datasets, compare with the clean side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rainkit import plugins
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import check_sizes, notice_of_crops
from rainkit.datasets.pairs import Dataset, PairFiles, ReadOptions
from rainkit.engine import Engine, Failed, Work
from rainkit.errors import MethodError, UsageError, WeightsError
from rainkit.evaluation.cached_derainer import (
    CachedDerainer,
    Card,
    DerainerRequest,
    FarCache,
    Kept,
)
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.metrics.registry import LoadedMetric
from rainkit.evaluation.rain_attributes import rain_attributes, with_attributes
from rainkit.evaluation.scores import (
    Advance,
    Comparison,
    Failure,
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
    dataset_notices,
    read_pair,
    scored_datasets,
)
from rainkit.files import natural
from rainkit.images import RGB8

if TYPE_CHECKING:
    from rainkit.api import Method

__all__ = [
    "MethodChoice",
    "MethodChoices",
    "MethodRequest",
    "VariantWeights",
    "choose_methods",
    "evaluate_method",
    "split_label",
    "variants_in",
]


_LAST = "last.safetensors"
"""The file of a training after its last step, as in the table of ``train --ablation``."""
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """A method with weights: one row of the tables.

    Attributes:
        method: name of an installed method.
        weights: a tag or a file; None for the method's first weights.
        label: name of the row; None for the method's name, with its weights if they were chosen.
    """

    method: str
    weights: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class MethodChoices:
    """The methods to score, in order, and what a reader of their scores must know."""

    rows: tuple[MethodChoice, ...] = ()
    notices: tuple[str, ...] = ()


def choose_methods(named: Iterable[str]) -> MethodChoices:
    """Return the methods that ``--method`` names.

    Args:
        named: each is ``NAME[=WEIGHTS][@LABEL]``, where the weights are a tag, a file, or a folder
            with weights of several variants; or ``all``, for every installed method that ships
            weights.

    Raises:
        UsageError: an unknown method, a folder without weights of it, or no method for ``all``.
    """
    rows: list[MethodChoice] = []
    notices: list[str] = []
    for text in dict.fromkeys(named):
        if text == "all":
            rows += map(MethodChoice, _shipping())
            continue
        chosen, label = split_label(text)
        name, _, weights = chosen.partition("=")
        method = plugins.get(name)
        if weights and Path(weights).is_dir():
            found = variants_in(Path(weights), method)
            front = f"{label}: " if label else ""
            rows += [MethodChoice(name, str(path), front + own) for own, path in found.files]
            notices += found.notices
        else:
            rows.append(MethodChoice(name, weights or None, label or None))
    # Weights of several trainings often lie in files of one name.
    alike = Counter((each.method, Path(each.weights or "").name) for each in rows if not each.label)
    return MethodChoices(
        tuple(
            replace(each, label=f"{each.method} ({each.weights})")
            if each.weights and not each.label and alike[each.method, Path(each.weights).name] > 1
            else each
            for each in dict.fromkeys(rows)
        ),
        tuple(notices),
    )


def split_label(text: str) -> tuple[str, str]:
    """Split ``WHAT@LABEL`` into the two; the label is empty if there is none.

    An ``@`` in the path of an existing file or folder begins no label, nor does one in an address.
    """
    what, at, label = text.rpartition("@")
    if not at or ("://" in what and "/" in label) or Path(text.rpartition("=")[2]).exists():
        return text, ""
    return what, label


def _shipping() -> list[str]:
    """Return the names of the installed methods that have weights.

    Raises:
        UsageError: there are none.
    """
    names = [found.name for found in plugins.installed() if found.problem is None]
    if not (shipping := [name for name in names if plugins.get(name).weights]):
        raise UsageError("--method all: no installed method ships weights")
    return shipping


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantWeights:
    """The weights of a method's variants in a folder.

    Attributes:
        files: pairs of a row's name and a weights file, in the paper's order. The name is the
            variant's; if several files are of one variant, it also says where the file lies.
        notices: which files were left out, and which variants of the paper are missing.
    """

    files: tuple[tuple[str, Path], ...]
    notices: tuple[str, ...]


def variants_in(folder: Path, method: Method) -> VariantWeights:
    """Find a method's weights in a folder and below it.

    Of a training's run folder, only the weights after its last step count.

    Args:
        folder: a folder of weights files or run folders, such as ``train --ablation`` makes.
        method: the method whose variants are wanted.

    Raises:
        UsageError: the folder holds no weights of the method.
    """
    from rainkit.weights import open_file

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
            f"--method {method.name}={folder}: the folder holds no weights of {method.name}{why};"
            f" make some with rainkit train -m {method.name} --ablation VARIANTS"
        )
    order = dict.fromkeys([*method.ablation, *method.own_ablation, *method.variants, *by_variant])
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
    """Return where weights lie: their run's folder, or their own path."""
    relative = path.relative_to(folder)
    return relative.parent.as_posix() if path.name == _LAST else relative.as_posix()


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodRequest(DerainerRequest):
    """Derain the rainy side of datasets and score the results.

    Attributes:
        datasets: folders of pairs, or folders of such folders. If a dataset is split, its split
            ``test`` is scored.
        protocols: at least one; every picture is derained once for all.
        limit: the number of pictures of each dataset; None for all.
        reading: how dataset folders are read.
        metrics: what is measured beside PSNR and SSIM.
        exact: compute scores in float64 throughout.
    """

    datasets: tuple[Path, ...]
    protocols: tuple[Protocol, ...]
    limit: int | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    metrics: tuple[LoadedMetric, ...] = ()
    exact: bool = False


def evaluate_method(
    request: MethodRequest, advance: Advance | None = None, engine: Engine | None = None
) -> Comparison:
    """Derain datasets with a method and score the results, rounded to 8 bit like a saved PNG.

    Args:
        request: what is scored.
        advance: called after each picture.
        engine: workers that derain and score; None to do so in this process.

    Raises:
        UsageError: an unknown method, device or weights tag, or a wrong output folder.
        PairingError: files without a partner, or of another size than it.
        MethodError, WeightsError: the method cannot run.
    """
    datasets = scored_datasets(request.datasets, request.reading, request.limit)
    _check_folder(request.keep, datasets)
    check_sizes((pair.rainy, pair.clean) for each in datasets for pair in each.pairs)
    if engine is not None:
        return _evaluate_elsewhere(request, datasets, engine, advance)
    with CachedDerainer(request) as derainer:
        scored = (
            _score_pair(request, derainer, dataset.name, pair)
            for dataset in datasets
            for pair in dataset.pairs
        )
        return _evaluate(request, datasets, derainer, scored, advance)


def _evaluate_elsewhere(
    request: MethodRequest, datasets: Sequence[Dataset], engine: Engine, advance: Advance | None
) -> Comparison:
    """Have workers derain and score, which write the pictures to keep; the ledgers stay here."""
    work: Work[Any, _Answer] = Work.holding(_do, _Worker, replace(request, datasets=()))
    card: Card = next(engine.run(work, [None])).get().card
    tasks = (
        _Task(
            dataset.name,
            pair,
            {k: c.entry(dataset.name, pair.name) for k, c in card.caches.items()},
        )
        for dataset in datasets
        for pair in dataset.pairs
    )

    def scored() -> Iterator[_Outcomes]:
        for outcome in engine.run(work, tasks):
            if isinstance(outcome, Failed):
                if isinstance(outcome.error, UsageError):
                    outcome.get()
                failure = Failure(outcome.item.pair.name, outcome.reason)
                yield failure, dict.fromkeys(card.parts, failure)
                continue
            for name, kept in outcome.value.noted.items():
                card.caches[name].note(outcome.item.dataset, outcome.item.pair.name, kept)
            yield outcome.value.outcomes

    try:
        return _evaluate(request, datasets, card, scored(), advance)
    finally:
        for cache in card.caches.values():
            cache.close()


@dataclass(frozen=True, slots=True)
class _Task:
    """A pair to score, and what the ledgers tell of its kept pictures."""

    dataset: str
    pair: PairFiles
    kept: Mapping[str, Kept | None]


@dataclass(frozen=True, slots=True)
class _Answer:
    """The scores of a pair, and what is to be noted of pictures; or what the derainer is."""

    card: Any = None
    outcomes: Any = None
    noted: Mapping[str, Kept] = field(default_factory=dict)


class _Worker:
    """A derainer in a worker, which tells what its caches want to be noted."""

    def __init__(self, request: MethodRequest) -> None:
        self._request = request
        self._derainer = CachedDerainer(request, FarCache)

    def do(self, task: _Task | None) -> _Answer:
        if task is None:
            return _Answer(card=self._derainer.card())
        caches = {k: c for k, c in self._derainer.caches.items() if isinstance(c, FarCache)}
        for name, cache in caches.items():
            cache.told, cache.noted = task.kept[name], None
        outcomes = _score_pair(self._request, self._derainer, task.dataset, task.pair)
        noted = {name: c.noted for name, c in caches.items() if c.noted is not None}
        return _Answer(outcomes=outcomes, noted=noted)


def _do(worker: _Worker, task: _Task | None) -> _Answer:
    return worker.do(task)


_Outcomes = tuple[Outcome, dict[str, Outcome]]
"""What became of a picture as a whole, and of its parts."""


def _score_pair(
    request: MethodRequest, derainer: CachedDerainer, dataset: str, pair: PairFiles
) -> _Outcomes:
    made = _Made(derainer, dataset, pair)
    whole = _scored(request, pair, made.whole)
    return whole, {
        name: _scored(request, pair, partial(made.part, name)) for name in derainer.parts
    }


def _evaluate(
    request: MethodRequest,
    datasets: Sequence[Dataset],
    derainer: CachedDerainer | Card,
    scored: Iterator[_Outcomes],
    advance: Advance | None,
) -> Comparison:
    total, done = sum(len(each.pairs) for each in datasets), 0
    scores: list[Scores] = []
    part_scores: dict[str, list[Scores]] = {name: [] for name in derainer.parts}
    for dataset in datasets:
        outcomes: list[Outcome] = []
        part_outcomes: dict[str, list[Outcome]] = {name: [] for name in derainer.parts}
        for _ in dataset.pairs:
            whole, parts = next(scored)
            outcomes.append(whole)
            for name, each in part_outcomes.items():
                each.append(parts[name])
            done += 1
            if advance is not None:
                advance(done, total)
        rain = rain_attributes(dataset.root, dataset.pairs)
        scores += with_attributes(collect(dataset.name, outcomes, request.protocols), rain)
        for name, each in part_outcomes.items():
            part_scores[name] += with_attributes(
                collect(dataset.name, each, request.protocols), rain
            )
    return Comparison(
        restored=derainer.label,
        scores=tuple(scores),
        about={**derainer.about, **about_metrics(request.metrics), "versions": derainer.versions},
        notices=(*dataset_notices(datasets), *_crop_notices(datasets), *excluded_notices(scores)),
        files=tuple(
            SourceFile(each.name, role, stored, pair.name)
            for each in datasets
            for pair in each.pairs
            for role, stored in _roles(each, pair, derainer)
        ),
        parts=tuple(
            Comparison(
                restored=f"{derainer.label}: {name}",
                scores=tuple(found),
                about={
                    **derainer.about,
                    "estimates": derainer.parts[name].estimates,
                    **about_metrics(request.metrics),
                    "versions": derainer.versions,
                },
                part_of=derainer.label,
            )
            for name, found in part_scores.items()
            if any(each.rows for each in found)
        ),
    )


class _Made:
    """The result of a method on one picture, which is scored as a whole and part by part."""

    def __init__(self, derainer: CachedDerainer, dataset: str, pair: PairFiles) -> None:
        self._restorer = derainer
        self._dataset = dataset
        self._pair = pair
        self._arrays: PairArrays | None = None
        self._parts: dict[str, RGB8] = {}

    def whole(self) -> Triple:
        """Derain the picture and return the result.

        Raises:
            RainkitError: the pair cannot be read, or its result not be made or kept.
        """
        arrays = read_pair(self._pair)
        place = self._dataset, self._pair.name
        if self._restorer.parts:
            restored, ms, self._parts = self._restorer.restore_with_parts(*place, arrays.rainy)
        else:
            restored, ms = self._restorer.restore(*place, arrays.rainy)
        self._arrays = arrays
        return Triple(self._pair.name, restored, arrays.clean, arrays.rainy, ms)

    def part(self, name: str) -> Triple:
        """Return one part of the result; :meth:`whole` is called before.

        Raises:
            MethodError: the network stopped before the part was made, or the whole failed.
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
    dataset: Dataset, pair: PairFiles, derainer: CachedDerainer | Card
) -> Iterator[tuple[str, ImageRef]]:
    yield "rainy", pair.rainy
    yield "target", pair.clean
    if (kept := derainer.path(dataset.name, pair.name)) is not None:
        yield "restored", ImageRef(kept)


def _crop_notices(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    return tuple(
        f"{each.name}: {notice}"
        for each in datasets
        for notice in notice_of_crops((pair.rainy, pair.clean) for pair in each.pairs)
    )


def _check_folder(folder: Path | None, datasets: Iterable[Dataset]) -> None:
    """Refuse a folder for kept pictures that would do harm, before hours of computing."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder to --output")
    sides = {
        stored.path.parent.resolve()
        for dataset in datasets
        for pair in dataset.pairs
        for stored in (pair.rainy, pair.clean)
        if not stored.member
    }
    if any(map(folder.resolve().is_relative_to, sides)):
        raise UsageError(
            f"{folder} lies among the pictures of a dataset, and what is written there would be"
            " taken for more of them; give another folder to --output"
        )
