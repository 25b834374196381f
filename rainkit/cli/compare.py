"""``rainkit compare``: say whether stored results differ by more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rainkit.cli.console import print_json, print_table, warn
from rainkit.cli.options import INPUT, OUTPUT, Json, Overwrite, Quiet, refuse_together

__all__ = ["compare"]


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="METRICS...",
            help="Files metrics.json that rainkit eval or score wrote, or their folders.",
            show_default=False,
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The result that all others are compared with.",
            show_default="the first",
            rich_help_panel=INPUT,
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Compare this, such as ssim, psnr_gain or gmsd. Repeatable.",
            show_default="psnr, ssim and every further metric that both have",
            rich_help_panel=INPUT,
        ),
    ] = None,
    max_drops: Annotated[
        list[str] | None,
        typer.Option(
            "--max-drop",
            metavar="QUANTITY=NUMBER",
            help="Exit with 3 if a mean psnr, ssim, psnr_gain or ssim_gain falls by more than"
            " this from the first file to another one. Repeatable.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Write compare.md, .json, .tex and .csv to this folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether stored results differ by more than chance, picture by picture.

    This reads what rainkit eval and score wrote before; nothing is scored
    again. Tables show the mean difference from the reference with its 95 %
    interval, the number of pictures on which the result is better, and the p
    of a signed-rank test, adjusted by Holm.

    For example:

      rainkit compare scores-a/ scores-b/ -o comparison/

      rainkit compare scores/metrics.json --reference granet --metric ssim

      rainkit compare before/ after/ --max-drop psnr=0.05

    Exit codes: 0 compared, 1 a file is not a metrics.json, 2 wrong use or
    nothing that the results have in common, 3 a mean fell too far.
    """
    from rainkit.evaluation.compare import CompareRequest, tables
    from rainkit.evaluation.compare import compare as compared

    if max_drops:
        refuse_together("--max-drop", {"--reference": reference})
    request = CompareRequest(
        files=tuple(files),
        reference=reference,
        quantities=tuple(dict.fromkeys(metrics or ())),
        max_drops=tuple(dict.fromkeys(max_drops or ())),
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
    for bar in result.missed:
        warn(bar, label="below the bar:", style="red")
    for path in () if quiet else result.written:
        warn(f"wrote {path}")
    raise typer.Exit(result.exit_code)
