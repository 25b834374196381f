"""Where commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "errors",
    "output",
    "print_json",
    "print_table",
]


output = Console(soft_wrap=False)
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """Data as plain JSON on standard output: never coloured, wrapped or cut to the terminal.

    JSON has no infinity and no NaN: they become ``null``.
    """
    sys.stdout.write(json.dumps(_finite(data), indent=2, allow_nan=False) + "\n")


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


_LEAST = 12  # a column of text narrower than this is no reading


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    folded: Collection[str] = (),
    figures: Collection[str] = (),
    title: str | None = None,
) -> None:
    """Print rows under headings, or one line per cell where that does not fit the terminal.

    Nothing is ever cut: columns in ``folded`` take several lines, all others are as wide as what
    they hold.

    Args:
        headings: of the columns, all different.
        rows: cells in the order of the headings. Plain text, in which square brackets are
            themselves.
        folded: headings of the columns that may be narrowed.
        figures: headings of the columns that are justified to the right.
        title: printed above.
    """
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if title is not None:
        output.print(f"\n{title}", style="italic", markup=False, highlight=False, soft_wrap=True)
    natural = [
        max(cell_len(line) for text in (heading, *column) for line in str(text).split("\n"))
        for heading, *column in zip(headings, *cells, strict=True)
    ]
    least = [
        min(width, _LEAST) if heading in folded else width
        for heading, width in zip(headings, natural, strict=True)
    ]
    for padding in (1, 0):
        gaps = (1 + padding) * (len(headings) - 1)
        widths = _fitted(natural, least, output.width - gaps)
        if widths is not None:
            table = Table(
                box=box.SIMPLE_HEAD,
                show_edge=False,
                pad_edge=False,
                collapse_padding=True,
                padding=(0, padding),
            )
            for heading, width in zip(headings, widths, strict=True):
                right = heading in figures
                table.add_column(
                    heading, width=width, justify="right" if right else "left", overflow="fold"
                )
            for row in cells:
                table.add_row(*row)
            output.print(table)
            return
    _print_stacked(headings, cells)


def _fitted(natural: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Widths that fit, the widest column narrowed first; None where even the least do not."""
    if sum(least) > room:
        return None
    widths = list(natural)
    while sum(widths) > room:
        spare = [i for i, width in enumerate(widths) if width > least[i]]
        widths[max(spare, key=widths.__getitem__)] -= 1
    return widths


def _print_stacked(headings: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """Empty cells are left out, rows are set apart; the terminal itself breaks long lines."""
    wide = max(map(len, headings))
    for number, row in enumerate(rows):
        if number:
            output.print()
        for heading, cell in zip(headings, row, strict=True):
            if cell:
                label = Text(f"{heading:<{wide}}  ", style="bold")
                output.print(label + cell, highlight=False, soft_wrap=True)
