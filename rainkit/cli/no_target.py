"""``rainkit no-target``: measure what deraining does to photographs without ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rainkit import choices
from rainkit.cli import scoring as o
from rainkit.cli.console import print_json, print_table
from rainkit.cli.options import (
    OUTPUT,
    CropToCommon,
    Device,
    Effort,
    Json,
    Overwrite,
    Precision,
    Quiet,
    Tile,
    WorkSize,
)
from rainkit.errors import UsageError
from rainkit.runtime_options import RuntimeOptions

__all__ = ["no_target"]


def no_target(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTOS...",
            help="Folders of rainy photographs, or photographs.",
            show_default=False,
        ),
    ],
    methods: o.Methods = None,
    restored: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Measure these pictures, which were restored elsewhere and are matched by name,"
            " instead of methods.",
            rich_help_panel=o.WHAT,
        ),
    ] = None,
    limit: o.Limit = None,
    metrics: o.Metrics = None,
    crop_to_common: CropToCommon = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Write no_target.md, .tex, .csv and .json to this folder, and keep the derained"
            " pictures in its folder restored.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Write a page to --output, too, no_target.html: photographs and results side by"
            " side.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    device: Device = "auto",
    precision: Precision = choices.Precision.AUTO,
    tile: Tile = "auto",
    work_size: WorkSize = "auto",
    effort: Effort = "full",
) -> None:
    """Measure what deraining does to photographs that have no ground truth.

    For example:

      rainkit no-target photos/ -m granet -m resguidenet -o scores/ --report

      rainkit no-target photos/ --restored restored/

    Exit codes: 0 all measured, 1 a picture, or a file that is needed, cannot
    be used, 2 wrong use or files that do not pair up.
    """
    from rainkit.evaluation import DerainerRequest
    from rainkit.evaluation import no_target as library
    from rainkit.evaluation.methods import choose_methods

    if methods and restored is not None:
        raise UsageError("give --method NAME or --restored FOLDER, but not both")
    if not methods and (restored is None or len(photos) != 1):
        raise UsageError(
            "give --method NAME; or one folder of photographs and --restored FOLDER, the pictures"
            " that were restored from them"
        )
    options = RuntimeOptions.parse(
        device=device, precision=precision, tile=tile, work_size=work_size, effort=effort
    )
    chosen = choose_methods(methods or ())
    measured, skipped = library.metrics_without_target(metrics or ())
    request = library.NoTargetRequest(
        folders=tuple(photos),
        metrics=measured,
        methods=tuple(
            DerainerRequest(
                method=row.method,
                weights=row.weights,
                label=row.label,
                keep=folder,
                options=options,
            )
            for row in chosen.rows
        ),
        restored=restored,
        limit=limit,
        crop_to_common=crop_to_common,
        notices=(*skipped, *chosen.notices),
    )
    with o.progress(quiet=quiet) as advance:
        result, written = library.run(
            request, folder, overwrite=overwrite, report=report, advance=advance
        )
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        table = library.table(result)
        texts = {"dataset", "result"}
        print_table(
            table.columns,
            table.rows,
            folded=texts,
            figures=set(table.columns) - texts,
            title=table.title,
        )
    failures = [(f"{dataset}/{each.name}", each.reason) for dataset, each in result.failures]
    o.show_rest(result.notices, failures, written, quiet=quiet)
    raise typer.Exit(result.exit_code)
