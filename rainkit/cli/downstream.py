"""``rainkit downstream``: measure whether deraining helps a detection or segmentation model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rainkit import choices
from rainkit.cli import completion
from rainkit.cli import scoring as o
from rainkit.cli.console import print_json
from rainkit.cli.options import (
    OUTPUT,
    READING,
    CropToCommon,
    Device,
    Effort,
    Json,
    Layout,
    Overwrite,
    Precision,
    Quiet,
    RainySide,
    Tile,
    WorkSize,
    choice,
)
from rainkit.runtime_options import RuntimeOptions

__all__ = ["downstream"]

MODEL = "The model and its labels"


def downstream(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS|PHOTOS...",
            help="Dataset folders of pairs; or rainy photographs without clean ones, in folders or"
            " as files.",
            show_default=False,
        ),
    ],
    methods: Annotated[
        list[str],
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS][@LABEL]",
            help="Derain with this method; WEIGHTS is a tag, a file, or a folder with weights of"
            " several variants. NAME may be all. Repeatable.",
            autocompletion=completion.methods_with_weights("all"),
            rich_help_panel=o.WHAT,
        ),
    ],
    task: Annotated[
        choices.DownstreamTask,
        choice(choices.DownstreamTask, "--task", help="What the model does.", panel=MODEL),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="FILE|NAME=FILE",
            help="The model: a file of TorchScript (.pt) or ONNX (.onnx), or the name of a"
            " torchvision model and a file of its weights.",
            rich_help_panel=MODEL,
        ),
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Write downstream.md, .json and .tex, the scores and the derained pictures to this"
            " folder. Photographs must lie outside of it.",
            rich_help_panel=OUTPUT,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A COCO file, a folder of KITTI files, or a folder of class maps; of photographs"
            " some may lack labels. Without it, the model's answer on the clean picture counts as"
            " true, and answers on photographs are compared with each other.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Name of the model's next class, from 1 on, for labels that name classes and for"
            " the page. Repeatable.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    photos: Annotated[
        bool,
        typer.Option(
            "--photos",
            help="Take all pictures for photographs without clean ones, whatever their layout.",
            rich_help_panel=READING,
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Write downstream.html, too: all versions of a picture with the model's boxes or"
            " masks, side by side.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    limit: o.Limit = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    layout: Layout = None,
    rainy_side: RainySide = None,
    crop_to_common: CropToCommon = False,
    device: Device = "auto",
    precision: Precision = choices.Precision.AUTO,
    tile: Tile = "auto",
    work_size: WorkSize = "auto",
    effort: Effort = "full",
) -> None:
    """Run a detector or segmenter on rainy, derained and clean pictures, and compare its figures.

    Photographs of real rain have no clean pictures: give a folder of them, and
    labels if there are some.

    For example:

      rainkit downstream pairs/ -m granet --task detection --model m.pt -o out/

      rainkit downstream photos/ -m all --task detection --model m.pt -o out/

    Exit codes: 0 all done, 1 a picture, or a file that is needed, cannot be
    used, 2 wrong use or files that do not pair up.
    """
    from rainkit import evaluation
    from rainkit.datasets.pairs import ReadOptions
    from rainkit.evaluation import downstream as library
    from rainkit.evaluation.methods import choose_methods

    options = RuntimeOptions.parse(
        device=device, precision=precision, tile=tile, work_size=work_size, effort=effort
    )
    reading = ReadOptions(layout=layout, rainy_side=rainy_side, crop_to_common=crop_to_common)
    chosen = choose_methods(methods)
    common: dict[str, Any] = {"keep": folder, "options": options}
    rows: list[dict[str, Any]] = [
        {"method": row.method, "weights": row.weights, "label": row.label} | common
        for row in chosen.rows
    ]
    asked = library.DownstreamRequest(
        task=task,
        model=model,
        labels=labels,
        classes=tuple(classes or ()),
        device=device,
        report=report,
    )
    if photos or library.are_photographs(sources, reading):
        found = library.PhotographsRequest(
            folders=tuple(sources),
            methods=tuple(evaluation.DerainerRequest(**row) for row in rows),
            output=folder,
            model=asked,
            limit=limit,
            overwrite=overwrite,
            notices=chosen.notices,
        )
        with o.progress(quiet=quiet) as advance:
            benefit, written = library.run_photographs(found, advance)
        if as_json:
            print_json(benefit.to_data())
        elif not quiet:
            o.show_downstream(benefit)
        failed = [(f"{dataset}/{each.name}", each.reason) for dataset, each in benefit.failures]
        o.show_rest(benefit.notices, failed, written, quiet=quiet)
        raise typer.Exit(benefit.exit_code)
    request = evaluation.EvalRequest(
        sources=tuple(
            evaluation.MethodRequest(
                **row,
                datasets=tuple(sources),
                protocols=(evaluation.protocol("prenet"),),
                limit=limit,
                reading=reading,
            )
            for row in rows
        ),
        output=folder,
        overwrite=overwrite,
        downstream=asked,
        notices=chosen.notices,
    )
    with o.progress(quiet=quiet) as advance:
        result = evaluation.run(request, advance)
    o.show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)
