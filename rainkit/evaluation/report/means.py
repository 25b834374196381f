"""Means of methods on datasets, and tables of them for papers and pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rainkit.evaluation.metrics.registry import METRICS
from rainkit.evaluation.report.data import EvalReport, EvalResult
from rainkit.evaluation.scores import Score
from rainkit.published import same_dataset
from rainkit.render.text_tables import bold, latex, markdown, underlined

__all__ = [
    "INPUT",
    "MEAN",
    "Cell",
    "Column",
    "Kind",
    "SummaryRow",
    "SummaryTable",
    "emphasised",
    "eval_latex",
    "eval_markdown",
    "labelled",
    "marked",
    "mean",
    "shown",
    "summary",
]


INPUT = "input"
"""The row of the rainy pictures themselves."""

MEAN = "mean"
"""The dataset that stands for all of them, each counting alike, as in the papers."""

Kind = Literal["input", "measured", "part", "published"]
Mark = Literal["", "best", "second"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A quantity of the table.

    Attributes:
        name: psnr, ssim, psnr_gain, ssim_gain, milliseconds, or that of an extra metric.
        title: the heading.
        form: a format specification.
        higher: whether more is better; None if the quantity is not ranked.
    """

    name: str
    title: str
    form: str
    higher: bool | None = True


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, as shown and as ranked."""

    value: float | None
    text: str
    mark: Mark = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryRow:
    """A row of a table: a method, a part of it, the input or a published result on a dataset."""

    method: str
    dataset: str
    kind: Kind
    cells: tuple[Cell, ...]
    count: int | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryTable:
    """The rows under one protocol, dataset by dataset; the mean over datasets comes last.

    ``notes`` say why rows may not be compared.
    """

    protocol: str
    columns: tuple[Column, ...]
    rows: tuple[SummaryRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the datasets, each once, in order, the mean among them."""
        return tuple(dict.fromkeys(row.dataset for row in self.rows))


def summary(report: EvalReport, protocol: str) -> SummaryTable:
    """Return the table of one protocol.

    Every dataset has its input row first, then the measured methods, then published rows. These
    are not ranked, since their protocol need not be this one, nor are parts of methods.
    """
    results = report.under(protocol)
    columns = _columns(report, results)
    groups: list[list[SummaryRow]] = []
    notes = []
    for dataset in dict.fromkeys(each.dataset for each in results):
        own = [each for each in results if each.dataset == dataset]
        if len({frozenset(score.name for score in each.pictures) for each in own}) > 1:
            notes.append(f"{dataset}: the methods were not scored on the same pictures")
        groups.append(_summary_rows(own, columns))
    if len(groups) > 1:
        # A dataset may be called so, too.
        taken = any(each.dataset == MEAN for each in results)
        groups.append(_means(groups, columns, f"{MEAN} over datasets" if taken else MEAN))
    rows: list[SummaryRow] = []
    for group in groups:
        rows += marked(group, columns)
        rows += _published(report, group[0].dataset, columns) if group else []
    return SummaryTable(protocol=protocol, columns=columns, rows=tuple(rows), notes=tuple(notes))


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the finite values.

    Without any it is ``inf`` if all are infinite, else NaN; it is None if there are no values.
    """
    some = [value for value in values if value is not None]
    finite = [value for value in some if math.isfinite(value)]
    if finite:
        return math.fsum(finite) / len(finite)
    if some:
        return math.inf if all(value == math.inf for value in some) else math.nan
    return None


def _columns(report: EvalReport, results: Sequence[EvalResult]) -> tuple[Column, ...]:
    scores = [score for each in results for score in each.pictures]
    columns = [
        Column(name="psnr", title="PSNR dB", form=".2f"),
        Column(name="ssim", title="SSIM", form=".4f"),
    ]
    if any(score.input_psnr is not None for score in scores):
        columns += [
            Column(name="psnr_gain", title="gain dB", form="+.2f"),
            Column(name="ssim_gain", title="gain SSIM", form="+.4f"),
        ]
    columns += [
        Column(
            name=name,
            title=METRICS[name].label,
            form=".4f",
            higher=METRICS[name].higher_is_better,
        )
        for name in report.metrics
        if any(name in dict(score.extras) for score in scores)
    ]
    if any(score.milliseconds is not None for score in scores):
        columns.append(Column(name="milliseconds", title="time ms", form=".1f", higher=False))
    return tuple(columns)


def _summary_rows(results: Sequence[EvalResult], columns: Sequence[Column]) -> list[SummaryRow]:
    rows = []
    # Methods may lack some pictures; the input's row is that of the most.
    fullest = max(
        ([s for s in each.pictures if s.input_psnr is not None] for each in results), key=len
    )
    if fullest:
        values = [mean(_before(score, column.name) for score in fullest) for column in columns]
        rows.append(_row(INPUT, results[0].dataset, "input", columns, values, len(fullest)))
    for each in results:
        values = [mean(_value(score, column.name) for score in each.pictures) for column in columns]
        kind: Kind = "measured" if each.part_of is None else "part"
        rows.append(_row(each.method, each.dataset, kind, columns, values, len(each.pictures)))
    return rows


def _means(
    groups: Sequence[Sequence[SummaryRow]], columns: Sequence[Column], name: str
) -> list[SummaryRow]:
    """Return the means over datasets, of methods that were measured on every dataset."""
    methods = dict.fromkeys((row.method, row.kind) for group in groups for row in group)
    means = []
    for method, kind in methods:
        own = [row for group in groups for row in group if (row.method, row.kind) == (method, kind)]
        if len(own) == len(groups):
            values = [
                None if any(cell.value is None for cell in cells) else mean(c.value for c in cells)
                for cells in zip(*(row.cells for row in own), strict=True)
            ]
            means.append(_row(method, name, kind, columns, values))
    return means


def _published(report: EvalReport, dataset: str, columns: Sequence[Column]) -> list[SummaryRow]:
    rows = []
    for each in report.published:
        figures = {"psnr": each.result.psnr, "ssim": each.result.ssim}
        if same_dataset(each.result.dataset, dataset):
            printed = [figures.get(column.name) for column in columns]
            named = each.result.dataset
            printed_for = "" if named.casefold() == dataset.casefold() else f"printed for {named}"
            cells = (Cell(float(text), str(text)) if text else Cell(None, "") for text in printed)
            rows.append(
                SummaryRow(
                    method=each.name,
                    dataset=dataset,
                    kind="published",
                    cells=tuple(cells),
                    note="; ".join(filter(None, (printed_for, each.note))),
                )
            )
    return rows


def _value(score: Score, name: str) -> float | None:
    extras = dict(score.extras)
    if name in extras:
        return extras[name]
    value: float | None = getattr(score, name, None)
    return value


def _before(score: Score, name: str) -> float | None:
    """Return the rainy picture's own figure."""
    own = {"psnr": score.input_psnr, "ssim": score.input_ssim}
    return own[name] if name in own else dict(score.input_extras).get(name)


def _row(
    method: str,
    dataset: str,
    kind: Kind,
    columns: Sequence[Column],
    values: Sequence[float | None],
    count: int | None = None,
) -> SummaryRow:
    cells = tuple(Cell(v, shown(v, c.form)) for c, v in zip(columns, values, strict=True))
    return SummaryRow(method=method, dataset=dataset, kind=kind, cells=cells, count=count)


def shown(value: float | None, form: str) -> str:
    """Return a figure as text; empty for None."""
    if value is None:
        return ""
    return "n/a" if math.isnan(value) else format(value, form)


def marked(rows: Sequence[SummaryRow], columns: Sequence[Column]) -> list[SummaryRow]:
    """Mark the best and second best of the measured rows; the input takes no part."""
    by_column = []
    for i, column in enumerate(columns):
        cells = [row.cells[i] for row in rows]
        ranked = [row.kind == "measured" for row in rows]
        by_column.append(_ranked(cells, ranked, column.higher))
    return [
        replace(row, cells=tuple(cells[i] for cells in by_column)) for i, row in enumerate(rows)
    ]


def _ranked(cells: Sequence[Cell], ranked: Sequence[bool], higher: bool | None) -> list[Cell]:
    # What is printed alike is equally good: means differ in digits that mean nothing.
    figures = [
        (cell.text, cell.value)
        for cell, ranks in zip(cells, ranked, strict=True)
        if ranks and cell.value is not None and not math.isnan(cell.value)
    ]
    if higher is None or len(figures) < 2:
        return list(cells)
    printed = dict(figures)
    order = sorted(printed, key=lambda text: printed[text], reverse=higher)
    marks: dict[str, Mark] = dict(zip(order, ("best", "second"), strict=False))
    return [
        replace(cell, mark=marks.get(cell.text, "")) if ranks else cell
        for cell, ranks in zip(cells, ranked, strict=True)
    ]


def eval_markdown(report: EvalReport, quantities: Sequence[str] = ()) -> str:
    """Return a table per protocol, with a row per method and columns of every dataset.

    The best is bold and the second best underlined; published rows are marked and not ranked.

    Args:
        report: what was measured.
        quantities: psnr, ssim, psnr_gain, ssim_gain, milliseconds, or names of further metrics;
            those that were not measured are left out. PSNR, SSIM and all further metrics if empty.
    """
    quantities = quantities or ("psnr", "ssim", *report.metrics)
    lines: list[str] = []
    for protocol in report.labels:
        table = summary(report, protocol)
        titles = _titles(table, quantities)
        columns = [f"{dataset} {title}" for dataset in table.datasets for title in titles]
        rows, _ = _cell_rows(table, quantities)
        lines += [
            f"**Protocol {protocol}**",
            "",
            *markdown([f"method ({protocol})", *columns], rows),
            "",
        ]
        lines += [f"Protocol {protocol}: {text}" for text in _words(report, protocol)]
        lines += [*_remarks(table), ""]
    return "\n".join([*lines, *_about(report)]).rstrip() + "\n"


def eval_latex(report: EvalReport, quantities: Sequence[str] = ("psnr", "ssim")) -> str:
    """Return the tables of :func:`eval_markdown` as ``tabular`` for the package booktabs."""
    lines: list[str] = []
    for protocol in report.labels:
        table = summary(report, protocol)
        titles = _titles(table, quantities)
        rows, rules = _cell_rows(table, quantities)
        # A comment ends with its line, whatever a protocol's words hold.
        words = [f"% Protocol {protocol}", *(f"% {text}" for text in _words(report, protocol))]
        lines += [" ".join(line.split()) for line in words]
        lines += latex(
            ["method", *titles * len(table.datasets)],
            rows,
            groups=[(protocol, 1), *((dataset, len(titles)) for dataset in table.datasets)],
            rules=rules,
        )
        lines += [" ".join(f"% {line}".split()) for line in _remarks(table)]
        lines.append("")
    lines += [" ".join(f"% {line}".split()) for line in _about(report)]
    return "\n".join(lines).rstrip() + "\n"


def _about(report: EvalReport) -> list[str]:
    """Return lines about all tables: the numbers of pictures, what made them, notes."""
    counts = {
        dataset: max(len(each.pictures) for each in report.results if each.dataset == dataset)
        for dataset in report.datasets
    }
    return [
        "Pictures: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + ".",
        *(f"{name}: {text}." for name, text in report.facts.items()),
        *(f"Note: {note}." for note in report.notes),
        *(f"Not scored: {name}: {reason}" for name, reason in report.failures),
    ]


def _words(report: EvalReport, protocol: str) -> list[str]:
    words = report.protocols.get(protocol)
    return [words] if words else []


def _remarks(table: SummaryTable) -> list[str]:
    notes = [f"Note: {note}." for note in table.notes]
    printed = [row for row in table.rows if row.kind == "published"]
    if printed:
        notes.append(
            "Rows marked 'published' are what papers print, not measured here, and not always of"
            " this protocol and these pictures."
        )
    about: dict[str, dict[str, None]] = {}
    for row in printed:
        for note in filter(None, row.note.split("; ")):
            about.setdefault(f"{row.dataset}: {note}", {})[row.method] = None
    notes += [f"Published, {note} ({'; '.join(names)})." for note, names in about.items()]
    return notes


def _titles(table: SummaryTable, quantities: Sequence[str]) -> list[str]:
    titles = {column.name: column.title for column in table.columns}
    return [titles[name] for name in quantities if name in titles]


def labelled(method: str, kind: str) -> str:
    """Return a row's name for tables of text, in which published rows have no other mark."""
    return f"{method} (published)" if kind == "published" else method


def _cell_rows(table: SummaryTable, quantities: Sequence[str]) -> tuple[list[list[str]], list[int]]:
    """Return rows of cells, and the numbers of the rows that have a line above them."""
    names = [column.name for column in table.columns]
    indices = [names.index(name) for name in quantities if name in names]
    by_method: dict[tuple[str, str], dict[str, SummaryRow]] = {}
    for kinds in (("input",), ("measured", "part"), ("published",)):
        for row in table.rows:
            if row.kind in kinds:
                by_method.setdefault((kinds[0], row.method), {})[row.dataset] = row
    rows: list[list[str]] = []
    rules: list[int] = []
    last = ""
    for (kind, method), own in by_method.items():
        if last and kind != last:
            rules.append(len(rows))
        last = kind
        cells = [
            emphasised(own[dataset].cells[i]) if dataset in own else ""
            for dataset in table.datasets
            for i in indices
        ]
        rows.append([labelled(method, kind), *cells])
    return rows, rules


def emphasised(cell: Cell) -> str:
    """Return a cell's text, bold for the best and underlined for the second best."""
    if cell.mark == "best":
        return bold(cell.text)
    return underlined(cell.text) if cell.mark == "second" else cell.text
