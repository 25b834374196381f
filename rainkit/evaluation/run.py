"""``rainkit eval`` as one call: check the request, evaluate, hold against bars, write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rainkit.choices import Engine as Place
from rainkit.datasets.readers.manifests import has_manifest
from rainkit.engine import Engine, open_engine
from rainkit.errors import BAR_MISSED, UsageError
from rainkit.evaluation import downstream
from rainkit.evaluation.cached_derainer import check_derainers
from rainkit.evaluation.downstream import Downstream, DownstreamRequest
from rainkit.evaluation.folders import (
    FoldersRequest,
    RestoredRequest,
    check_folders,
    evaluate_folders,
    evaluate_restored,
    folder_labels,
    restored_rows,
)
from rainkit.evaluation.frame_averages import (
    AveragesRequest,
    check_averages,
    evaluate_averages,
    parse_average,
)
from rainkit.evaluation.methods import MethodRequest, evaluate_method
from rainkit.evaluation.metrics.registry import load_metrics, metric
from rainkit.evaluation.rain_attributes import (
    GROUPS_FILE,
    check_groups,
    groups,
    unreadable_manifests,
    write_groups,
)
from rainkit.evaluation.report.data import report_of
from rainkit.evaluation.report.page import REPORT_FILES, write_report
from rainkit.evaluation.result_files import FILES, write
from rainkit.evaluation.scores import Advance, Comparison, parse_bar
from rainkit.evaluation.scoring import scored_datasets
from rainkit.images import left_out
from rainkit.published import PublishedRow, rows_on
from rainkit.render.text_tables import TextTable, check_folder

__all__ = ["EvalRequest", "Evaluation", "FurtherRows", "Source", "further_rows", "run"]

Source = MethodRequest | FoldersRequest | RestoredRequest | AveragesRequest
"""A method, averages of frames or restored pictures on datasets, or a folder against a folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalRequest:
    """Request of an evaluation: what is scored, and what is done with the figures.

    Attributes:
        sources: what is scored, in the order of the tables.
        metrics: further metrics of all sources: names, or ``lpips=FOLDER`` with the folder of the
            metric's weights. What cannot be measured is left out with a notice.
        output: folder for per_image.csv, metrics.json and table.md; None to write nothing.
        overwrite: replace files that are there.
        bars: ``psnr=30`` and the like, for :meth:`Comparison.below`.
        report: write a page, plots and LaTeX to ``output``, too.
        published: figures of papers to set beside the measured ones.
        by: attributes of :data:`~rainkit.evaluation.rain_attributes.ATTRIBUTES` to group by.
        downstream: a detection or segmentation model to run on input, results and targets.
        notices: what a reader of the figures must know.
        engine: where methods run: ``local`` for this process, or ``ray``.
    """

    sources: tuple[Source, ...]
    metrics: tuple[str, ...] = ()
    output: Path | None = None
    overwrite: bool = False
    bars: tuple[str, ...] = ()
    report: bool = False
    published: tuple[PublishedRow, ...] = ()
    by: tuple[str, ...] = ()
    downstream: DownstreamRequest | None = None
    notices: tuple[str, ...] = ()
    engine: Place = Place.LOCAL


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The figures of each source and its parts, the files written, and the bars missed.

    ``published`` are the rows of papers on the datasets that were measured.
    """

    comparisons: tuple[Comparison, ...]
    written: tuple[Path, ...] = ()
    missed: tuple[str, ...] = ()
    groups: tuple[TextTable, ...] = ()
    downstream: Downstream | None = None
    told: tuple[str, ...] = ()
    published: tuple[PublishedRow, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines that a reader of the figures must know, each once."""
        own = (notice for each in self.comparisons for notice in each.notices)
        further = self.downstream.notices if self.downstream else ()
        return tuple(dict.fromkeys([*self.told, *own, *further]))

    @property
    def failures(self) -> tuple[tuple[str, str], ...]:
        """Pictures that could not be scored, as ``dataset/name``, and why, each once."""
        whole = [each for each in self.comparisons if each.part_of is None]
        found = [failure for each in whole for failure in each.failures]
        found += self.downstream.failures if self.downstream else ()
        named = ((f"{dataset}/{each.name}", each.reason) for dataset, each in found)
        return tuple(dict.fromkeys(named))

    @property
    def exit_code(self) -> int:
        """3 when a bar was missed, else 1 when a picture failed, else 0."""
        if self.missed:
            return BAR_MISSED
        return 1 if self.failures else 0

    def to_data(self) -> dict[str, Any]:
        """Return JSON-able data; the figures of a single source stand at the top."""
        found = [each.to_data() for each in self.comparisons]
        data = found[0] if len(found) == 1 else {"comparisons": found}
        if self.downstream is not None:
            data |= {"downstream": self.downstream.to_data()}
        if self.groups:
            data |= {"groups": [each.to_data() for each in self.groups]}
        if self.published:
            data |= {"published": [row.to_data() for row in self.published]}
        return data | {"missed": list(self.missed), "notes": list(self.told)}


@dataclass(frozen=True, kw_only=True, slots=True)
class FurtherRows:
    """The rows of tables that ``--also`` adds.

    Attributes:
        averages: pairs of ``mean`` or ``median`` and a number of frames, or None for all frames.
        parts: whether the parts of methods are scored.
        published: whether the figures of papers are shown.
    """

    averages: tuple[tuple[str, int | None], ...] = ()
    parts: bool = False
    published: bool = False


def further_rows(named: Iterable[str]) -> FurtherRows:
    """Return the rows that ``--also`` names: parts, published, mean, median or ``mean=5``.

    Raises:
        UsageError: an unknown name or a wrong number of frames.
    """
    names = tuple(dict.fromkeys(named))
    return FurtherRows(
        averages=tuple(parse_average(name) for name in names if name not in _FLAGS),
        parts="parts" in names,
        published="published" in names,
    )


_FLAGS = ("parts", "published")


def run(request: EvalRequest, advance: Advance | None = None) -> Evaluation:
    """Evaluate; whatever is wrong with the request is reported before anything is computed.

    Raises:
        UsageError: a wrong option, name or path, or a file that would be replaced.
        PairingError: files without a partner, or of another size than it.
        MethodError, WeightsError, FileError: the method cannot run, the results not be written.
    """
    _check(request)
    sources, skipped = _with_metrics(request)
    passed_over = left_out(dict.fromkeys(f for source in sources for f in _folders(source)))
    manifests = dict.fromkeys(f for source in sources if request.by for f in _manifests(source))
    unread = unreadable_manifests(manifests)
    request = replace(request, notices=(*skipped, *request.notices, *passed_over, *unread))
    with _opened(request) as engine:
        comparisons = tuple(
            each
            for source in sources
            for whole in [_evaluate(source, advance, engine)]
            for each in (whole, *whole.parts)
        )
    whole = tuple(each for each in comparisons if each.part_of is None)
    measured = {scores.dataset for each in whole for scores in each.scores}
    published = rows_on(request.published, measured)
    if request.published and not published:
        silent = f"the papers print no figures of {', '.join(sorted(measured))}"
        request = replace(request, notices=(*request.notices, silent))
    grouped = groups(comparisons, request.by)
    written = _write(request, comparisons, grouped)
    benefit = None
    if request.downstream is not None:
        # What was scored is written by now, whatever becomes of the model.
        benefit = downstream.measure(whole, request.downstream, advance)
        if request.output is not None:
            written += downstream.write(benefit, request.output, overwrite=request.overwrite)
    missed = [
        f"{each.restored}: {line}" if len(whole) > 1 else line
        for each in whole
        for line in each.below(request.bars)
    ]
    return Evaluation(
        comparisons=comparisons,
        written=tuple(dict.fromkeys(written)),
        missed=tuple(missed),
        groups=grouped,
        downstream=benefit,
        told=request.notices,
        published=published,
    )


def _check(request: EvalRequest) -> None:
    """Refuse what cannot work, before hours of computing.

    What needs no torch comes first, so that it is noticed at once.
    """
    without_input = any(map(_lacks_input, request.sources))
    if request.report and request.output is None:
        raise UsageError("--report: name a folder to write to (--output)")
    for quantity, number in map(parse_bar, request.bars):
        if quantity.endswith("_gain") and without_input:
            raise UsageError(
                f"--fail-below {quantity}={number:g}: a gain needs the rainy pictures; pass --input"
            )
    for name in request.metrics:
        metric(name.partition("=")[0])
    check_groups(request.by)
    if request.output is not None:
        names = [
            *FILES,
            *(REPORT_FILES if request.report else ()),
            *([GROUPS_FILE] if request.by else ()),
            *(downstream.FILES if request.downstream else ()),
            *([downstream.PAGE] if request.downstream and request.downstream.report else ()),
        ]
        check_folder(request.output, names, overwrite=request.overwrite)
    for source in request.sources:
        _check_pictures(source)
    if request.by and not any(map(_manifests, request.sources)):
        raise UsageError(
            "--by: none of the datasets has a manifest of rainkit synth that says how its rain was"
            " made"
        )
    _check_labels(request.sources)
    if request.downstream is not None:
        without_pictures = [
            each
            for each in request.sources
            if isinstance(each, MethodRequest) and each.keep is None
        ]
        if without_pictures:
            raise UsageError("downstream: name a folder for the derained pictures (--output)")
        if any(isinstance(each, AveragesRequest) for each in request.sources):
            raise UsageError("downstream: averages of frames are not kept; leave them out")
        if without_input:
            raise UsageError("downstream: name the rainy pictures, too (--input)")
        downstream.check(request.downstream)


def _folders(source: Source) -> tuple[Path, ...]:
    """Return the folders from which a source takes pictures."""
    if isinstance(source, FoldersRequest):
        return tuple(filter(None, (source.restored, source.target, source.rainy)))
    own = (source.restored,) if isinstance(source, RestoredRequest) else ()
    return (*own, *source.datasets)


def _lacks_input(source: Source) -> bool:
    return isinstance(source, FoldersRequest) and source.rainy is None


def _check_pictures(source: Source) -> None:
    """Check that the pictures of a source are there and that they pair up."""
    if isinstance(source, AveragesRequest):
        check_averages(source)
    elif isinstance(source, FoldersRequest):
        check_folders(source)
    else:
        datasets = scored_datasets(source.datasets, source.reading, source.limit)
        if isinstance(source, RestoredRequest):
            restored_rows(source.restored, datasets, source.reading)


def _check_labels(sources: Sequence[Source]) -> None:
    """Check that methods can be loaded and that all rows have names of their own."""
    labels: list[object] = [
        *check_derainers(each for each in sources if isinstance(each, MethodRequest))
    ]
    for each in sources:
        if isinstance(each, RestoredRequest):
            labels.append(each.label or folder_labels([each.restored])[0])
        if isinstance(each, FoldersRequest):
            label = each.label or folder_labels([each.restored])[0]
            labels.append((label, each.target.resolve()))
    for place in labels:
        if labels.count(place) > 1:
            name = place[0] if isinstance(place, tuple) else place
            raise UsageError(f"two results are called {name} and could not be told apart")


def _with_metrics(request: EvalRequest) -> tuple[list[Source], tuple[str, ...]]:
    """Return the sources with the request's metrics, and a line for each metric left out."""
    have = ("target",) if any(map(_lacks_input, request.sources)) else ("target", "input")
    loaded, skipped = load_metrics(request.metrics, have=have)
    sources = [
        replace(source, metrics=(*source.metrics, *loaded)) if loaded else source
        for source in request.sources
    ]
    return sources, skipped


def _manifests(source: Source) -> tuple[Path, ...]:
    """Return the folders whose manifests may tell of the rain in some of the pictures."""
    if isinstance(source, FoldersRequest):
        rainy = None if source.rainy is None else source.rainy.absolute()
        near = () if rainy is None else (rainy, rainy.parent, rainy.parent.parent)
        return tuple(filter(has_manifest, near))
    datasets = scored_datasets(source.datasets, source.reading)
    return tuple(each.root for each in datasets if has_manifest(each.root))


def _opened(request: EvalRequest) -> AbstractContextManager[Engine | None]:
    devices = [s.options.device for s in request.sources if isinstance(s, MethodRequest)]
    if request.engine == Place.LOCAL or not devices:
        return nullcontext()
    return open_engine("ray", workers=None, device=devices[0])


def _evaluate(source: Source, advance: Advance | None, engine: Engine | None) -> Comparison:
    if isinstance(source, MethodRequest):
        return evaluate_method(source, advance, engine)
    if isinstance(source, AveragesRequest):
        return evaluate_averages(source, advance)
    if isinstance(source, RestoredRequest):
        return evaluate_restored(source, advance)
    return evaluate_folders(source, advance)


def _write(
    request: EvalRequest,
    comparisons: Sequence[Comparison],
    grouped: Sequence[TextTable],
) -> tuple[Path, ...]:
    if (folder := request.output) is None:
        return ()
    if request.overwrite:
        # What an earlier call wrote and this one does not would tell of other figures.
        for name in (*REPORT_FILES, GROUPS_FILE, *downstream.FILES, downstream.PAGE):
            (folder / name).unlink(missing_ok=True)
    report = report_of(comparisons, request.published, request.notices)
    written = list(write(comparisons, folder, report=report, overwrite=request.overwrite))
    if request.report:
        written += write_report(report, folder, overwrite=request.overwrite)
    if grouped:
        written.append(write_groups(grouped, folder, overwrite=request.overwrite))
    return tuple(written)
