"""``rainkit bench``: how fast methods run, and what they cost."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rainkit.cli.console import errors, print_json, print_table, warn
from rainkit.cli.options import Device
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from rainkit.benchmarking import Benchmark

__all__ = ["bench"]


def bench(
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="Time this method; repeatable.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Time every installed method.")] = False,
    variants: Annotated[
        bool, typer.Option("--variants", help="Time every variant, not the default alone.")
    ] = False,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="HxW", help="Repeatable.", show_default="512x512"),
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option(
            "--precision", help="auto, fp32, bf16 or fp16; repeatable.", show_default="auto"
        ),
    ] = None,
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Pictures per pass.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Timed passes per row.")] = 20,
    warmup: Annotated[int, typer.Option(min=1, help="Passes before them.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads.", show_default="torch's choice")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown too.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
) -> None:
    """Time methods on random pictures: speed, processor time, arithmetic and memory.

    Every row runs in a process of its own. Weights are not needed and change no time.

    Exit codes: 0 all timed, 1 some methods failed, 2 wrong use.
    """
    if bool(methods) == every:
        raise UsageError("give --method NAME (repeatable) or --all")
    if markdown is not None and markdown.exists() and not overwrite:
        raise UsageError(f"{markdown} exists; pass --overwrite, or another --markdown")

    from rainkit import benchmarking

    request = benchmarking.BenchRequest(
        methods=tuple(methods or ()),
        variants=variants,
        sizes=tuple(map(benchmarking.parse_size, sizes or ["512x512"])),
        precisions=tuple(precisions or ["auto"]),
        device=device,
        batch=batch,
        runs=runs,
        warmup=warmup,
        threads=threads,
    )
    with errors.status("starting") as status:
        result = benchmarking.run(
            request,
            lambda done, total, job: status.update(
                f"{done + 1} of {total}: {job.method} {job.variant} {job.height}x{job.width}"
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
    for row in result.rows:
        if row.problem is not None:
            line = " ".join(benchmarking.cells(row))
            warn(line, style="red")
