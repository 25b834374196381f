"""Options that several commands share, and their values."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from rainkit.errors import UsageError

__all__ = ["Device", "Precision", "Weights", "tile_side"]

Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision: TypeAlias = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")]
Weights: TypeAlias = Annotated[
    str | None, typer.Option(help="A weights tag of the method, or a .safetensors file.")
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
