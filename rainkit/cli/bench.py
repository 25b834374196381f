"""``rainkit bench``: how fast methods run, and what they cost."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rainkit import choices
from rainkit.cli import completion
from rainkit.cli.console import print_json, print_table, status, warn
from rainkit.cli.options import OUTPUT, Device, Json, Overwrite, choice
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from rainkit.benchmarking import Benchmark, Comparison

__all__ = ["bench"]


_ROWS = "What is timed"
_OTHERS = "Other people's networks, in the same run"
_HOW = "How it is timed"


def bench(
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS]",
            help="Time this method with its default weights, or the network of others; repeatable.",
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
            help="Time every variant of the methods; without it only that of the default weights.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            "--size",
            metavar="HxW|N|720p|1080p",
            help="Height and width of the pictures; N for N x N. Repeatable.",
            show_default="512",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    batches: Annotated[
        list[str] | None,
        typer.Option(
            "--batch",
            metavar="N|1-N",
            help="Pictures per pass; 1-16 for 1, 2, 4, 8 and 16. Repeatable.",
            show_default="1",
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
        list[str] | None,
        choice(
            choices.TimedBackend,
            "--backend",
            help="What executes the networks; repeatable. plain is torch as it comes: float32, "
            "NCHW, no folding. infer --backend auto uses these times.",
            panel=_ROWS,
            show_default="eager",
        ),
    ] = None,
    torchscript: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Time the network of a TorchScript file, too. Repeatable.",
            rich_help_panel=_OTHERS,
        ),
    ] = None,
    onnx: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Time the network of an ONNX file in ONNX Runtime, too. Repeatable.",
            rich_help_panel=_OTHERS,
        ),
    ] = None,
    imported: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE:CALLABLE",
            help="Time what this makes, too: an nn.Module, or a function of pictures [B,3,H,W]. "
            "Repeatable.",
            rich_help_panel=_OTHERS,
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Timed passes per row.",
            show_default="enough: 2 seconds of them, 10 to 200",
            rich_help_panel=_HOW,
        ),
    ] = None,
    warmup: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Least number of passes before the timed ones, which begin when times are stable.",
            rich_help_panel=_HOW,
        ),
    ] = 3,
    rounds: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Let all rows take turns N times, so that their ratios hold on a shared machine.",
            rich_help_panel=_HOW,
        ),
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="CPU threads; the process is pinned to as many CPUs.",
            show_default="torch's choice",
            rich_help_panel=_HOW,
        ),
    ] = None,
    end_to_end: Annotated[
        bool,
        typer.Option(
            "--end-to-end",
            help="Time whole files, too: a JPEG decoded, derained and encoded.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Begin no further network after this time.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Add the times that the methods' papers print, of their rivals, too.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="OLD.json",
            help="Compare with an earlier --json or --output; exit with 3 if a row is slower.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    bar: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="PERCENT",
            help="Growth of a row's median that --compare lets pass.",
            rich_help_panel=OUTPUT,
        ),
    ] = 10,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write bench.json, .md, .csv and .tex, and bench.svg: quality over time and size.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the table as Markdown, too.", rich_help_panel=OUTPUT
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Time methods on random pictures: speed, arithmetic, memory, and nearness to the limit.

    Networks run in processes of their own. Weights do not change the times, but
    a file of weights may hold another network than the method's default. roof is
    the share of what the device was measured to do at most. Rows whose times
    scatter are measured again.

    For example:

      rainkit bench --all --published

      rainkit bench -m granet --backend plain --backend eager --rounds 5

      rainkit bench --all --onnx prenet.onnx --import networks:PReNet

      rainkit bench --all --compare last-week/ --bar 5

    Exit codes: 0 all timed, 1 some failed, 2 wrong use, 3 a row is slower.
    """
    others = (torchscript, onnx, imported)
    if (methods and every) or not (methods or every or any(others)):
        raise UsageError("give --method NAME (repeatable) or --all")
    if variants and not (methods or every):
        raise UsageError("--variants is about methods: give --method NAME or --all")

    from rich.text import Text

    from rainkit import benchmarking
    from rainkit.render.text_tables import check_folder

    if markdown is not None and markdown.is_dir():
        raise UsageError(f"--markdown {markdown}: is a folder; name a file, or pass --output")
    if markdown is not None and markdown.exists() and not overwrite:
        raise UsageError(f"{markdown} exists; pass --overwrite, or name another --markdown FILE")
    if output is not None:
        check_folder(output, benchmarking.FILES, overwrite=overwrite)
    before = None if compare is None else benchmarking.earlier(compare)
    request = benchmarking.BenchRequest(
        methods=tuple(methods or ()),
        every=every,
        variants=variants,
        torchscript=tuple(torchscript or ()),
        onnx=tuple(onnx or ()),
        imported=tuple(imported or ()),
        sizes=tuple(map(benchmarking.parse_size, sizes or ["512"])),
        batches=tuple(n for text in batches or ["1"] for n in benchmarking.parse_batch(text)),
        precisions=tuple(precisions or [choices.Precision.AUTO]),
        backends=tuple(executed_by or [choices.Backend.EAGER]),
        device=device,
        rounds=rounds,
        runs=runs,
        warmup=warmup,
        threads=threads,
        end_to_end=end_to_end,
        published=published,
        seconds=seconds,
    )
    with status("starting") as shown:
        result = benchmarking.run(
            request,
            lambda where, job: shown.update(
                Text(f"{where}: {job.method} {job.variant} {job.size} {job.backend}")
            ),
        )
    comparison = None
    if before is not None and compare is not None:
        comparison = benchmarking.compared(result, before, compare, bar / 100)
    _show(result, comparison, as_json=as_json)
    command = shlex.join(["rainkit", *sys.argv[1:]])
    if markdown is not None:
        text = benchmarking.markdown(result, command)
        benchmarking.write(text, markdown, overwrite=overwrite)
        warn(f"wrote {markdown}")
    if output is not None:
        for path in benchmarking.write_all(result, output, command, overwrite=overwrite):
            warn(f"wrote {path}")
    if comparison is not None and comparison.missed:
        raise typer.Exit(3)
    raise typer.Exit(1 if result.failed else 0)


def _show(result: Benchmark, comparison: Comparison | None, *, as_json: bool) -> None:
    from rainkit import benchmarking

    if as_json:
        data: dict[str, Any] = result.to_data()
        if comparison is not None:
            data["comparison"] = comparison.to_data()
        print_json(data)
    else:
        _print(result, comparison)
        for notice in benchmarking.notices(result):
            warn(notice, label="note:", style="yellow")
    for row in result.rows:
        if row.problem is not None:
            line = " ".join(benchmarking.cells(row, ()))
            warn(line, style="red")
    for note in () if comparison is None else comparison.notes:
        warn(note, label="note:", style="yellow")
    if comparison is not None and not comparison.changes:
        warn("no row can be compared", label="below the bar:", style="red")
    for change in () if comparison is None else comparison.changes:
        if change.slower:
            said = " ".join(filter(None, change.cells()[:7]))
            warn(f"{said}; {comparison.bar:.0%} are allowed" if comparison else said,
                 label="below the bar:", style="red")  # fmt: skip


def _print(result: Benchmark, comparison: Comparison | None) -> None:
    from rainkit import benchmarking

    shown = benchmarking.columns(result, in_terminal=True)
    headings = [column.heading for column in shown]
    if result.timed:
        print_table(
            headings,
            [benchmarking.cells(row, shown) for row in result.timed],
            figures=headings[4:],
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
    if comparison is not None and comparison.changes:
        print_table(
            benchmarking.COMPARED,
            [change.cells() for change in comparison.changes],
            figures=benchmarking.COMPARED[4:7],
            title=f"Milliseconds of {comparison.path} and now",
        )
