"""``rainkit compare``: whether two results differ by more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rainkit.cli.console import print_json, print_table, warn

__all__ = ["compare"]


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="METRICS...",
            help="Files metrics.json of rainkit eval -o, or their folders.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The result that all others are compared with.",
            show_default="the first",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Compare this, such as ssim, psnr_gain or gmsd; repeatable.",
            show_default="psnr, ssim and every further metric that both have",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write compare.md, .json, .tex and .csv to this folder."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Say whether stored results differ by more than chance, picture by picture.

    Reads what rainkit eval wrote before; nothing is scored again. Tables show
    the mean difference from the reference with its 95 % interval, on how many
    pictures it is better, and the p of a signed-rank test, adjusted by Holm.

    For example:

      rainkit compare scores-a/ scores-b/ -o comparison/

      rainkit compare scores/metrics.json --reference granet --metric ssim

    Exit codes: 0 compared, 1 a file is not a metrics.json, 2 wrong use or
    nothing that the results have in common.
    """
    from rainkit.evaluation.compare import CompareRequest, tables
    from rainkit.evaluation.compare import compare as compared

    request = CompareRequest(
        files=tuple(files),
        reference=reference,
        quantities=tuple(dict.fromkeys(metrics or ())),
        output=folder,
        overwrite=overwrite,
    )
    result = compared(request)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        for table in tables(result):
            print_table(
                table.columns,
                table.rows,
                folded={"dataset", "result"},
                figures=table.columns[2:],
                title=table.title,
            )
    for notice in () if quiet else result.notices:
        warn(notice, label="note:", style="yellow")
    for path in () if quiet else result.written:
        warn(f"wrote {path}")
