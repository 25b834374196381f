"""Pictures small enough to be embedded in a page."""

from __future__ import annotations

from rainkit.images import Picture, Pixels, encode, shrink, to_uint8

__all__ = ["MOST_SHOWN", "thumbnail", "thumbnail_side"]

MOST_SHOWN = 300
"""A page with more pictures would be slow to open; the others are only counted."""

_LONGEST, _SHORTEST = 1600, 640
_PIXELS = 24 * 1600 * 1200
"""About 30 MB of JPEG, both versions of every picture together."""

_QUALITY = 85


def thumbnail_side(pictures: int) -> int:
    """Longest side in pixels of the thumbnails of a page, so that the page stays readable."""
    shown = max(1, min(pictures, MOST_SHOWN))
    side = int((_PIXELS / shown * 4 / 3) ** 0.5)
    return max(_SHORTEST, min(_LONGEST, side))


def thumbnail(rgb: Pixels, side: int) -> bytes:
    """A JPEG file of [H,W,3] uint8 or uint16, shrunk to ``side`` if it is larger."""
    return encode(Picture(to_uint8(shrink(rgb, side))), ".jpg", quality=_QUALITY)
