"""``rainkit methods features``: show what happens inside a network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rainkit.cli import completion
from rainkit.cli.console import print_json, print_table, tell
from rainkit.cli.options import (
    INPUT,
    OUTPUT,
    Device,
    Json,
    Overwrite,
    Quiet,
    Variant,
    Weights,
)
from rainkit.errors import UsageError
from rainkit.files import counted

__all__ = ["features"]

SHOWN = "What is shown"


def features(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="An installed method.", autocompletion=completion.methods
        ),
    ],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A rainy picture.")],
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            metavar="PATTERN",
            help="Show the layers of this name or pattern, such as 'coarse.*'. A layer that runs"
            " several times is NAME@1, NAME@2 and so on; without @ its last run is meant."
            " Repeatable.",
            show_default="the outer layers",
            rich_help_panel=SHOWN,
        ),
    ] = None,
    listed: Annotated[
        bool,
        typer.Option("--list", help="List the layers, and write nothing.", rich_help_panel=SHOWN),
    ] = False,
    channels: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="Number of channels of each layer, those that vary most.",
            rich_help_panel=SHOWN,
        ),
    ] = "8",
    attention: Annotated[
        bool,
        typer.Option(
            "--attention",
            help="Show where modules that attend look, if the method has any.",
            rich_help_panel=SHOWN,
        ),
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y",
            help="Point of the picture whose attention is shown.",
            show_default="what each place receives from all others",
            rich_help_panel=SHOWN,
        ),
    ] = None,
    gradients: Annotated[
        bool,
        typer.Option(
            "--gradients",
            help="Show horizontal and vertical gradients of picture, result and target.",
            rich_help_panel=SHOWN,
        ),
    ] = False,
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The clean picture, to show beside.", rich_help_panel=INPUT
        ),
    ] = None,
    side: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="PIXELS",
            help="Shrink the picture to this longest side before; 0 to take it as it is.",
            rich_help_panel=INPUT,
        ),
    ] = 512,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The PNG file.",
            show_default="PICTURE-NAME-features.png beside the picture",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    weights: Weights = None,
    variant: Variant = None,
    device: Device = "auto",
) -> None:
    """Show what happens inside a network: layers, attention and gradients on one contact sheet.

    The network runs in float32 on the whole picture. Tiles of a layer have one
    scale, which is written above them; zero is mid-grey if a layer has negative
    values.

    For example:

      rainkit methods features granet photo.jpg --list

      rainkit methods features granet photo.jpg --layer 'coarse.*' --attention

      rainkit methods features graspp-gan rainy.png --gradients --target clean.png
    """
    from rainkit.inference import features as library

    request = library.FeaturesRequest(
        picture=picture,
        method=name,
        weights=weights,
        variant=variant,
        device=device,
        layers=tuple(layers or ()),
        attention=attention,
        at=None if at is None else _point(at),
        gradients=gradients,
        target=target,
        channels=_channels(channels),
        side=side,
        output=output,
        overwrite=overwrite,
    )
    if listed:
        found = library.layers(request)
        if as_json:
            print_json([asdict(each) for each in found])
            return
        print_table(
            ("layer", "kind", "channels", "size", "runs", "shown", "attends"),
            (
                (
                    each.name,
                    each.kind,
                    str(each.shape[0]),
                    f"{each.shape[2]} x {each.shape[1]}",
                    str(each.runs),
                    "yes" if each.shown else "",
                    "yes" if each.attends else "",
                )
                for each in found
            ),
            folded={"layer"},
            figures={"channels", "size", "runs"},
        )
        return
    result = library.features(request)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        tell(f"features of {result.weights}: {result.output}")
        if result.left_out:
            tell(
                f"{counted(result.left_out, 'layer')} not shown; --list shows all, --layer chooses"
            )


def _channels(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"--channels {text}: give a number, or all")
    return int(text)


def _point(text: str) -> tuple[int, int]:
    x, comma, y = text.partition(",")
    if not comma or not x.strip().isdecimal() or not y.strip().isdecimal():
        raise UsageError(f"--at {text}: give column and row in pixels, such as 120,80")
    return int(x), int(y)
