"""Compared results as tables and files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

from rainkit.evaluation.stored.differences import METHOD, Compared, Difference
from rainkit.evaluation.texts import TextTable, json_text, latex_comment, write_texts
from rainkit.reports import text_tables

__all__ = ["FILES", "latex", "markdown", "tables", "write"]

FILES = ("compare.md", "compare.json", "compare.tex", "compare.csv")
"""What :func:`write` makes."""
_COLUMNS = ("dataset", "result", "n", "mean diff", "95 % interval")


def tables(compared: Compared) -> tuple[TextTable, ...]:
    """One table per quantity and protocol, in order."""
    found: dict[tuple[str, str], list[Difference]] = {}
    for each in compared.differences:
        found.setdefault((each.label, each.quantity), []).append(each)
    return tuple(_table(compared, group) for group in found.values())


def markdown(compared: Compared) -> str:
    """The tables as Markdown, with how they are made and what qualifies them."""
    lines: list[str] = []
    for table in tables(compared):
        lines += [f"**{table.title}**", "", *text_tables.markdown(table.columns, table.rows, 2), ""]
    lines += [f"{METHOD}.", *(f"Note: {notice}." for notice in compared.notices)]
    return "\n".join(lines) + "\n"


def latex(compared: Compared) -> str:
    """The tables as ``tabular`` for the package booktabs."""
    lines: list[str] = []
    for table in tables(compared):
        lines += [latex_comment(table.title), *text_tables.latex(table.columns, table.rows, 2), ""]
    lines += [
        latex_comment(f"{METHOD}."),
        *(latex_comment(f"Note: {each}.") for each in compared.notices),
    ]
    return "\n".join(lines) + "\n"


def write(compared: Compared, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write ``compare.md``, ``compare.json``, ``compare.tex`` and ``compare.csv``.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        ImageError: the folder cannot be written.
    """
    texts = (markdown(compared), json_text(compared.to_data()), latex(compared), _csv(compared))
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def _table(compared: Compared, group: list[Difference]) -> TextTable:
    first = group[0]
    better = first.higher_is_better
    direction = {True: "higher is better", False: "lower is better", None: "neither way is better"}
    counts = "higher/same/lower" if better is None else "better/same/worse"
    title = f"{first.title} ({first.label}, {direction[better]}): difference from"
    return TextTable(
        title=f"{title} {compared.reference}",
        columns=(*_COLUMNS, counts, "p (Holm)"),
        rows=tuple(map(_row, group)),
    )


def _row(each: Difference) -> tuple[str, ...]:
    found = each.found
    digits = 3 if each.quantity in ("psnr", "psnr_gain") else 5
    low, mean, high = (_signed(value, digits) for value in (found.low, found.mean, found.high))
    counts = [found.higher, found.ties, found.lower]
    if each.higher_is_better is False:
        counts.reverse()
    return (
        each.dataset,
        each.restored,
        str(found.count),
        mean,
        "n/a" if math.isnan(found.low) else f"{low} to {high}",
        " / ".join(map(str, counts)),
        _probability(each.p_holm),
    )


def _signed(value: float, digits: int) -> str:
    # A zero is neither gain nor loss, and has no sign, not even that of -0.0.
    if math.isnan(value):
        return "n/a"
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def _probability(p: float | None) -> str:
    if p is None:
        return "n/a"
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _csv(compared: Compared) -> str:
    """One line per quantity, result and picture; infinite as inf, what is not as nothing."""
    text = io.StringIO()
    writer = csv.writer(text)
    head = ("dataset", "label", "quantity", "reference", "result")
    writer.writerow([*head, "picture", "reference_figure", "result_figure", "difference"])
    for each in compared.differences:
        words = (each.dataset, each.label, each.quantity, compared.reference, each.restored)
        writer.writerows((*words, *cells) for cells in _pictures(each))
    return text.getvalue()


def _pictures(each: Difference) -> Iterator[tuple[str | float, ...]]:
    for name, before, after in each.pictures:
        figures = (before, after, after - before)
        yield (name, *("" if math.isnan(figure) else figure for figure in figures))
