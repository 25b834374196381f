"""Measuring results on photographs without ground truth, where there is no PSNR."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rainkit.datasets.sizes import check_sizes, notice_of_crops
from rainkit.datasets.stored import Stored
from rainkit.errors import PairingError, RainkitError, UsageError
from rainkit.evaluation.comparison import Advance, SourceFile, versions
from rainkit.evaluation.measures import Metric, Ready, metric, ready
from rainkit.evaluation.protocols import RGB8
from rainkit.evaluation.restorer import Restorer, RestorerRequest, check_restorers
from rainkit.evaluation.scores import Failure
from rainkit.evaluation.texts import check_folder
from rainkit.evaluation.unpaired.photographs import (
    Photograph,
    found_photographs,
    matched_photographs,
)
from rainkit.evaluation.unpaired.scores import (
    Unpaired,
    UnpairedScore,
    UnpairedScores,
    left_out_notices,
)
from rainkit.evaluation.unpaired.tables import FILES, write_unpaired

__all__ = [
    "DEFAULT_METRICS",
    "UnpairedRequest",
    "evaluate_unpaired",
    "metrics_without_target",
    "run_unpaired",
]

DEFAULT_METRICS = ("streak_energy", "rain_removed", "tv")
"""What is measured in any case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpairedRequest:
    """Measure methods, or results made elsewhere, on photographs without ground truth.

    Attributes:
        folders: rainy photographs: folders, searched through all their levels, or files.
        metrics: what is measured, see :func:`metrics_without_target`.
        methods: what derains the photographs.
        restored: instead of methods, results for the one folder or file of ``folders``, matched by
            name.
        limit: pictures per folder at most, the first ones in natural order; None = all.
        crop_to_common: cut results that differ in size from their photograph, and it, to the
            common size instead of refusing them.
        notices: what a reader of the figures must know.
    """

    folders: tuple[Path, ...]
    metrics: tuple[Ready, ...]
    methods: tuple[RestorerRequest, ...] = ()
    restored: Path | None = None
    limit: int | None = None
    crop_to_common: bool = False
    notices: tuple[str, ...] = ()


def metrics_without_target(
    names: Iterable[str] = (), *, weights_dir: Path | None = None
) -> tuple[tuple[Ready, ...], tuple[str, ...]]:
    """Load :data:`DEFAULT_METRICS` and more: ``(metrics, skipped)``, a line for each left out.

    Args:
        names: of :data:`rainkit.evaluation.METRICS`.
        weights_dir: folder of weights; with it, BRISQUE is measured too.

    Raises:
        UsageError: an unknown name, or one that needs a target.
    """
    chosen = [*DEFAULT_METRICS, *names, *(["brisque"] if weights_dir is not None else [])]
    _refuse_targets(map(metric, chosen))
    return ready(chosen, weights_dir=weights_dir, have=("input",))


def run_unpaired(
    request: UnpairedRequest,
    output: Path | None = None,
    *,
    overwrite: bool = False,
    advance: Advance | None = None,
) -> tuple[Unpaired, tuple[Path, ...]]:
    """Measure and write the files, whose paths are returned; files there are refused at once.

    Raises:
        UsageError, PairingError, MethodError, WeightsError: as :func:`evaluate_unpaired`; or
            ``output`` holds results and ``overwrite`` is off.
        FileError: the files cannot be written.
    """
    if output is not None:
        check_folder(output, FILES, overwrite=overwrite)
    unpaired = evaluate_unpaired(request, advance)
    if output is None:
        return unpaired, ()
    return unpaired, write_unpaired(unpaired, output, overwrite=overwrite)


def evaluate_unpaired(request: UnpairedRequest, advance: Advance | None = None) -> Unpaired:
    """Derain the photographs with each method, or take the results given, and measure them.

    Raises:
        UsageError: a path without pictures, an unknown method, weights tag or device, a metric that
            needs a target, or two results of one name.
        PairingError: results without a photograph, or of another size than it.
        MethodError, WeightsError: a method cannot run.
    """
    _check(request)
    if request.restored is not None:
        results = matched_photographs(
            request.folders[0],
            request.restored,
            limit=request.limit,
            crop_to_common=request.crop_to_common,
        )
        check_sizes((restored, each.rainy) for each, restored in results.items())
        photographs = tuple(results)
        sources: Iterator[_Source] = iter([_given(request.restored, results)])
    else:
        results = {}
        photographs = found_photographs(request.folders, limit=request.limit)
        sources = (_method(Restorer(each)) for each in request.methods)
    made = versions()
    about: dict[str, Mapping[str, Any]] = {}
    found: dict[str, list[UnpairedScores]] = {each.dataset: [] for each in photographs}
    before: dict[Photograph, dict[str, float]] = {}
    done, total = 0, len(photographs) * max(1, len(request.methods))
    for source in sources:
        about[source.label] = source.about
        made |= source.versions
        for dataset, scores in found.items():
            own = [each for each in photographs if each.dataset == dataset]
            outcomes: list[UnpairedScore | Failure] = []
            for photograph in own:
                outcomes.append(_attempt(photograph, source, request.metrics, before))
                done += 1
                if advance is not None:
                    advance(done, total)
            scores.append(_collected(dataset, source, own, outcomes))
        del source  # and its network, before the next one is loaded
    all_scores = tuple(each for scores in found.values() for each in scores)
    return Unpaired(
        metrics=request.metrics,
        scores=all_scores,
        about=about,
        versions=made,
        notices=(
            *request.notices,
            *notice_of_crops((restored, each.rainy) for each, restored in results.items()),
            *left_out_notices(all_scores, [each.metric for each in request.metrics]),
        ),
        files=tuple(SourceFile(p.dataset, "rainy", p.rainy, p.name) for p in photographs),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """Where results come from.

    Attributes:
        label: their name in tables.
        restore: the result of a photograph, whose pixels are given, and the milliseconds it took.
        file: where the result is kept, if it is.
        about: what made them.
        versions: of what made them.
    """

    label: str
    restore: Callable[[Photograph, RGB8], tuple[RGB8, float | None]]
    file: Callable[[Photograph], Stored | None]
    about: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def _check(request: UnpairedRequest) -> None:
    if (request.restored is None) == (not request.methods):
        raise UsageError("without a target, give --method, or results with --input, and not both")
    if request.restored is not None and len(request.folders) != 1:
        raise UsageError("--input: give the one folder of rainy pictures that the results are of")
    if not request.metrics:
        raise UsageError(f"nothing to measure; choose from {', '.join(DEFAULT_METRICS)}")
    _refuse_targets(each.metric for each in request.metrics)
    check_restorers(request.methods)
    for folder in request.folders:
        for keep in (method.keep for method in request.methods if method.keep is not None):
            if folder.is_dir() and keep.resolve().is_relative_to(folder.resolve()):
                raise UsageError(
                    f"{keep} lies in {folder}, whose pictures are all taken for rainy ones the"
                    " next time; pass --output outside of it"
                )


def _refuse_targets(metrics: Iterable[Metric]) -> None:
    if wrong := [each.name for each in metrics if "target" in each.needs]:
        raise UsageError(
            f"--metric {', '.join(wrong)}: compares with ground truth; leave out --no-target, or"
            " this metric"
        )


def _given(restored: Path, results: Mapping[Photograph, Stored]) -> _Source:
    return _Source(
        label=restored.resolve().name,
        restore=lambda photograph, rainy: (results[photograph].read(), None),
        file=results.get,
    )


def _method(restorer: Restorer) -> _Source:
    def file(photograph: Photograph) -> Stored | None:
        path = restorer.path(photograph.dataset, photograph.name)
        return None if path is None else Stored(path)

    return _Source(
        label=restorer.label,
        restore=lambda each, rainy: restorer.restore(each.dataset, each.name, rainy),
        file=file,
        about=restorer.about,
        versions=restorer.versions,
    )


def _attempt(
    photograph: Photograph,
    source: _Source,
    metrics: Sequence[Ready],
    before: dict[Photograph, dict[str, float]],
) -> UnpairedScore | Failure:
    """Measure one result; ``before`` keeps the photographs' own figures for the next source."""
    try:
        rainy = photograph.rainy.read()
        restored, milliseconds = source.restore(photograph, rainy)
    except UsageError:
        raise
    except RainkitError as error:
        return Failure(photograph.name, str(error))
    if photograph not in before:
        alone = [each for each in metrics if not each.metric.needs]
        before[photograph] = {each.metric.name: each.measure(rainy) for each in alone}
    try:
        figures = {each.metric.name: each.measure(restored, rainy=rainy) for each in metrics}
    except PairingError as error:
        raise PairingError(f"{photograph.name}: {error}") from None
    height, width = rainy.shape[:2]
    return UnpairedScore(
        name=photograph.name,
        width=width,
        height=height,
        figures=figures,
        input_figures=before[photograph],
        milliseconds=milliseconds,
    )


def _collected(
    dataset: str,
    source: _Source,
    photographs: Iterable[Photograph],
    outcomes: Sequence[UnpairedScore | Failure],
) -> UnpairedScores:
    files = ((each.name, source.file(each)) for each in photographs)
    return UnpairedScores(
        dataset=dataset,
        result=source.label,
        rows=tuple(each for each in outcomes if isinstance(each, UnpairedScore)),
        failures=tuple(each for each in outcomes if isinstance(each, Failure)),
        files=tuple(
            SourceFile(dataset, "restored", stored, name)
            for name, stored in files
            if stored is not None
        ),
    )
