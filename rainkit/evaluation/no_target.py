"""Measure results on photographs without ground truth: ``rainkit no-target`` as one call."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rainkit import images
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import (
    PairFiles,
    check_sizes,
    cropped_to_common,
    notice_of_crops,
    with_unique_names,
)
from rainkit.datasets.pairs import find_matches
from rainkit.errors import PairingError, UsageError, described
from rainkit.evaluation.cached_derainer import CachedDerainer, DerainerRequest, check_derainers
from rainkit.evaluation.metrics.registry import LoadedMetric, Metric, load_metrics, metric
from rainkit.evaluation.report.means import (
    INPUT,
    Cell,
    Column,
    SummaryRow,
    emphasised,
    marked,
    mean,
    shown,
)
from rainkit.evaluation.result_files import file_data
from rainkit.evaluation.scores import Advance, Failure, SourceFile, Summary, versions
from rainkit.images import RGB8
from rainkit.render import text_tables
from rainkit.render.text_tables import (
    TextTable,
    check_folder,
    finite,
    json_text,
    latex_comment,
    write_texts,
)

__all__ = [
    "CAUTION",
    "DEFAULT_METRICS",
    "FILES",
    "NO_TARGET",
    "NoTargetRequest",
    "NoTargetResult",
    "NoTargetScore",
    "NoTargetScores",
    "Photograph",
    "evaluate",
    "found_photographs",
    "latex",
    "left_out_notices",
    "markdown",
    "matched_photographs",
    "metrics_without_target",
    "refuse_inside",
    "run",
    "table",
    "write",
]


DEFAULT_METRICS = ("streak_energy", "rain_removed", "tv")
"""Metrics that are always measured."""

NO_TARGET = "no ground truth"
"""What results say in place of the name of a protocol."""

FILES = ("no_target.md", "no_target.tex", "no_target.csv", "no_target.json")
"""Files that :func:`write` makes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoTargetRequest:
    """Measure methods, or results made elsewhere, on photographs without ground truth.

    Attributes:
        folders: rainy photographs: folders, which are searched through all their levels, or files.
        metrics: the metrics to measure, see :func:`metrics_without_target`.
        methods: methods that derain the photographs.
        restored: instead of methods, results for the one folder or file of ``folders``, matched by
            name.
        limit: largest number of pictures per folder, the first ones in natural order; None for all.
        crop_to_common: whether results that differ in size from their photograph are cropped with
            it to the common size instead of being refused.
        notices: what a reader of the figures must know.
    """

    folders: tuple[Path, ...]
    metrics: tuple[LoadedMetric, ...]
    methods: tuple[DerainerRequest, ...] = ()
    restored: Path | None = None
    limit: int | None = None
    crop_to_common: bool = False
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Photograph:
    """A rainy picture without ground truth, whose name is unique in its dataset."""

    dataset: str
    name: str
    rainy: ImageRef


@dataclass(frozen=True, kw_only=True, slots=True)
class NoTargetScore:
    """One result on one photograph.

    Attributes:
        name: name of the photograph, unique in its dataset.
        width: width in pixels.
        height: height in pixels.
        figures: figures by metric; NaN if undefined.
        input_figures: the photograph's own figures, of the metrics that compare with nothing.
        milliseconds: duration of deraining; None if nothing was derained.
    """

    name: str
    width: int
    height: int
    figures: Mapping[str, float]
    input_figures: Mapping[str, float] = field(default_factory=dict)
    milliseconds: float | None = None

    def to_data(self) -> dict[str, Any]:
        """Return the score for JSON, with null for NaN."""
        figures = {name: finite(value) for name, value in self.figures.items()}
        before = {f"input_{name}": finite(value) for name, value in self.input_figures.items()}
        size = {"name": self.name, "width": self.width, "height": self.height}
        return size | figures | before | {"milliseconds": self.milliseconds}


@dataclass(frozen=True, kw_only=True, slots=True)
class NoTargetScores:
    """One result on all photographs of one dataset.

    Attributes:
        dataset: name of the folder.
        result: the method, with its weights if they were chosen, or the folder of results.
        rows: one score per photograph that was measured.
        failures: the other photographs.
        files: files of the results, if they are kept.
    """

    dataset: str
    result: str
    rows: tuple[NoTargetScore, ...]
    failures: tuple[Failure, ...] = ()
    files: tuple[SourceFile, ...] = ()

    def summary(self, metric: str) -> Summary:
        """Summarise a metric of the result."""
        return Summary.of([row.figures[metric] for row in self.rows])

    def input_summary(self, metric: str) -> Summary:
        """Summarise a metric of the photographs; no values if the metric compares with them."""
        return Summary.of([r.input_figures[metric] for r in self.rows if metric in r.input_figures])

    def to_data(self) -> dict[str, Any]:
        """Return everything for JSON, in a stable order of keys."""
        first = self.rows[0] if self.rows else None
        summary = {name: self.summary(name).to_data() for name in (first.figures if first else ())}
        for name in first.input_figures if first else ():
            summary[f"input_{name}"] = self.input_summary(name).to_data()
        return {
            "dataset": self.dataset,
            "result": self.result,
            "protocol": NO_TARGET,
            "images": len(self.rows),
            "failed": [asdict(failure) for failure in self.failures],
            "summary": summary,
            "rows": [row.to_data() for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class NoTargetResult:
    """The figures of an evaluation without ground truth.

    Attributes:
        metrics: the metrics that were measured.
        scores: the scores of each dataset and result, ordered by dataset and then by result.
        about: method, weights and runtime of each result, by its name.
        versions: versions of everything that decodes or computes.
        notices: what a reader of the figures must know.
        files: files of the photographs.
    """

    metrics: tuple[LoadedMetric, ...]
    scores: tuple[NoTargetScores, ...]
    about: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    notices: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()

    @property
    def failures(self) -> tuple[tuple[str, Failure], ...]:
        """Photographs that could not be measured, with the name of their dataset and the reason."""
        pairs = ((each.dataset, failure) for each in self.scores for failure in each.failures)
        return tuple(dict.fromkeys(pairs))

    @property
    def exit_code(self) -> int:
        """1 if a picture failed, else 0."""
        return 1 if self.failures else 0

    def to_data(self) -> dict[str, Any]:
        """Return everything for JSON, in a stable order of keys."""
        return {
            "protocol": NO_TARGET,
            "sources": [{"result": result, **about} for result, about in self.about.items()],
            "metrics": [each.to_data() for each in self.metrics],
            "versions": dict(self.versions),
            "notices": list(self.notices),
            "results": [each.to_data() for each in self.scores],
        }


def run(
    request: NoTargetRequest,
    output: Path | None = None,
    *,
    overwrite: bool = False,
    report: bool = False,
    advance: Advance | None = None,
) -> tuple[NoTargetResult, tuple[Path, ...]]:
    """Measure, write the files to ``output`` if it is given, and return the result and their paths.

    Args:
        request: what to measure.
        output: folder of the files; None for none.
        overwrite: replace existing files.
        report: write a page that shows the photographs and results side by side, too.
        advance: called after each result with the number of those done and of all.

    Raises:
        UsageError, PairingError, MethodError, WeightsError: as in :func:`evaluate`; or
            ``output`` holds results and ``overwrite`` is off, which is checked first; or
            ``report`` without ``output``.
        FileError: the files cannot be written.
    """
    from rainkit.evaluation.no_target_page import PAGE, no_target_page

    if output is None:
        if report:
            raise UsageError("--report needs --output, the folder of the page; add it")
        return evaluate(request, advance), ()
    check_folder(output, (*FILES, PAGE) if report else FILES, overwrite=overwrite)
    found = evaluate(request, advance)
    if overwrite:  # a page that is there would show another run
        (output / PAGE).unlink(missing_ok=True)
    written = write(found, output, overwrite=overwrite)
    if report:
        no_target_page(found, output / PAGE, overwrite=overwrite)
        written = (*written, output / PAGE)
    return found, written


def evaluate(request: NoTargetRequest, advance: Advance | None = None) -> NoTargetResult:
    """Measure the photographs as each method derains them, or the results that are given.

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
        sources = _methods(request.methods)
    made = versions()
    about: dict[str, Mapping[str, Any]] = {}
    found: dict[str, list[NoTargetScores]] = {each.dataset: [] for each in photographs}
    before: dict[Photograph, dict[str, float]] = {}
    done, total = 0, len(photographs) * max(1, len(request.methods))
    for source in sources:
        about[source.label] = source.about
        made |= source.versions
        for dataset, scores in found.items():
            own = [each for each in photographs if each.dataset == dataset]
            outcomes: list[NoTargetScore | Failure] = []
            for photograph in own:
                outcomes.append(_attempt(photograph, source, request.metrics, before))
                done += 1
                if advance is not None:
                    advance(done, total)
            scores.append(_collected(dataset, source, own, outcomes))
        del source  # frees its network before the next one is loaded
    all_scores = tuple(each for scores in found.values() for each in scores)
    return NoTargetResult(
        metrics=request.metrics,
        scores=all_scores,
        about=about,
        versions=made,
        notices=(
            *request.notices,
            *images.left_out(request.folders),
            *notice_of_crops((restored, each.rainy) for each, restored in results.items()),
            *left_out_notices(all_scores, [each.metric for each in request.metrics]),
        ),
        files=tuple(SourceFile(p.dataset, "rainy", p.rainy, p.name) for p in photographs),
    )


def metrics_without_target(
    names: Iterable[str] = (),
) -> tuple[tuple[LoadedMetric, ...], tuple[str, ...]]:
    """Load :data:`DEFAULT_METRICS` and more; return them, and a line for each that is left out.

    Args:
        names: further names of :data:`rainkit.evaluation.METRICS`; ``brisque=FOLDER`` names the
            folder of the metric's weights, too.

    Raises:
        UsageError: a name is unknown, or its metric needs a target.
    """
    chosen = (*DEFAULT_METRICS, *names)
    _refuse_targets(metric(name.partition("=")[0]) for name in chosen)
    return load_metrics(chosen, have=("input",))


def _check(request: NoTargetRequest) -> None:
    if (request.restored is None) == (not request.methods):
        raise UsageError("give --method NAME, or results with --restored FOLDER, and not both")
    if request.restored is not None and len(request.folders) != 1:
        raise UsageError(
            "--restored: give the one folder of rainy pictures that the results belong to"
        )
    if not request.metrics:
        raise UsageError(f"nothing to measure; choose from {', '.join(DEFAULT_METRICS)}")
    _refuse_targets(each.metric for each in request.metrics)
    check_derainers(request.methods)
    for keep in (method.keep for method in request.methods if method.keep is not None):
        refuse_inside(request.folders, keep)


def refuse_inside(folders: Iterable[Path], output: Path) -> None:
    """Refuse to write into a folder that is searched for photographs.

    Raises:
        UsageError: ``output`` lies in one of ``folders``.
    """
    for folder in folders:
        if folder.is_dir() and output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                f"--output {output}: lies in {folder}, all of whose pictures are taken for rainy"
                " ones the next time; name a folder outside of it"
            )


def _refuse_targets(metrics: Iterable[Metric]) -> None:
    if wrong := [each.name for each in metrics if "target" in each.needs]:
        raise UsageError(
            f"--metric {', '.join(wrong)}: compares with ground truth, which photographs lack;"
            " leave it out"
        )


# Photographs and their results


def found_photographs(
    folders: Sequence[Path], *, limit: int | None = None
) -> tuple[Photograph, ...]:
    """Return all pictures of folders and files, each once, in natural order within a folder.

    A file that is named directly belongs to the folder that holds it. If two folders have one name,
    the names of their parents are put in front.

    Args:
        folders: folders, which are searched through all their levels, or files.
        limit: largest number of pictures per folder.

    Raises:
        UsageError: a path without pictures, or folders that cannot be told apart.
    """
    pairs: dict[Path, list[PairFiles]] = {}
    for found in images.find(folders):
        root = (found.path.parent if found.root is None else found.root).resolve()
        name, stored = found.relative.with_suffix("").as_posix(), ImageRef(found.path)
        # Pairs of a picture with itself, so that it is named as pictures of datasets are.
        pairs.setdefault(root, []).append(PairFiles(name, stored, stored))
    names = _names(pairs)
    return tuple(
        Photograph(names[root], pair.name, pair.rainy)
        for root, own in pairs.items()
        for pair in with_unique_names(own)[:limit]
    )


def matched_photographs(
    folder: Path, restored: Path, *, limit: int | None = None, crop_to_common: bool = False
) -> dict[Photograph, ImageRef]:
    """Return the photographs of one folder or file with their results, matched by name.

    Args:
        folder: folder of rainy pictures.
        restored: folder of results.
        limit: largest number of pictures.
        crop_to_common: whether the two are cropped to their common size.

    Raises:
        UsageError, PairingError: as in :func:`rainkit.datasets.pairs.find_matches`.
    """
    for option, given in (("--restored ", restored), ("", folder)):
        if not given.exists():
            raise UsageError(f"{option}{given}: does not exist; give a folder or a picture")
    path = folder.resolve()
    dataset = path.name if path.is_dir() else path.parent.name
    results = {}
    for match in find_matches(restored, folder)[:limit]:
        result, rainy = match.rainy, match.clean
        if crop_to_common:
            result, rainy = cropped_to_common((result, rainy))
        results[Photograph(dataset, match.name, rainy)] = result
    return results


def _names(roots: Iterable[Path]) -> dict[Path, str]:
    """Return a distinct name for each folder, with its parent's name in front if necessary."""
    roots = tuple(roots)
    count = Counter(root.name for root in roots)
    names = {
        root: root.name if count[root.name] == 1 else f"{root.parent.name}/{root.name}"
        for root in roots
    }
    for name, times in Counter(names.values()).items():
        if times > 1:
            raise UsageError(f"two folders are called {name}; rename one")
    return names


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A source of results.

    Attributes:
        label: the results' name in tables.
        restore: returns the result for a photograph and its pixels, and the milliseconds it took.
        file: returns the file of a result; None if it is not kept.
        about: what made the results.
        versions: versions of what made the results.
    """

    label: str
    restore: Callable[[Photograph, RGB8], tuple[RGB8, float | None]]
    file: Callable[[Photograph], ImageRef | None]
    about: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def _given(restored: Path, results: Mapping[Photograph, ImageRef]) -> _Source:
    return _Source(
        label=restored.resolve().name,
        restore=lambda photograph, rainy: (results[photograph].read(), None),
        file=results.get,
    )


def _methods(requests: Iterable[DerainerRequest]) -> Iterator[_Source]:
    for request in requests:
        with CachedDerainer(request) as derainer:
            yield _method(derainer)
        del derainer  # frees its network before the next one is loaded


def _method(derainer: CachedDerainer) -> _Source:
    def file(photograph: Photograph) -> ImageRef | None:
        path = derainer.path(photograph.dataset, photograph.name)
        return None if path is None else ImageRef(path)

    return _Source(
        label=derainer.label,
        restore=lambda each, rainy: derainer.restore(each.dataset, each.name, rainy),
        file=file,
        about=derainer.about,
        versions=derainer.versions,
    )


# Measuring


def _attempt(
    photograph: Photograph,
    source: _Source,
    metrics: Sequence[LoadedMetric],
    before: dict[Photograph, dict[str, float]],
) -> NoTargetScore | Failure:
    """Measure one result; ``before`` keeps the photographs' own figures for the next source."""
    try:
        rainy = photograph.rainy.read()
        restored, milliseconds = source.restore(photograph, rainy)
    except UsageError:
        raise
    except Exception as error:  # whatever it is, the other photographs can be measured
        return Failure(photograph.name, described(error))
    try:
        if photograph not in before:
            alone = [each for each in metrics if not each.metric.needs]
            before[photograph] = {each.metric.name: each.measure(rainy) for each in alone}
        figures = {each.metric.name: each.measure(restored, rainy=rainy) for each in metrics}
    except PairingError as error:
        raise PairingError(f"{photograph.name}: {error}") from None
    except UsageError:
        raise
    except Exception as error:
        return Failure(photograph.name, described(error))
    height, width = rainy.shape[:2]
    return NoTargetScore(
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
    outcomes: Sequence[NoTargetScore | Failure],
) -> NoTargetScores:
    files = ((each.name, source.file(each)) for each in photographs)
    return NoTargetScores(
        dataset=dataset,
        result=source.label,
        rows=tuple(each for each in outcomes if isinstance(each, NoTargetScore)),
        failures=tuple(each for each in outcomes if isinstance(each, Failure)),
        files=tuple(
            SourceFile(dataset, "restored", stored, name)
            for name, stored in files
            if stored is not None
        ),
    )


def left_out_notices(
    scores: Sequence[NoTargetScores], metrics: Iterable[Metric]
) -> tuple[str, ...]:
    """Say which photographs the means leave out, and where results differ in that."""
    notices = []
    for dataset in dict.fromkeys(each.dataset for each in scores):
        own = [each for each in scores if each.dataset == dataset]
        if len({frozenset(row.name for row in each.rows) for each in own}) > 1:
            notices.append(f"{dataset}: the results were not measured on the same pictures")
        for m in metrics:
            undefined = {
                row.name: min(row.width, row.height) < m.smallest
                for each in own
                for row in each.rows
                if math.isnan(row.figures[m.name])
            }
            small = sum(undefined.values())
            reasons = {
                f"smaller than its {m.smallest} px": small,
                "without what it measures": len(undefined) - small,
            }
            for reason, count in reasons.items():
                if count:
                    are = "picture is" if count == 1 else "pictures are"
                    notices.append(
                        f"{dataset}: {m.name}: {count} {are} {reason} and left out of the mean"
                    )
    return tuple(notices)


# Tables and files


_HEAD = ("dataset", "result", "images")


_TIME = Column(name="milliseconds", title="time ms", form=".1f", higher=False)


CAUTION = (
    "No ground truth: nothing here tells restored detail from lost detail, and blurring changes"
    " most figures as deraining does. Compare methods on the same photographs, and look at them."
)
"""What stands beside all figures of photographs without ground truth."""


def table(found: NoTargetResult, *, emphasis: bool = False) -> TextTable:
    """Return the means of every dataset: first the row of the input, then those of the results.

    Args:
        found: what was measured.
        emphasis: whether the best cells are bold and the second best underlined.
    """
    columns = _columns(found)
    text = emphasised if emphasis else _plainly
    return TextTable(
        "No ground truth: means over photographs; the arrow points to better",
        (*_HEAD, *_arrowed(found, columns)),
        tuple((*head, *map(text, row.cells)) for head, row in _rows(found, columns)),
    )


def _plainly(cell: Cell) -> str:
    return cell.text


def markdown(found: NoTargetResult) -> str:
    """Return the table as Markdown, with what defines and qualifies its figures.

    The best result of a dataset is bold and the second best underlined; the input is not ranked.
    """
    columns = _columns(found)
    rows = [[*head, *map(emphasised, row.cells)] for head, row in _rows(found, columns)]
    head = (*_HEAD, *_arrowed(found, columns))
    lines = [
        "**No ground truth: means over photographs**",
        "",
        *text_tables.markdown(head, rows, texts=2),
        "",
    ]
    return "\n".join([*lines, *_remarks(found)]) + "\n"


def latex(found: NoTargetResult) -> str:
    """Return the table of :func:`markdown` as ``tabular`` for the package booktabs."""
    columns = _columns(found)
    rows = [[*head, *map(emphasised, row.cells)] for head, row in _rows(found, columns)]
    lines = text_tables.latex(
        (*_HEAD, *(column.title for column in columns)),
        rows,
        texts=2,
        rules=[number for number, row in enumerate(rows) if number and row[0]],
    )
    remarks = map(latex_comment, _remarks(found))
    return "\n".join(["% No ground truth: means over photographs", *lines, *remarks]) + "\n"


def write(found: NoTargetResult, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write :data:`FILES` and return their paths; the CSV has a line per photograph and result.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
    """
    texts = (
        markdown(found),
        latex(found),
        _csv(found),
        _json(found),
    )
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def _columns(found: NoTargetResult) -> tuple[Column, ...]:
    columns = tuple(
        Column(
            name=each.metric.name,
            title=each.metric.label,
            form=".4f",
            higher=each.metric.higher_is_better,
        )
        for each in found.metrics
    )
    timed = any(row.milliseconds is not None for each in found.scores for row in each.rows)
    return (*columns, _TIME) if timed else columns


def _arrowed(found: NoTargetResult, columns: Sequence[Column]) -> list[str]:
    arrows = {each.metric.name: each.metric.arrow for each in found.metrics}
    return [f"{column.title} {arrows.get(column.name, '')}".strip() for column in columns]


def _rows(
    found: NoTargetResult, columns: Sequence[Column]
) -> Iterator[tuple[tuple[str, str, str], SummaryRow]]:
    """Yield each row with its first cells; only the first row of a dataset names it."""
    for dataset in dict.fromkeys(each.dataset for each in found.scores):
        own = [each for each in found.scores if each.dataset == dataset]
        name = dataset
        for row in marked([*_input(own, columns), *_results(own, columns)], columns):
            yield (name, row.method, str(row.count)), row
            name = ""


def _input(scores: Sequence[NoTargetScores], columns: Sequence[Column]) -> Iterator[SummaryRow]:
    """Yield the row of the photographs themselves, if a metric gives them figures."""
    # Results may lack some pictures; the row of the input is taken from the fullest result.
    fullest = max((each.rows for each in scores), key=len)
    if any(row.input_figures for row in fullest):
        values = [mean(r.input_figures.get(column.name) for r in fullest) for column in columns]
        yield _row(INPUT, scores[0].dataset, len(fullest), columns, values, kind="input")


def _results(scores: Iterable[NoTargetScores], columns: Sequence[Column]) -> Iterator[SummaryRow]:
    for each in scores:
        figures = [{**row.figures, _TIME.name: row.milliseconds} for row in each.rows]
        values = [mean(own[column.name] for own in figures) for column in columns]
        yield _row(each.result, each.dataset, len(each.rows), columns, values, kind="measured")


def _row(
    result: str,
    dataset: str,
    count: int,
    columns: Sequence[Column],
    values: Sequence[float | None],
    *,
    kind: Literal["input", "measured"],
) -> SummaryRow:
    cells = tuple(Cell(v, shown(v, c.form)) for c, v in zip(columns, values, strict=True))
    return SummaryRow(method=result, dataset=dataset, kind=kind, cells=cells, count=count)


def _remarks(found: NoTargetResult) -> list[str]:
    better = {True: "higher is better", False: "lower is better", None: "neither way is better"}
    metrics = [each.metric for each in found.metrics]
    made = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    return [
        CAUTION,
        *(f"{each.label}: {each.about}; {better[each.higher_is_better]}." for each in metrics),
        *(
            f"{result}: {about['weights']['name']}, {about['weights']['sha256'][:12]},"
            f" {about['runtime']}."
            for result, about in found.about.items()
            if about
        ),
        f"Made with {made}.",
        *(f"Note: {notice}." for notice in found.notices),
        *(f"Not measured: {data}/{each.name}: {each.reason}" for data, each in found.failures),
    ]


def _csv(found: NoTargetResult) -> str:
    """Return one line per photograph and result; cells of undefined figures are empty."""
    names = [each.metric.name for each in found.metrics]
    alone = [f"input_{each.metric.name}" for each in found.metrics if not each.metric.needs]
    head = ["result", "dataset", "protocol"]
    columns = ["name", "width", "height", *names, *alone, "milliseconds"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*head, *columns])
    writer.writeheader()
    for each in found.scores:
        own = {"result": each.result, "dataset": each.dataset, "protocol": NO_TARGET}
        writer.writerows(own | row.to_data() for row in each.rows)
    return text.getvalue()


def _json(found: NoTargetResult) -> str:
    photographs = [file_data(each) for each in found.files]
    results = [
        {"result": scores.result, **file_data(each)}
        for scores in found.scores
        for each in scores.files
    ]
    data = found.to_data() | {"files": photographs + results}
    return json_text(data)
