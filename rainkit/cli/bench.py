"""``rainkit bench``: how fast methods run, and what they cost."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rainkit import choices
from rainkit.cli import completion
from rainkit.cli.console import print_json, print_table, status, warn
from rainkit.cli.options import OUTPUT, Device, Json, Overwrite, choice
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from rainkit.benchmarking import Benchmark

__all__ = ["bench"]


_ROWS = "What is timed"
_HOW = "How it is timed"


def bench(
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS]",
            help="Time this method, or the network of its weights; repeatable.",
            autocompletion=completion.methods,
            show_default=False,
            rich_help_panel=_ROWS,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Time every installed method.", rich_help_panel=_ROWS)
    ] = False,
    variants: Annotated[
        bool,
        typer.Option(
            "--variants",
            help="Time every variant of the methods; without it only the default.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Height and width of the pictures; repeatable.",
            show_default="512x512",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    precisions: Annotated[
        list[choices.Precision] | None,
        choice(
            choices.Precision,
            "--precision",
            help="Number format that the network runs in; repeatable.",
            panel=_ROWS,
            show_default="auto",
        ),
    ] = None,
    device: Device = "auto",
    executed_by: Annotated[
        list[choices.Backend] | None,
        choice(
            choices.Backend,
            "--backend",
            help="What executes the networks; repeatable. infer --backend auto uses these times.",
            panel=_ROWS,
            show_default="eager",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Pictures per pass.", rich_help_panel=_HOW),
    ] = 1,
    runs: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Timed passes per row.", rich_help_panel=_HOW),
    ] = 20,
    warmup: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Passes before the timed ones.", rich_help_panel=_HOW
        ),
    ] = 3,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="CPU threads.",
            show_default="torch's choice",
            rich_help_panel=_HOW,
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Add the times that the methods' papers print.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the table as Markdown, too.", rich_help_panel=OUTPUT
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Time methods on random pictures: speed, processor time, arithmetic and memory.

    Every row runs in a process of its own. Weights do not change the times, but a file of weights
    may hold another network than the method's default.

    Exit codes: 0 all timed, 1 some methods failed, 2 wrong use.

    For example:

      rainkit bench --all

      rainkit bench -m granet --size 512x512 --size 1080x1920 --precision fp32 --device cpu
    """
    if bool(methods) == every:
        raise UsageError("give --method NAME (repeatable) or --all")
    if markdown is not None and markdown.exists() and not overwrite:
        raise UsageError(f"{markdown} exists; pass --overwrite, or name another --markdown FILE")

    from rich.text import Text

    from rainkit import benchmarking

    request = benchmarking.BenchRequest(
        methods=tuple(methods or ()),
        variants=variants,
        sizes=tuple(map(benchmarking.parse_size, sizes or ["512x512"])),
        precisions=tuple(precisions or [choices.Precision.AUTO]),
        device=device,
        batch=batch,
        runs=runs,
        warmup=warmup,
        threads=threads,
        published=published,
        backends=tuple(executed_by or [choices.Backend.EAGER]),
    )
    with status("starting") as shown:
        result = benchmarking.run(
            request,
            lambda done, total, job: shown.update(
                Text(f"{done + 1} of {total}: {job.method} {job.variant} {job.height}x{job.width}")
            ),
        )
    _show(result, as_json=as_json)
    if markdown is not None:
        command = shlex.join(["rainkit", *sys.argv[1:]])
        text = benchmarking.markdown(result, command)
        benchmarking.write(text, markdown, overwrite=overwrite)
        warn(f"wrote {markdown}")
    raise typer.Exit(1 if result.failed else 0)


def _show(result: Benchmark, *, as_json: bool) -> None:
    from rainkit import benchmarking

    if as_json:
        print_json(result.to_data())
        return
    timed = [benchmarking.cells(row) for row in result.rows if row.timing is not None]
    if timed:
        print_table(
            benchmarking.COLUMNS,
            timed,
            figures=benchmarking.COLUMNS[4:],
            title=benchmarking.title(result),
        )
    if result.published:
        print_table(
            benchmarking.PUBLISHED,
            benchmarking.published(result),
            folded=benchmarking.PUBLISHED[:3],
            figures={"seconds"},
            title="Published in the papers, not measured here",
        )
    for row in result.rows:
        if row.problem is not None:
            line = " ".join(benchmarking.cells(row))
            warn(line, style="red")
