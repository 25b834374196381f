"""``rainkit eval``: how well a method, or a folder of pictures, restores the clean pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from rainkit.cli.console import counted, errors, print_json
from rainkit.cli.options import (
    Blocks,
    CropToCommon,
    Device,
    Effort,
    Layout,
    Precision,
    RainySide,
    StopBelow,
    Weights,
    tile_side,
)
from rainkit.cli.tables import print_table
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from rainkit.evaluation import Evaluation, FoldersRequest, MethodRequest

__all__ = ["evaluate"]


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS... | RESTORED TARGET",
            help="With --method: dataset folders. Without: restored pictures and their targets.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="Derain the datasets with this method and score it."),
    ] = None,
    rainy: Annotated[
        Path | None,
        typer.Option("--input", help="The pictures before deraining, for the input row."),
    ] = None,
    protocols: Annotated[
        list[str] | None,
        typer.Option("--protocol", help="prenet or restormer; repeatable.", show_default="prenet"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write per_image.csv, metrics.json and table.md to this folder."
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the derained pictures to this folder, as PNG.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    fail_below: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUANTITY=NUMBER",
            help="Exit with 3 if a dataset's mean psnr, ssim, psnr_gain or ssim_gain is lower.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Score this many pictures per dataset.")
    ] = None,
    layout: Layout = None,
    rainy_side: RainySide = None,
    crop_to_common: CropToCommon = False,
    weights: Weights = None,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Annotated[
        str,
        typer.Option(help="Side of the tiles of large pictures in pixels; 0 = whole pictures."),
    ] = "auto",
    blocks: Blocks = None,
    effort: Effort = "full",
    stop_below: StopBelow = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but what failed or missed a bar.")
    ] = False,
) -> None:
    """Score a method on pairs, or restored pictures against their targets.

    PSNR and SSIM are those of luma, under a named protocol. Tables start with
    the input: the rainy pictures as they are.

    Exit codes: 0 all scored, 1 some pictures failed, 2 wrong use or files that
    do not pair up, 3 a --fail-below bar missed.
    """
    from rainkit import evaluation
    from rainkit.datasets.pairs import ReadOptions

    reading = ReadOptions(layout=layout, rainy_side=rainy_side, crop_to_common=crop_to_common)
    chosen = tuple(dict.fromkeys(map(evaluation.protocol, protocols or ["prenet"])))
    side = tile_side(tile)
    request: MethodRequest | FoldersRequest
    if method is not None:
        if rainy is not None:
            raise UsageError(
                "--input goes without --method: a dataset holds its own rainy pictures"
            )
        request = evaluation.MethodRequest(
            method=method,
            datasets=tuple(paths),
            protocols=chosen,
            weights=weights,
            device=device,
            precision=precision,
            tile=side,
            blocks=blocks,
            effort=effort,
            stop_below=stop_below,
            limit=limit,
            save=save,
            overwrite=overwrite,
            reading=reading,
        )
    elif len(paths) == 2:
        if layout is not None or rainy_side is not None:
            raise UsageError("--layout and --rainy-side need --method")
        if save is not None or weights is not None:
            raise UsageError("--save and --weights need --method")
        if blocks is not None or effort != "full" or stop_below is not None:
            raise UsageError("--blocks, --effort and --stop-below need --method")
        request = evaluation.FoldersRequest(
            restored=paths[0],
            target=paths[1],
            protocols=chosen,
            rainy=rainy,
            limit=limit,
            crop_to_common=crop_to_common,
        )
    else:
        raise UsageError(
            f"{counted(len(paths), 'path')} without --method; give RESTORED and TARGET,"
            " or --method NAME"
        )
    whole = evaluation.EvalRequest(
        source=request, output=folder, overwrite=overwrite, bars=tuple(fail_below or ())
    )
    silent = quiet or not errors.is_terminal
    with Progress(console=errors, transient=True, disable=silent) as progress:
        task = progress.add_task("scoring", total=None)
        result = evaluation.run(
            whole, lambda done, total: progress.update(task, completed=done, total=total)
        )
    _show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)


def _show(result: Evaluation, *, as_json: bool, quiet: bool) -> None:
    from rainkit import evaluation

    comparison = result.comparison
    if as_json:
        print_json(comparison.to_data() | {"missed": list(result.missed)})
    elif not quiet:
        for table in evaluation.tables(comparison):
            print_table(
                evaluation.COLUMNS,
                table.rows,
                folded={"dataset"},
                figures=set(evaluation.COLUMNS) - {"dataset", "result"},
                title=table.title,
            )
    for notice in () if quiet else comparison.notices:
        errors.print(f"[yellow]note:[/] {escape(notice)}", highlight=False, soft_wrap=True)
    for dataset, failure in comparison.failures:
        line = f"not scored: {dataset}/{failure.name}: {failure.reason}"
        errors.print(f"[red]{escape(line)}[/]", highlight=False, soft_wrap=True)
    if comparison.failures:
        failed = counted(len(comparison.failures), "picture")
        errors.print(f"{failed} could not be scored", highlight=False)
    for bar in result.missed:
        errors.print(f"[red]below the bar:[/] {escape(bar)}", highlight=False, soft_wrap=True)
    for path in () if quiet else result.written:
        errors.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)
