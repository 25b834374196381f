"""Fast decoding of plain PNG files, which contain 8-bit RGB and nothing else."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["plain_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN = frozenset({b"IHDR", b"IDAT", b"IEND", b"pHYs", b"tIME", b"sRGB"})
"""Chunks that do not change colours and hold no metadata to keep."""
_RGB8 = bytes((8, 2, 0, 0, 0))
"""The end of IHDR: bit depth, colour type, compression, filter method, not interlaced."""


def plain_png(data: bytes, largest: int) -> NDArray[np.uint8] | None:
    """Return the pixels of a plain and undamaged PNG file, [H, W, 3] RGB, or None for any other.

    OpenCV decodes in one call and lets other threads run meanwhile, whereas Pillow returns to
    Python at each of many chunks: two threads read a quarter more pictures per second. OpenCV
    prints what is wrong with a damaged file, so the checksum of every chunk is verified first.

    Args:
        data: the bytes of the file.
        largest: the largest number of pixels that is accepted.
    """
    if not data.startswith(_SIGNATURE) or data[24:29] != _RGB8:
        return None
    if not 0 < int.from_bytes(data[16:20]) * int.from_bytes(data[20:24]) <= largest:
        return None
    if not _whole(memoryview(data)):
        return None
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _whole(data: memoryview) -> bool:
    """Return whether the file consists of plain chunks with good checksums, from IHDR to IEND."""
    place, kind = len(_SIGNATURE), b""
    while place < len(data) and kind != b"IEND":
        end = place + 8 + int.from_bytes(data[place : place + 4])
        kind = bytes(data[place + 4 : place + 8])
        if kind not in _PLAIN or zlib.crc32(data[place + 4 : end]) != int.from_bytes(
            data[end : end + 4]
        ):
            return False
        place = end + 4
    return place == len(data) and kind == b"IEND"
