"""Photographs without ground truth: what can be measured of results all the same."""

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
from rainkit.datasets.matching import PairFiles, check_sizes, cropped, named, notice_of_crops
from rainkit.datasets.pairs import find_matches
from rainkit.errors import PairingError, RainkitError, UsageError
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
from rainkit.render.text_tables import (
    TextTable,
    check_folder,
    finite,
    json_text,
    latex,
    latex_comment,
    markdown,
    write_texts,
)

__all__ = [
    "DEFAULT_METRICS",
    "FILES",
    "NO_TARGET",
    "Photograph",
    "Unpaired",
    "UnpairedRequest",
    "UnpairedScore",
    "UnpairedScores",
    "evaluate_unpaired",
    "found_photographs",
    "left_out_notices",
    "matched_photographs",
    "metrics_without_target",
    "run_unpaired",
    "unpaired_latex",
    "unpaired_markdown",
    "unpaired_table",
    "write_unpaired",
]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A rainy picture without ground truth; ``name`` is unique in its ``dataset``."""

    dataset: str
    name: str
    rainy: ImageRef


def found_photographs(
    folders: Sequence[Path], *, limit: int | None = None
) -> tuple[Photograph, ...]:
    """All pictures of folders and files, each once; those of a folder in natural order.

    A file named directly belongs to the folder it lies in. Folders of one name have their parent's
    in front.

    Args:
        folders: searched through all their levels.
        limit: pictures per folder at most.

    Raises:
        UsageError: a path without pictures, or folders that cannot be told apart.
    """
    pairs: dict[Path, list[PairFiles]] = {}
    for found in images.find(folders):
        root = (found.path.parent if found.root is None else found.root).resolve()
        name, stored = found.relative.with_suffix("").as_posix(), ImageRef(found.path)
        # As pairs, each its own partner, they are named as those of datasets.
        pairs.setdefault(root, []).append(PairFiles(name, stored, stored))
    names = _names(pairs)
    return tuple(
        Photograph(names[root], pair.name, pair.rainy)
        for root, own in pairs.items()
        for pair in named(own)[:limit]
    )


def matched_photographs(
    folder: Path, restored: Path, *, limit: int | None = None, crop_to_common: bool = False
) -> dict[Photograph, ImageRef]:
    """The photographs of one folder with their results, matched by name; or of one file.

    Args:
        folder: of rainy pictures.
        restored: of results.
        limit: pictures at most.
        crop_to_common: cut the two to their common size.

    Raises:
        UsageError, PairingError: as :func:`rainkit.datasets.pairs.find_matches`.
    """
    for option, given in (("", restored), ("--input ", folder)):
        if not given.exists():
            raise UsageError(f"{option}{given}: does not exist; give a folder or a picture")
    path = folder.resolve()
    dataset = path.name if path.is_dir() else path.parent.name
    results = {}
    for match in find_matches(restored, folder)[:limit]:
        result, rainy = match.rainy, match.clean
        if crop_to_common:
            result, rainy = cropped((result, rainy))
        results[Photograph(dataset, match.name, rainy)] = result
    return results


def _names(roots: Iterable[Path]) -> dict[Path, str]:
    """Distinct ones, the parent's name in front if need be."""
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


NO_TARGET = "no ground truth"
"""Stands wherever other evaluations name their protocol."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpairedScore:
    """One result on one photograph.

    Attributes:
        name: of the photograph, unique in its dataset.
        width: in px.
        height: in px.
        figures: by metric; NaN where undefined.
        input_figures: the photograph's own, of the metrics that compare with nothing.
        milliseconds: what deraining took; None where nothing was derained.
    """

    name: str
    width: int
    height: int
    figures: Mapping[str, float]
    input_figures: Mapping[str, float] = field(default_factory=dict)
    milliseconds: float | None = None

    def to_data(self) -> dict[str, Any]:
        """For JSON: NaN becomes null."""
        figures = {name: finite(value) for name, value in self.figures.items()}
        before = {f"input_{name}": finite(value) for name, value in self.input_figures.items()}
        size = {"name": self.name, "width": self.width, "height": self.height}
        return size | figures | before | {"milliseconds": self.milliseconds}


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpairedScores:
    """One result on all photographs of one dataset.

    Attributes:
        dataset: the folder's name.
        result: the method, with its weights if they were chosen, or the folder of results.
        rows: one per photograph that was measured.
        failures: the others.
        files: of the results, where they are kept.
    """

    dataset: str
    result: str
    rows: tuple[UnpairedScore, ...]
    failures: tuple[Failure, ...] = ()
    files: tuple[SourceFile, ...] = ()

    def summary(self, metric: str) -> Summary:
        """Of the result."""
        return Summary.of([row.figures[metric] for row in self.rows])

    def input_summary(self, metric: str) -> Summary:
        """Of the photographs themselves; of no values if the metric compares with them."""
        return Summary.of([r.input_figures[metric] for r in self.rows if metric in r.input_figures])

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
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
class Unpaired:
    """What an evaluation without ground truth found.

    Attributes:
        metrics: what was measured.
        scores: one per dataset and result; datasets in order, results within.
        about: of each result, by its name: method, weights and runtime.
        versions: of everything that decodes or computes.
        notices: what a reader of the figures must know.
        files: the photographs.
    """

    metrics: tuple[LoadedMetric, ...]
    scores: tuple[UnpairedScores, ...]
    about: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    notices: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()

    @property
    def failures(self) -> tuple[tuple[str, Failure], ...]:
        """Photographs that could not be measured and why, with the name of their dataset."""
        pairs = ((each.dataset, failure) for each in self.scores for failure in each.failures)
        return tuple(dict.fromkeys(pairs))

    @property
    def exit_code(self) -> int:
        """1 when a picture failed, else 0."""
        return 1 if self.failures else 0

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
        return {
            "protocol": NO_TARGET,
            "sources": [{"result": result, **about} for result, about in self.about.items()],
            "metrics": [each.to_data() for each in self.metrics],
            "versions": dict(self.versions),
            "notices": list(self.notices),
            "results": [each.to_data() for each in self.scores],
        }


def left_out_notices(
    scores: Sequence[UnpairedScores], metrics: Iterable[Metric]
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


FILES = ("no_target.md", "no_target.tex", "no_target.csv", "no_target.json")
"""What :func:`write_unpaired` makes."""

_HEAD = ("dataset", "result", "images")
_TIME = Column(name="milliseconds", title="time ms", form=".1f", higher=False)
_CAUTION = (
    "No ground truth: nothing here tells restored detail from lost detail, and blurring changes"
    " most figures as deraining does. Compare methods on the same photographs, and look at them."
)


def unpaired_table(unpaired: Unpaired) -> TextTable:
    """The means of every dataset: the input's row first, then those of the results."""
    columns = _columns(unpaired)
    return TextTable(
        "No ground truth: means over photographs; the arrow points to better",
        (*_HEAD, *_arrowed(unpaired, columns)),
        tuple(
            (*head, *(cell.text for cell in row.cells)) for head, row in _rows(unpaired, columns)
        ),
    )


def unpaired_markdown(unpaired: Unpaired) -> str:
    """The table as Markdown, with what defines and qualifies its figures.

    The best result of a dataset is bold and the second best underlined; the input takes no part.
    """
    columns = _columns(unpaired)
    rows = [[*head, *map(emphasised, row.cells)] for head, row in _rows(unpaired, columns)]
    head = (*_HEAD, *_arrowed(unpaired, columns))
    lines = ["**No ground truth: means over photographs**", "", *markdown(head, rows, texts=2), ""]
    return "\n".join([*lines, *_remarks(unpaired)]) + "\n"


def unpaired_latex(unpaired: Unpaired) -> str:
    """The table of :func:`unpaired_markdown` as ``tabular`` for the package booktabs."""
    columns = _columns(unpaired)
    rows = [[*head, *map(emphasised, row.cells)] for head, row in _rows(unpaired, columns)]
    table = latex(
        (*_HEAD, *(column.title for column in columns)),
        rows,
        texts=2,
        rules=[number for number, row in enumerate(rows) if number and row[0]],
    )
    remarks = map(latex_comment, _remarks(unpaired))
    return "\n".join(["% No ground truth: means over photographs", *table, *remarks]) + "\n"


def write_unpaired(
    unpaired: Unpaired, folder: Path, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write :data:`FILES`; the CSV has a line per photograph and result.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
    """
    texts = (
        unpaired_markdown(unpaired),
        unpaired_latex(unpaired),
        _csv(unpaired),
        _json(unpaired),
    )
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def _columns(unpaired: Unpaired) -> tuple[Column, ...]:
    columns = tuple(
        Column(
            name=each.metric.name,
            title=each.metric.label,
            form=".4f",
            higher=each.metric.higher_is_better,
        )
        for each in unpaired.metrics
    )
    timed = any(row.milliseconds is not None for each in unpaired.scores for row in each.rows)
    return (*columns, _TIME) if timed else columns


def _arrowed(unpaired: Unpaired, columns: Sequence[Column]) -> list[str]:
    arrows = {each.metric.name: each.metric.arrow for each in unpaired.metrics}
    return [f"{column.title} {arrows.get(column.name, '')}".strip() for column in columns]


def _rows(
    unpaired: Unpaired, columns: Sequence[Column]
) -> Iterator[tuple[tuple[str, str, str], SummaryRow]]:
    """Each with its first cells; a dataset is named once."""
    for dataset in dict.fromkeys(each.dataset for each in unpaired.scores):
        own = [each for each in unpaired.scores if each.dataset == dataset]
        name = dataset
        for row in marked([*_input(own, columns), *_results(own, columns)], columns):
            yield (name, row.method, str(row.count)), row
            name = ""


def _input(scores: Sequence[UnpairedScores], columns: Sequence[Column]) -> Iterator[SummaryRow]:
    """The photographs' own figures, where a metric gives them any."""
    # Results may lack some pictures; the input's row is that of the most.
    fullest = max((each.rows for each in scores), key=len)
    if any(row.input_figures for row in fullest):
        values = [mean(r.input_figures.get(column.name) for r in fullest) for column in columns]
        yield _row(INPUT, scores[0].dataset, len(fullest), columns, values, kind="input")


def _results(scores: Iterable[UnpairedScores], columns: Sequence[Column]) -> Iterator[SummaryRow]:
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


def _remarks(unpaired: Unpaired) -> list[str]:
    better = {True: "higher is better", False: "lower is better", None: "neither way is better"}
    metrics = [each.metric for each in unpaired.metrics]
    made = ", ".join(f"{name} {version}" for name, version in unpaired.versions.items())
    return [
        _CAUTION,
        *(f"{each.label}: {each.about}; {better[each.higher_is_better]}." for each in metrics),
        *(
            f"{result}: {about['weights']['name']}, {about['weights']['sha256'][:12]},"
            f" {about['runtime']}."
            for result, about in unpaired.about.items()
            if about
        ),
        f"Made with {made}.",
        *(f"Note: {notice}." for notice in unpaired.notices),
        *(f"Not measured: {data}/{each.name}: {each.reason}" for data, each in unpaired.failures),
    ]


def _csv(unpaired: Unpaired) -> str:
    """One line per photograph and result; what is undefined is empty."""
    names = [each.metric.name for each in unpaired.metrics]
    alone = [f"input_{each.metric.name}" for each in unpaired.metrics if not each.metric.needs]
    head = ["result", "dataset", "protocol"]
    columns = ["name", "width", "height", *names, *alone, "milliseconds"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*head, *columns])
    writer.writeheader()
    for each in unpaired.scores:
        own = {"result": each.result, "dataset": each.dataset, "protocol": NO_TARGET}
        writer.writerows(own | row.to_data() for row in each.rows)
    return text.getvalue()


def _json(unpaired: Unpaired) -> str:
    photographs = [file_data(each) for each in unpaired.files]
    results = [
        {"result": scores.result, **file_data(each)}
        for scores in unpaired.scores
        for each in scores.files
    ]
    data = unpaired.to_data() | {"files": photographs + results}
    return json_text(data)


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
    metrics: tuple[LoadedMetric, ...]
    methods: tuple[DerainerRequest, ...] = ()
    restored: Path | None = None
    limit: int | None = None
    crop_to_common: bool = False
    notices: tuple[str, ...] = ()


def metrics_without_target(
    names: Iterable[str] = (), *, weights_dir: Path | None = None
) -> tuple[tuple[LoadedMetric, ...], tuple[str, ...]]:
    """Load :data:`DEFAULT_METRICS` and more: ``(metrics, skipped)``, a line for each left out.

    Args:
        names: of :data:`rainkit.evaluation.METRICS`.
        weights_dir: folder of weights; with it, BRISQUE is measured too.

    Raises:
        UsageError: an unknown name, or one that needs a target.
    """
    chosen = [*DEFAULT_METRICS, *names, *(["brisque"] if weights_dir is not None else [])]
    _refuse_targets(map(metric, chosen))
    return load_metrics(chosen, weights_dir=weights_dir, have=("input",))


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
        sources = _methods(request.methods)
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
    file: Callable[[Photograph], ImageRef | None]
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
    check_derainers(request.methods)
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
        del derainer  # and its network, before the next one is loaded


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


def _attempt(
    photograph: Photograph,
    source: _Source,
    metrics: Sequence[LoadedMetric],
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
