"""Printing: results go to standard output, and everything else to standard error.

What users name, such as files and datasets, is printed as it is: no console takes square brackets
for markup, ``:words:`` for emoji, or numbers for something to colour.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.table import Table
from rich.text import Text

__all__ = [
    "Verbosity",
    "errors",
    "followed",
    "output",
    "print_event",
    "print_json",
    "print_table",
    "progress_bars",
    "set_verbosity",
    "status",
    "tell",
    "verbosity",
    "warn",
]


_console = functools.partial(Console, markup=False, emoji=False, highlight=False)
output = _console()
errors = _console(stderr=True)


class Verbosity(IntEnum):
    """How much commands say besides their results and their failures."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


_level = Verbosity.NORMAL


def verbosity() -> Verbosity:
    """Return how much commands are to say."""
    return _level


def followed() -> Console:
    """Return the console for what a long run says of itself: standard error, or silence."""
    return _console(quiet=True) if _level == Verbosity.QUIET else errors


def set_verbosity(level: Verbosity) -> None:
    """Choose how much commands say, for all that follows.

    ``VERBOSE`` shows what the library logs under the name ``rainkit``, too.
    """
    global _level
    _level = level
    log = logging.getLogger("rainkit")
    log.removeHandler(_LOGGED)
    log.setLevel(logging.NOTSET)
    if level == Verbosity.VERBOSE:
        log.setLevel(logging.DEBUG)
        log.addHandler(_LOGGED)


class _Logged(logging.Handler):
    """Prints what is logged as lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage(), label=f"{record.name.removeprefix('rainkit.')}:", style="dim")


_LOGGED = _Logged()


class _Turning(Status):
    def start(self) -> None:
        if errors.is_terminal and _level != Verbosity.QUIET:
            super().start()


def status(text: str) -> Status:
    """Return a line that turns on a terminal while something takes long, to be used in ``with``."""
    return _Turning(text, console=errors)


def tell(text: str, *, style: str = "") -> None:
    """Print a line of a result on standard output, broken between words on a terminal."""
    _print(output, Text(text, style))


def warn(text: str, *, label: str = "", style: str = "") -> None:
    """Print a line on standard error, broken between words on a terminal.

    Args:
        text: the line.
        label: a word in front of it, such as ``note:``.
        style: colour of the label, or of the line if it has no label.
    """
    if label == "note:" and _level == Verbosity.QUIET:
        return
    line = Text.assemble((label, style), " ", text) if label else Text(text, style)
    _print(errors, line)


def _print(console: Console, line: Text) -> None:
    # Commands, which are indented, and words that are longer than a line, such as paths, stay
    # whole: the terminal breaks them, and they can be copied.
    whole = not console.is_terminal or line.plain.startswith("  ")
    console.print(line, soft_wrap=whole, overflow="ignore", crop=False)


def progress_bars(*columns: ProgressColumn, quiet: bool = False) -> Progress:
    """Return progress bars on standard error, which are shown on a terminal and then removed.

    Args:
        columns: what they show; by default description, bar, percentage and remaining time.
        quiet: show nothing.
    """
    shown = columns or (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    quiet = quiet or _level == Verbosity.QUIET
    return Progress(*shown, console=errors, transient=True, disable=quiet or not errors.is_terminal)


def print_json(data: Any) -> None:
    """Print data as JSON on standard output, without colours and line breaks of the terminal.

    JSON has no infinity and no NaN: they become ``null``.
    """
    sys.stdout.write(json.dumps(_finite(data), indent=2, allow_nan=False) + "\n")


def print_event(data: Any) -> None:
    """Print data as one line of JSON on standard error, for programs that follow a run."""
    sys.stderr.write(json.dumps(_finite(data), allow_nan=False) + "\n")
    sys.stderr.flush()


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _writable(text: str) -> str:
    """Return text with bytes of file names that are not UTF-8 as ``\\udcd3``, as streams do."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


_LEAST = 12
"""Columns of text are not narrowed below this, since narrower ones cannot be read."""


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    folded: Collection[str] = (),
    figures: Collection[str] = (),
    title: str | None = None,
) -> None:
    """Print rows under headings, or one line per cell if the rows do not fit the terminal.

    Where standard output is no terminal, and COLUMNS does not say otherwise, each row is one line.

    No cell is cut: those of the columns ``folded`` are broken into lines, and all other columns
    are as wide as their cells.

    Args:
        headings: headings of the columns, all different.
        rows: cells in the order of the headings.
        folded: headings of the columns that may be narrowed.
        figures: headings of the columns that are justified to the right.
        title: line above the table.
    """
    cells = [[Text(_writable(c)) if isinstance(c, str) else c for c in row] for row in rows]
    if title is not None:
        tell(f"\n{title}", style="italic")
    natural = [
        max(cell_len(line) for text in (heading, *column) for line in str(text).split("\n"))
        for heading, *column in zip(headings, *cells, strict=True)
    ]
    least = [
        min(width, _LEAST) if heading in folded else width
        for heading, width in zip(headings, natural, strict=True)
    ]
    room = output.width
    if not output.is_terminal and not os.environ.get("COLUMNS"):
        room = max(room, sum(natural) + 2 * (len(headings) - 1))
    for padding in (1, 0):
        gaps = (1 + padding) * (len(headings) - 1)
        widths = _fitted(natural, least, room - gaps)
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
            _print_drawn(table, room)
            return
    _print_stacked(headings, cells)


def _print_drawn(table: Table, width: int) -> None:
    """Print a table, without blanks at the ends of lines where there is no terminal."""
    if output.is_terminal:
        output.print(table)
        return
    console = _console(width=width)
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        output.print(line.rstrip(), soft_wrap=True)


def _fitted(natural: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Return widths that fit, narrowing the widest column first; None if the least do not fit."""
    if sum(least) > room:
        return None
    widths = list(natural)
    while sum(widths) > room:
        spare = [i for i, width in enumerate(widths) if width > least[i]]
        widths[max(spare, key=widths.__getitem__)] -= 1
    return widths


def _print_stacked(headings: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """Print one line per cell that is not empty, and an empty line between rows."""
    wide = max(map(len, headings))
    for number, row in enumerate(rows):
        if number:
            output.print()
        for heading, cell in zip(headings, row, strict=True):
            if cell:
                label = Text(f"{heading:<{wide}}  ", style="bold")
                output.print(label + cell, soft_wrap=True)
