"""Values of options that several commands share."""

from __future__ import annotations

from rainkit.errors import UsageError

__all__ = ["tile_side"]


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
