"""``rainkit downstream``: whether deraining helps a detection or segmentation model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rainkit import choices
from rainkit.cli import scoring as o
from rainkit.cli.options import (
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
)
from rainkit.runtime import RuntimeOptions

__all__ = ["downstream"]


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
            metavar="[LABEL:]NAME[=WEIGHTS]",
            help="Derain the datasets with this method; repeatable.",
        ),
    ],
    task: Annotated[
        str, typer.Option(metavar="TASK", help="What the model does: detection or segmentation.")
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="FILE | NAME=FILE",
            help="TorchScript (.pt) or ONNX (.onnx); or a torchvision model and its weights.",
        ),
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Write downstream.md, .json and .tex, and the scores, to this folder.",
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A COCO JSON file, a folder of KITTI labels or of class maps; none: agreement"
            " with the model's output on the target.",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Of labels that name classes: those of the model from 1 on; repeatable.",
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
    effort: Effort = "full",
) -> None:
    """Run a model on rainy, derained and clean pictures, and say what deraining is worth to it.

    For example:

      rainkit downstream pairs/ -m granet --task detection --model model.pt -o out/

    Exit codes: 0 all done, 1 a picture, or a file that is needed, cannot be
    used, 2 wrong use or files that do not pair up.
    """
    from rainkit import evaluation
    from rainkit.datasets.pairs import ReadOptions
    from rainkit.evaluation.downstream import DownstreamRequest
    from rainkit.evaluation.methods import choose_methods

    options = RuntimeOptions.parse(device=device, precision=precision, tile=tile, effort=effort)
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
