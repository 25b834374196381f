"""``rainkit export``: write a method as a file of another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rainkit import choices
from rainkit.cli import completion
from rainkit.cli.console import print_json, tell
from rainkit.cli.options import INPUT, OUTPUT, Json, Overwrite, Variant, Weights, choice
from rainkit.files import counted

__all__ = ["export"]


def export(
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="Method to export.",
            autocompletion=completion.methods,
            rich_help_panel=INPUT,
        ),
    ],
    weights: Weights = None,
    variant: Variant = None,
    kind: Annotated[
        choices.ExportFormat,
        choice(choices.ExportFormat, "--format", help="Format of the file.", panel=OUTPUT),
    ] = choices.ExportFormat.ONNX,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write; a model card, FILE.md, is written beside it.",
            show_default="METHOD.onnx, METHOD.xml or METHOD.pt2",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            "--int8",
            metavar="FOLDER",
            help="Quantise to int8 on the rainy photographs of a folder (rainkit[int8]); the card "
            "says what it costs.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a method with its weights as a file for ONNX Runtime, OpenVINO or torch.

    The file takes pictures of any height and width from 32 px on, one at a time, in float32. It is
    kept only if it gives what torch gives at odd and at even sizes. With --int8 it computes in
    integers of 8 bits: it is a quarter as large and may be faster, and pictures change a little.

    For example:

      rainkit export -m granet --format onnx

      rainkit infer photos/ -m granet --backend granet.onnx
    """
    from rainkit.inference.setup import set_up
    from rainkit.runtime_options import RuntimeOptions

    setup = set_up(method, RuntimeOptions(), weights=weights, variant=variant)
    from rainkit import backends  # imports torch

    made = backends.export(
        setup.method, setup.weights, kind, output, int8=int8, overwrite=overwrite
    )
    if as_json:
        print_json(made.to_data())
        return
    sizes = ", ".join(f"{height}x{width}" for height, width in made.sizes)
    tell(f"{made.path}: {setup.weights.name} for pictures from {made.smallest} px on")
    tell(
        f"differs from torch by {made.difference:.2g} at most (allowed: {made.tolerance:g}) at "
        f"{sizes}"
    )
    if (loss := made.int8) is not None:
        tell(
            f"int8 on {counted(loss.calibrated, 'photograph')}: agrees with float32 to "
            f"{loss.mean_db:.1f} dB, at least {loss.least_db:.1f} dB, on "
            f"{counted(loss.measured, 'photograph')}"
        )
    tell(f"model card: {made.card}")
