"""TIFF files: what their tags declare, and the samples that Pillow would reduce or misread."""

from __future__ import annotations

from rainkit.images import tags

__all__ = ["is_raw"]

_SUBFILE, _PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 254, 262, 330, 50706
_COLOUR_FILTERS = (32803, 34892)
"""Photometric interpretations of raws (DNG specification): a colour filter array, linear raw."""


def is_raw(data: bytes) -> bool:
    """Return whether a TIFF file is a camera raw, whose first directory is often a thumbnail."""
    try:
        first = tags.first(data)
        if _DNG_VERSION in first.entries or first.number(_PHOTOMETRIC, 0) in _COLOUR_FILTERS:
            return True
        if not first.number(_SUBFILE, 0) & 1:
            return False
        return any(
            tags.parse(data, offset, first.order, first.big).number(_PHOTOMETRIC, 0)
            in _COLOUR_FILTERS
            for offset in first.numbers(_SUB_DIRECTORIES)[:16]
        )
    except tags.BROKEN:
        return False
