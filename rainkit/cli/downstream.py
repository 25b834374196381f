"""``rainkit downstream``: say whether deraining helps a detection or segmentation model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rainkit import choices
from rainkit.cli import scoring as o
from rainkit.cli.options import (
    OUTPUT,
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
    pairs: Annotated[
        list[Path],
        typer.Argument(metavar="PAIRS...", help="Dataset folders of pairs.", show_default=False),
    ],
    methods: Annotated[
        list[str],
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS][@LABEL]",
            help="Derain with this method; WEIGHTS is a tag, a file, or a folder with weights of"
            " several variants. NAME may be all. Repeatable.",
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
            help="Write downstream.md, .json and .tex, the scores and the derained pictures to this"
            " folder.",
            rich_help_panel=OUTPUT,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A COCO file, a folder of KITTI files, or a folder of class maps. Without it, the"
            " model's answer on the clean picture counts as true.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Name of the model's next class, from 1 on, for labels that name classes."
            " Repeatable.",
            rich_help_panel=MODEL,
        ),
    ] = None,
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
    work_size: WorkSize = "full",
    effort: Effort = "full",
) -> None:
    """Run a detector or segmenter on rainy, derained and clean pictures, and compare its figures.

    For example:

      rainkit downstream pairs/ -m granet --task detection --model m.pt -o out/

    Exit codes: 0 all done, 1 a picture, or a file that is needed, cannot be
    used, 2 wrong use or files that do not pair up.
    """
    from rainkit import evaluation
    from rainkit.datasets.pairs import ReadOptions
    from rainkit.evaluation.downstream import DownstreamRequest
    from rainkit.evaluation.methods import choose_methods

    options = RuntimeOptions.parse(
        device=device, precision=precision, tile=tile, work_size=work_size, effort=effort
    )
    chosen = choose_methods(methods)
    request = evaluation.EvalRequest(
        sources=tuple(
            evaluation.MethodRequest(
                method=row.method,
                weights=row.weights,
                label=row.label,
                keep=folder,
                datasets=tuple(pairs),
                protocols=(evaluation.protocol("prenet"),),
                limit=limit,
                reading=ReadOptions(
                    layout=layout, rainy_side=rainy_side, crop_to_common=crop_to_common
                ),
                options=options,
            )
            for row in chosen.rows
        ),
        output=folder,
        overwrite=overwrite,
        downstream=DownstreamRequest(
            task=task,
            model=model,
            labels=labels,
            classes=tuple(classes or ()),
            device=device,
        ),
        notices=chosen.notices,
    )
    with o.progress(quiet=quiet) as advance:
        result = evaluation.run(request, advance)
    o.show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)
