"""Decoding the plainest of PNG files: 8-bit RGB and nothing else."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["plain_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN = frozenset({b"IHDR", b"IDAT", b"IEND", b"pHYs", b"tIME", b"sRGB"})
"""Chunks of which none changes colours, or holds anything that would go along with a result."""
_RGB8 = bytes((8, 2, 0, 0, 0))
"""Bit depth, colour type, compression, filter method, not interlaced: the end of IHDR."""


def plain_png(data: bytes, largest: int) -> NDArray[np.uint8] | None:
    """The pixels of a whole and undamaged file, HWC RGB; None for any other, which Pillow takes.

    OpenCV decodes in one go and lets other threads run meanwhile; Pillow stops for Python at every
    chunk, of which there are many: two threads read a quarter more pictures in a second. OpenCV
    would print what is wrong with a file, so that every chunk's checksum is verified first.

    Args:
        data: the file.
        largest: most pixels it may have.
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
    """Whether plain chunks with good checksums fill the file, from IHDR to IEND."""
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
