"""Writing what was measured without ground truth: no_target.md, .tex, .csv and .json."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from rainkit.evaluation.tables import file_data
from rainkit.evaluation.texts import TextTable, json_text, latex_comment, write_texts
from rainkit.evaluation.unpaired.scores import NO_TARGET, Unpaired, UnpairedScores
from rainkit.reports.eval_summary import INPUT, Cell, Column, SummaryRow, marked, mean, shown
from rainkit.reports.eval_tables import emphasised
from rainkit.reports.text_tables import latex, markdown

__all__ = [
    "FILES",
    "unpaired_latex",
    "unpaired_markdown",
    "unpaired_table",
    "write_unpaired",
]

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
