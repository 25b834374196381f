"""What the commands that score pictures share: options, progress, and how results are shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.text import Text

from rainkit import choices
from rainkit.cli import completion
from rainkit.cli.completion import starting
from rainkit.cli.console import print_json, print_table, progress_bars, warn
from rainkit.cli.options import OUTPUT, choice
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.evaluation import Evaluation, Scores, TextTable
    from rainkit.evaluation.downstream import Downstream

__all__ = [
    "HOW",
    "WHAT",
    "By",
    "FailBelow",
    "Limit",
    "Methods",
    "Metrics",
    "Output",
    "Protocols",
    "Report",
    "progress",
    "show",
    "show_downstream",
    "show_rest",
]

WHAT = "What is scored"
HOW = "How it is scored"


Methods: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-m",
        metavar="NAME[=WEIGHTS][@LABEL]",
        help="Derain with this method; WEIGHTS is a tag, a file, or a folder with weights of"
        " several variants. NAME may be all. Repeatable.",
        autocompletion=completion.methods_with_weights("all"),
        rich_help_panel=WHAT,
    ),
]
Limit: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Score only the first pictures of each dataset.",
        rich_help_panel=WHAT,
    ),
]
Protocols: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        metavar="NAME[+exact]",
        help=f"How PSNR and SSIM are computed: {', '.join(choices.Protocol)}; +exact computes in"
        " float64. Repeatable.",
        autocompletion=starting(choices.Protocol),
        show_default="prenet",
        rich_help_panel=HOW,
    ),
]
Metrics: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME[=DIR]",
        autocompletion=starting(choices.Metric),
        help="Measure this, too, such as gmsd or mae; lpips, dists and brisque need weights, which"
        " lie in the folder DIR. Repeatable.",
        rich_help_panel=HOW,
    ),
]
By: TypeAlias = Annotated[
    list[choices.RainAttribute] | None,
    choice(
        choices.RainAttribute,
        "--by",
        metavar="ATTRIBUTE",
        help="Add means by an attribute of the rain, for datasets of rainkit synth. Repeatable.",
        panel=HOW,
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Write per_image.csv, metrics.json and table.md to this folder.",
        rich_help_panel=OUTPUT,
    ),
]
Report: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Write index.html, table.tex and plots to --output, too.",
        rich_help_panel=OUTPUT,
    ),
]
FailBelow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="QUANTITY=NUMBER",
        help="Exit with 3 if a dataset's mean psnr, ssim, psnr_gain or ssim_gain is lower."
        " Repeatable.",
        rich_help_panel=OUTPUT,
    ),
]


def show(result: Evaluation, *, as_json: bool, quiet: bool) -> None:
    """Print tables to standard output, and notes, failures and missed bars to standard error."""
    from rainkit import evaluation

    if as_json:
        print_json(result.to_data())
    elif not quiet:
        for table in evaluation.tables(*result.comparisons, published=result.published):
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
        if result.downstream is not None:
            show_downstream(result.downstream)
    show_rest(result.notices, result.failures, result.written, quiet=quiet)
    for bar in result.missed:
        warn(bar, label="below the bar:", style="red")


def show_downstream(benefit: Downstream) -> None:
    """Print the table of what a model makes of rainy and derained pictures."""
    print_table(
        benefit.columns,
        benefit.cells,
        folded={"dataset"},
        figures=set(benefit.columns) - {"dataset", "result"},
        title=benefit.title,
    )


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; call what it gives with the pictures done and all."""
    with progress_bars(quiet=quiet) as bar:
        task = bar.add_task("scoring", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


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
            warn(notice, label="note:", style="yellow")
    failed = list(failures)
    for name, reason in failed:
        line = f"not scored: {name}: {reason}"
        warn(line, style="red")
    if failed:
        pictures = counted(len(failed), "picture")
        warn(f"{pictures} could not be scored")
    for path in () if quiet else written:
        warn(f"wrote {path}")


def _styled(table: TextTable) -> list[list[str | Text]]:
    """Return the rows with the best figures bold and the second best underlined."""
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
    """Print the means of further metrics, which are the same under all protocols."""
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
    """Return a metric's mean as text; empty if it was not measured."""
    first = scores.rows[0]
    if name not in {*dict(first.extras), *(f"input_{extra}" for extra, _ in first.input_extras)}:
        return ""
    mean = scores.summary(name).mean
    return "n/a" if math.isnan(mean) else f"{mean:.4f}"
