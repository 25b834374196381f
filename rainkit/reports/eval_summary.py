"""Means of methods on datasets, with the best and the second best marked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rainkit.reports.eval_data import EvalReport, EvalResult, PictureScore

__all__ = [
    "INPUT",
    "MEAN",
    "Cell",
    "Column",
    "Kind",
    "SummaryRow",
    "SummaryTable",
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
        higher: whether more is better; None = not ranked.
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
    """A method or a part of it on a dataset, the input, or what a paper prints."""

    method: str
    dataset: str
    kind: Kind
    cells: tuple[Cell, ...]
    count: int | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryTable:
    """All rows under one protocol, dataset by dataset, the mean over datasets last.

    ``notes`` say what makes rows not comparable.
    """

    protocol: str
    columns: tuple[Column, ...]
    rows: tuple[SummaryRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        """Each once, in order, the mean among them."""
        return tuple(dict.fromkeys(row.dataset for row in self.rows))


def summary(report: EvalReport, protocol: str) -> SummaryTable:
    """The table of one protocol.

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
        groups.append(_rows(own, columns))
    if len(groups) > 1:
        groups.append(_means(groups, columns))
    rows: list[SummaryRow] = []
    for group in groups:
        rows += marked(group, columns)
        rows += _published(report, group[0].dataset, columns) if group else []
    return SummaryTable(protocol=protocol, columns=columns, rows=tuple(rows), notes=tuple(notes))


def mean(values: Iterable[float | None]) -> float | None:
    """Of the finite ones; ``inf`` where all are, NaN where none is a number, None of nothing."""
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
            name=extra.name,
            title=extra.title,
            form=f".{extra.digits}f",
            higher=extra.higher_is_better,
        )
        for extra in report.extras
        if any(extra.name in score.extras for score in scores)
    ]
    if any(score.milliseconds is not None for score in scores):
        columns.append(Column(name="milliseconds", title="time ms", form=".1f", higher=False))
    return tuple(columns)


def _rows(results: Sequence[EvalResult], columns: Sequence[Column]) -> list[SummaryRow]:
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


def _means(groups: Sequence[Sequence[SummaryRow]], columns: Sequence[Column]) -> list[SummaryRow]:
    """Of what was measured on every dataset."""
    methods = dict.fromkeys((row.method, row.kind) for group in groups for row in group)
    means = []
    for method, kind in methods:
        own = [row for group in groups for row in group if (row.method, row.kind) == (method, kind)]
        if len(own) == len(groups):
            values = [
                None if any(cell.value is None for cell in cells) else mean(c.value for c in cells)
                for cells in zip(*(row.cells for row in own), strict=True)
            ]
            means.append(_row(method, MEAN, kind, columns, values))
    return means


def _published(report: EvalReport, dataset: str, columns: Sequence[Column]) -> list[SummaryRow]:
    return [
        _row(
            each.method,
            dataset,
            "published",
            columns,
            [getattr(each, c.name, None) if c.name in _PRINTED else None for c in columns],
            note=each.note,
        )
        for each in report.published
        if _plain(each.dataset) == _plain(dataset)
    ]


def _plain(dataset: str) -> str:
    """``rain100h`` for ``Rain-100 H``: papers and folders write names their own way."""
    return "".join(letter for letter in dataset.casefold() if letter.isalnum())


_PRINTED = ("psnr", "ssim", "milliseconds")


def _value(score: PictureScore, name: str) -> float | None:
    if name in score.extras:
        return score.extras[name]
    value: float | None = getattr(score, name, None)
    return value


def _before(score: PictureScore, name: str) -> float | None:
    """The rainy picture's own figure."""
    own = {"psnr": score.input_psnr, "ssim": score.input_ssim}
    return own[name] if name in own else score.input_extras.get(name)


def _row(
    method: str,
    dataset: str,
    kind: Kind,
    columns: Sequence[Column],
    values: Sequence[float | None],
    count: int | None = None,
    note: str = "",
) -> SummaryRow:
    cells = tuple(Cell(v, shown(v, c.form)) for c, v in zip(columns, values, strict=True))
    return SummaryRow(
        method=method, dataset=dataset, kind=kind, cells=cells, count=count, note=note
    )


def shown(value: float | None, form: str) -> str:
    """A figure as text; empty for none."""
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
