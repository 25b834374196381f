"""Depth without a network: a street between two walls under the sky, fitted to the picture's edges.

The prior is an open box: a ground plane below the horizon, upright facades at both sides, a far
end, and what looks like sky behind it. A guided filter (He, Sun, Tang, "Guided image filtering",
2013) fits it to the picture at a small size; its coefficients are enlarged (He, Sun, "Fast guided
filter", 2015). It is right about streets and open country and wrong about rooms and portraits.

The dark channel plays no part: on clear photographs it falls where depth rises.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.datasets.depth.looks import Looks, judge, shrink

__all__ = ["LEAST_SHARE", "guess"]

LEAST_SHARE = 0.05
"""Of sky and road in a picture; with less of them nothing can be said about its depth."""

_SKY_M, _NEAREST_M = 150.0, 1.5
_FAR_M = 100.0  # end of the box
_CAMERA_M = 1.5  # above the ground
_WALL_M = 20.0  # from the camera to either side
_FOCAL = 0.866  # of the picture's width: a field of view of 60 degrees
_HORIZON, _LOWEST_HORIZON = 0.45, 0.75  # of the picture's height
_SKY_ROW = 0.05  # share of sky in a row that is still above the horizon

_RADIUS = 6  # px of the small picture
_EPSILON = 260.0  # (0.063 of the grey range)²: weaker edges are no edges of depth

# The filter works on whole numbers. Sums of those are exact in float64, and so is enlarging by a
# power of two: the result does not depend on the order of sums or on fused instructions.
_UNITS = 2.0**16  # of inverse depth in 1/m
_SLOPE = 2.0**6

Doubles = npt.NDArray[np.float64]


def guess(clean: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
    """Distance in metres along the optical axis of each pixel, float32 [H, W], 1.5 to 150.

    The scale is that of a camera 1.5 m above a street; the same on every processor, bit for bit.

    Args:
        clean: uint8 [H, W, 3] RGB.

    Returns:
        The map, or None when less than 5 % of the picture looks like sky or road.
    """
    small, factor = shrink(clean)
    looks = judge(small)
    if looks.share < LEAST_SHARE:
        return None
    slope, offset = _fit(_prior(looks), cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    height, width = clean.shape[:2]
    if factor > 1:
        size = small.shape[1] * factor, small.shape[0] * factor
        slope = np.asarray(cv2.resize(slope, size)[:height, :width])
        offset = np.asarray(cv2.resize(offset, size)[:height, :width])
    inverse = slope * cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY) + offset
    scale = _UNITS * _SLOPE
    np.clip(inverse, scale / _SKY_M, scale / _NEAREST_M, out=inverse)
    return np.asarray(np.divide(scale, inverse, out=inverse), np.float32)


def _prior(looks: Looks) -> Doubles:
    """Inverse depth of the box, whole numbers in 1/65536 per metre, [h, w].

    The length of the vector of its parts, not their greatest: a smooth turn from ground to wall.
    """
    height, width = looks.sky.shape
    focal = _FOCAL * width
    horizon = _HORIZON * height
    above = np.flatnonzero(np.count_nonzero(looks.sky, axis=1) >= _SKY_ROW * width)
    if above.size:
        horizon = min(max(horizon, float(above[-1] + 1)), _LOWEST_HORIZON * height)
    rows = np.arange(height)[:, None] + 0.5
    columns = np.arange(width)[None] + 0.5
    ground = np.maximum(rows - horizon, 0) / (focal * _CAMERA_M)
    wall = (columns - width / 2) / (focal * _WALL_M)
    inverse = np.sqrt(ground * ground + wall * wall + 1 / _FAR_M**2)
    inverse[looks.sky] = 1 / _SKY_M
    return np.asarray(np.rint(_UNITS * np.minimum(inverse, 1 / _NEAREST_M)), np.float64)


def _fit(values: Doubles, grey: npt.NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Slope and offset [h, w], whole numbers: ``values`` as a locally linear function of ``grey``.

    Result = (slope grey + offset) / 64.
    """
    guide = grey.astype(np.float64)
    mean_guide, mean = _mean(guide), _mean(values)
    covariance = _mean(guide * values) - mean_guide * mean
    variance = _mean(guide * guide) - mean_guide * mean_guide
    slope = np.rint(_SLOPE * covariance / (variance + _EPSILON))
    offset = np.rint(_SLOPE * mean - slope * mean_guide)
    return np.rint(_mean(slope)), np.rint(_mean(offset))


def _mean(values: Doubles) -> Doubles:
    side = 2 * _RADIUS + 1
    sums = cv2.boxFilter(values, -1, (side, side), None, (-1, -1), False, cv2.BORDER_REPLICATE)
    return np.asarray(sums / side**2, np.float64)
