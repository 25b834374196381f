"""What ``rainkit eval`` shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import Progress
from rich.text import Text

from rainkit.cli.console import errors, print_json, print_table
from rainkit.files import counted

if TYPE_CHECKING:
    from pathlib import Path

    from rainkit.evaluation import Evaluation, Scores, TextTable

__all__ = ["scoring", "show", "show_rest"]


def show(result: Evaluation, *, as_json: bool, quiet: bool) -> None:
    """Tables on standard output; notes, failures, bars missed and files on standard error."""
    from rainkit import evaluation

    if as_json:
        print_json(result.to_data())
    elif not quiet:
        for table in evaluation.tables(*result.comparisons):
            print_table(
                evaluation.COLUMNS,
                _styled(table),
                folded={"dataset"},
                figures=set(evaluation.COLUMNS) - {"dataset", "result"},
                title=table.title,
            )
        _show_metrics(result)
        for group in result.groups:
            texts = {group.columns[0], "result"}
            print_table(
                group.columns,
                _styled(group),
                folded=texts,
                figures=set(group.columns) - texts,
                title=group.title,
            )
        if (benefit := result.downstream) is not None:
            print_table(
                benefit.columns,
                benefit.cells,
                folded={"dataset"},
                figures=set(benefit.columns) - {"dataset", "result"},
                title=benefit.title,
            )
    show_rest(result.notices, result.failures, result.written, quiet=quiet)
    for bar in result.missed:
        errors.print(f"[red]below the bar:[/] {escape(bar)}", highlight=False, soft_wrap=True)


@contextmanager
def scoring(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; what it gives is told how many are done, and of how many."""
    with Progress(
        console=errors, transient=True, disable=quiet or not errors.is_terminal
    ) as progress:
        task = progress.add_task("scoring", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def show_rest(
    notices: Iterable[str],
    failures: Iterable[tuple[str, str]],
    written: Iterable[Path],
    *,
    quiet: bool,
) -> None:
    """Print notes, failures and the files written to standard error."""
    if not quiet:
        for notice in notices:
            errors.print(f"[yellow]note:[/] {escape(notice)}", highlight=False, soft_wrap=True)
    failed = list(failures)
    for name, reason in failed:
        line = f"not scored: {name}: {reason}"
        errors.print(f"[red]{escape(line)}[/]", highlight=False, soft_wrap=True)
    if failed:
        pictures = counted(len(failed), "picture")
        errors.print(f"{pictures} could not be scored", highlight=False)
    for path in () if quiet else written:
        errors.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)


def _styled(table: TextTable) -> list[list[str | Text]]:
    """Rows with the best figures bold and the second best underlined."""
    from rainkit.render.text_tables import bold, plain, underlined

    return [
        [
            Text(plain(cell), "bold")
            if cell == bold(plain(cell))
            else Text(plain(cell), "underline")
            if cell == underlined(plain(cell))
            else cell
            for cell in row
        ]
        for row in table.rows
    ]


def _show_metrics(result: Evaluation) -> None:
    """Means of further metrics; they are alike under all protocols."""
    from rainkit.evaluation import METRICS

    found: dict[str, dict[str, Scores]] = {}
    for each in result.comparisons:
        for scores in each.scores:
            if scores.rows:
                found.setdefault(scores.dataset, {}).setdefault(each.restored, scores)
    firsts = [scores.rows[0] for own in found.values() for scores in own.values()]
    names = list(dict.fromkeys(name for row in firsts for name, _ in row.extras))
    if not names:
        return
    rows: list[tuple[str, ...]] = []
    for dataset, own in found.items():
        (first, *_) = own.values()
        before = [_mean(first, f"input_{name}") for name in names]
        if any(before):
            rows.append((dataset, "input", *before))
        for restored, scores in own.items():
            rows.append((dataset, restored, *(_mean(scores, name) for name in names)))
    headings = [f"{METRICS[name].label} {METRICS[name].arrow}".strip() for name in names]
    title = "Further metrics, means; the arrow points to better"
    print_table(("dataset", "result", *headings), rows, figures=headings, title=title)


def _mean(scores: Scores, name: str) -> str:
    """Empty where it was not measured."""
    first = scores.rows[0]
    if name not in {*dict(first.extras), *(f"input_{extra}" for extra, _ in first.input_extras)}:
        return ""
    mean = scores.summary(name).mean
    return "n/a" if math.isnan(mean) else f"{mean:.4f}"
