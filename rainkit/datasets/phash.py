"""Hashes of pictures: perceptual ones, which find photographs of one scene, and of pixels.

Perceptual hashes are computed in integers, so that a picture has the same hash on every
processor. They are meant for clean pictures: rain changes up to 30 bits (median 10 on Rain100H).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit import images

__all__ = ["LIMIT", "components", "hamming", "phash", "pixel_hash"]

LIMIT = 8
"""Default threshold in bits: one scene differs by at most this, others by 14 and more."""

_SIDE, _KEPT = 32, 8
_TURNS = np.arange(_KEPT)[:, None] * (2 * np.arange(_SIDE) + 1) * (np.pi / (2 * _SIDE))
_BASIS = np.rint(np.cos(_TURNS) * 2**14).astype(np.int64)
"""The lowest rows of the cosine transform (DCT-II) of 32 samples, times 2^14."""


def phash(rgb: images.RGB8) -> int:
    """Return the perceptual hash of a picture, a number of 64 bits.

    Scaling, compression and crops by a pixel or two hardly change it. The picture is averaged to
    32x32 grey cells and transformed (DCT-II); each bit says whether one of the 8x8 lowest
    frequencies, row by row from the highest bit, lies above their median.

    Args:
        rgb: uint8 [H,W,3] of any size.
    """
    coefficients = (_BASIS @ _cells(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)) @ _BASIS.T).ravel()
    middle = np.sort(coefficients)[[31, 32]].sum()
    return int.from_bytes(np.packbits(2 * coefficients > middle).tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """Return the number of bits in which two hashes differ."""
    return (a ^ b).bit_count()


def components(hashes: Sequence[int], limit: int = LIMIT) -> list[int]:
    """Group pictures whose hashes are linked by steps of at most ``limit`` bits.

    Args:
        hashes: hashes of 64 bits. Ten thousand take about a second.
        limit: threshold in bits up to which two pictures are alike.

    Returns:
        For each picture the index of the first of its group.
    """
    bits = np.array(hashes, np.uint64)
    label = np.full(len(bits), -1)
    left = np.arange(len(bits))
    while left.size:
        first, left = left[0], left[1:]
        label[first] = first
        reached = [first]
        while reached and left.size:
            near = np.bitwise_count(bits[left] ^ bits[reached.pop()]) <= limit
            if near.any():
                label[left[near]] = first
                reached.extend(left[near])
                left = left[~near]
    return [int(each) for each in label]


def _cells(grey: NDArray[Any]) -> NDArray[np.int64]:
    """Return averages of [H,W] over 32x32 equal cells, times 256, from the integral image."""
    # Sums of uint8 are integers below 2^53, which float64 holds exactly.
    sums: NDArray[Any] = cv2.integral(grey, sdepth=cv2.CV_64F)
    height, width = grey.shape
    edges = _at_edges(_at_edges(sums, height).T, width).T.astype(np.int64)
    return (edges[1:, 1:] - edges[:-1, 1:] - edges[1:, :-1] + edges[:-1, :-1]) * 256 // grey.size


def _at_edges(sums: NDArray[Any], length: int) -> NDArray[Any]:
    """Interpolate rows of running sums linearly at the 33 edges of the cells, times 32."""
    whole, part = np.divmod(np.arange(_SIDE + 1) * length, _SIDE)
    after = np.minimum(whole + 1, length)
    between: NDArray[Any] = sums[whole] * (_SIDE - part)[:, None] + sums[after] * part[:, None]
    return between


def pixel_hash(rgb: images.Pixels) -> str:
    """Return the SHA-256 in hex of a picture's size, written ``HxW``, and its RGB bytes.

    Re-encoding a picture without loss does not change the hash.
    """
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}".encode())
    digest.update(rgb.tobytes())
    return digest.hexdigest()
