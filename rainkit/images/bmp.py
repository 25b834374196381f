"""BMP files that Pillow refuses though they are valid: any bit fields, and palettes of 2 bits."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rainkit.images.picture import Pixels

__all__ = ["Bitmap", "colours", "other_bitmap"]

_RAW, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 3, 6
_EMBEDDED = {4: "JPEG", 5: "PNG"}
_KNOWN = {  # masks of red, green, blue and alpha that Pillow reads
    16: {(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0)},
    24: {(0xFF0000, 0xFF00, 0xFF, 0)},
    32: {
        (0xFF0000, 0xFF00, 0xFF, 0x0),
        (0xFF000000, 0xFF0000, 0xFF00, 0x0),
        (0xFF000000, 0xFF00, 0xFF, 0x0),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        (0x0, 0x0, 0x0, 0x0),
    },
}


class Bitmap(NamedTuple):
    """What the header of a BMP file tells.

    Attributes:
        width: width in px.
        height: height in px.
        upwards: whether the last row comes first.
        bits: bits per pixel.
        masks: bits of red, green, blue and alpha; None for a palette.
        palette: offset and number of its colours.
        start: offset of the pixels.
    """

    width: int
    height: int
    upwards: bool
    bits: int
    masks: tuple[int, int, int, int] | None
    palette: tuple[int, int]
    start: int


def other_bitmap(data: bytes) -> Bitmap | None:
    """Return the header of a BMP file that Pillow does not read, None for all others.

    Raises:
        ValueError: The file is of a kind that is not supported.
    """
    if not data.startswith(b"BM") or len(data) < 54:
        return None
    (start, size, width, height, _, bits, compression) = struct.unpack_from("<10xIIiiHHI", data)
    if size < 40 or width < 1 or height == 0:
        return None
    if compression in _EMBEDDED:
        raise ValueError(f"a {_EMBEDDED[compression]} file inside a BMP file")
    masks: tuple[int, int, int, int] | None = None
    if compression in (_BIT_FIELDS, _ALPHA_BIT_FIELDS):
        if len(data) < 70:
            return None
        red, green, blue, alpha = struct.unpack_from("<4I", data, 54)
        declared = size >= 56 or compression == _ALPHA_BIT_FIELDS
        masks = (red, green, blue, alpha if declared else 0)
        if bits not in _KNOWN or masks in _KNOWN[bits]:
            return None
        if bits == 24 or any(map(_broken, masks)) or max(masks) >= 1 << bits or not any(masks[:3]):
            raise ValueError(f"bit fields {' '.join(f'{mask:x}' for mask in masks)}")
    elif compression != _RAW or bits != 2:
        return None
    (used,) = struct.unpack_from("<I", data, 46)
    palette = (14 + size, used or 1 << bits) if masks is None else (0, 0)
    return Bitmap(width, abs(height), height > 0, bits, masks, palette, start)


def colours(data: bytes, found: Bitmap) -> tuple[Pixels, Pixels | None]:
    """Return colours [H, W, 3] and alpha [H, W] or None; uint16 if a field has more than 8 bits.

    Raises:
        ValueError: The file is truncated or a pixel is outside the palette.
    """
    stride = -(-found.width * found.bits // 32) * 4
    if found.start + stride * found.height > len(data):
        raise ValueError("it is truncated")
    rows = np.frombuffer(data, np.uint8, stride * found.height, found.start)
    rows = rows.reshape(found.height, stride)[:: -1 if found.upwards else 1]
    if found.masks is None:
        return _of_palette(data, found, rows), None
    values = np.ascontiguousarray(rows).view("<u2" if found.bits == 16 else "<u4")
    values = values[:, : found.width].astype(np.uint32)
    dtype = np.uint16 if max(map(int.bit_count, found.masks)) > 8 else np.uint8
    red, green, blue, alpha = (_field(values, mask, dtype) for mask in found.masks)
    return np.dstack([red, green, blue]), alpha if found.masks[3] else None


def _of_palette(data: bytes, found: Bitmap, rows: NDArray[np.uint8]) -> Pixels:
    shifts = np.array([6, 4, 2, 0], np.uint8)
    indices = (rows[..., None] >> shifts & 3).reshape(found.height, -1)[:, : found.width]
    start, number = found.palette
    table = np.frombuffer(data, np.uint8, 4 * number, start).reshape(number, 4)
    if int(indices.max()) >= number:
        raise ValueError("a pixel is outside the palette")
    return np.ascontiguousarray(table[indices][..., 2::-1])


def _field(values: NDArray[np.uint32], mask: int, dtype: type) -> Pixels:
    """Return the bits of a mask, scaled to the whole range and rounded to the nearest level."""
    if not mask:
        return np.zeros(values.shape, dtype)
    low = (mask & -mask).bit_length() - 1
    field = (values & np.uint32(mask)) >> np.uint32(low)
    return np.asarray(np.rint(field * (np.iinfo(dtype).max / (mask >> low))), dtype)


def _broken(mask: int) -> bool:
    """Return whether the bits of a mask do not lie side by side, or are more than 16."""
    bits = mask // (mask & -mask) if mask else 0
    return bool(bits & (bits + 1)) or bits >= 1 << 16
