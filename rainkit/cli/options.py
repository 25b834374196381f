"""Options that several commands share, and their values."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from rainkit.errors import UsageError

__all__ = [
    "Blocks",
    "CropToCommon",
    "Device",
    "Effort",
    "Layout",
    "Precision",
    "RainySide",
    "StopBelow",
    "Weights",
    "tile_side",
]

Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision: TypeAlias = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
Weights: TypeAlias = Annotated[
    str | None, typer.Option(help="A weights tag of the method, or a .safetensors file.")
]
Layout: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Layout of pairs, if not to be found out: rainkit, wds, hf, spa, folders, rain100, "
        "side-by-side, lmdb or meta-info; or restormer, ddn or did."
    ),
]
RainySide: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Rainy half of side-by-side pictures, left or right.", metavar="SIDE"),
]
Blocks: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="Of an anytime method: run this many blocks at most, as published."),
]
Effort: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Of an anytime method: full, or auto to stop each picture after the block that "
        "changes it little."
    ),
]
StopBelow: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="LEVELS",
        help="What is little for --effort auto: the root mean square of the change, in levels of "
        "255 (default 1).",
        show_default=False,
    ),
]
CropToCommon: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--crop-to-common",
        help="Cut pictures of a pair that differ in size to the common one, top left.",
    ),
]


def tile_side(text: str) -> int | None:
    """``--tile`` as a number of pixels; 0 for whole pictures, None for ``auto``.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"--tile {text}: give auto, 0, or the side of tiles in pixels")
    return int(text)
