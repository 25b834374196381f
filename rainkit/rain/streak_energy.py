"""Measures of the rain that is left in a photograph, which need no ground truth.

Streaks lie along one direction. A structure tensor (Bigün and Granlund 1987) finds it in the rainy
picture; restoring should take the energy along it away.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.images import LUMA_WEIGHTS, RGB8

__all__ = [
    "SEEN",
    "SMALLEST",
    "Streaks",
    "brighter_share",
    "direction",
    "directional_energy",
    "streaks",
]

_Plane: TypeAlias = NDArray[Any]

SEEN = 8.0
"""Threshold in grey levels; smaller differences are hardly visible."""

SMALLEST = 16
"""Shortest side in pixels of pictures in which streaks have a direction."""

_FINE_SD = 2.5  # px; the details finer than this are streaks and texture, not the scene's shading
_TENSOR_SD = 1.5  # px
_FAINT = 1.0  # of Scharr's operator, which gives 16 per level and px, squared
_STEEPEST, _STEP = 60, 1.0  # degrees from the vertical; rain does not fall flatter
_SECTOR = 10.0  # degrees; streaks of one picture spread about as much


class Streaks(NamedTuple):
    """The direction of a picture's streaks.

    Attributes:
        tilt_deg: from the vertical, positive towards the right at the bottom.
        strength: share of the oriented energy within the sector around it, 0 to 1.
    """

    tilt_deg: float
    strength: float


def brighter_share(brighter: RGB8, darker: RGB8) -> float:
    """Return the share of the pixels whose luma is more than 8 levels above the other picture's.

    Of a restored picture over its target it is the rain left; of a rainy picture over the restored
    one, the rain taken out.

    Args:
        brighter: [H,W,3].
        darker: [H,W,3].
    """
    change = cv2.subtract(brighter, darker, dtype=cv2.CV_32F)
    return float(np.mean(cv2.transform(change, LUMA_WEIGHTS) > SEEN))


def streaks(rainy: RGB8) -> Streaks:
    """Return where the streaks of a picture [H,W,3] point; the tilt is NaN if it is flat."""
    tilt, weight = _oriented(rainy)
    return direction(tilt, weight)


def directional_energy(restored: RGB8, rainy: RGB8) -> float:
    """Return the share of the energy along the rainy picture's streaks that is left.

    The direction of the streaks is found in the rainy picture. The result is the energy of the
    gradients across that direction in the restored picture, divided by that in the rainy one: 1 if
    all is left, more if there are new lines, NaN if the rainy picture has none. The scene's own
    lines in that direction count, too: compare methods on the same photographs, not photographs.

    Args:
        restored: [H,W,3].
        rainy: [H,W,3].
    """
    tilt, weight = _oriented(rainy)
    along = direction(tilt, weight).tilt_deg
    before = _within(tilt, weight, along)
    if not before > 0:
        return math.nan
    return _within(*_oriented(restored), along) / before


def direction(tilt_deg: _Plane, weight: _Plane) -> Streaks:
    """Return the direction, up to 60 degrees from the vertical, with the most energy around it.

    Args:
        tilt_deg: [H,W], -90 to 90.
        weight: [H,W], energies.
    """
    total = float(weight.sum())
    if not total > 0:
        return Streaks(math.nan, 0.0)
    bins = round(180 / _STEP)
    spectrum, _ = np.histogram(tilt_deg, bins=bins, range=(-90, 90), weights=weight)
    half = round(_SECTOR / _STEP)
    wrapped = np.concatenate([spectrum[-half:], spectrum, spectrum[:half]])
    around = np.convolve(wrapped, np.ones(2 * half + 1), mode="valid")
    centres = np.arange(bins) * _STEP - 90 + _STEP / 2
    steep = np.abs(centres) <= _STEEPEST
    best = int(np.flatnonzero(steep)[np.argmax(around[steep])])
    return Streaks(float(centres[best]), float(around[best]) / total)


def _within(tilt_deg: _Plane, weight: _Plane, along: float) -> float:
    away = np.abs((tilt_deg - along + 90) % 180 - 90)
    return float(weight[away <= _SECTOR].sum(dtype=np.float64))


def _oriented(rgb: RGB8) -> tuple[_Plane, _Plane]:
    """Return the tilt in degrees [H,W] of the lines through each pixel, and their energy."""
    luma = cv2.transform(rgb.astype(np.float32), LUMA_WEIGHTS)
    luma = cv2.subtract(luma, cv2.GaussianBlur(luma, (0, 0), _FINE_SD))
    # Sobel's operator would turn thin streaks by up to 2.3 degrees towards the axes.
    gx, gy = cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)
    xx, xy, yy = (
        cv2.GaussianBlur(product, (0, 0), _TENSOR_SD) for product in (gx * gx, gx * gy, gy * gy)
    )
    # Gradients stand across the streaks, so that one turns against the other.
    tilt = np.degrees(-np.arctan2(2 * xy, xx - yy)) / 2
    energy = np.hypot(xx - yy, 2 * xy)
    energy[energy < _FAINT] = 0  # flat areas leave what float32 rounds
    return tilt, energy
