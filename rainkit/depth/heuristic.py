"""A heuristic for depth without a network: a street under the sky, fitted to the picture's edges.

The prior is an open box: a ground plane below the horizon, upright facades at both sides, a far
end, and sky behind it. A guided filter (He, Sun, Tang, "Guided image filtering", 2013) fits it to
the picture at a small size, and its coefficients are enlarged (He, Sun, "Fast guided filter",
2015). The result suits streets and open country, but not rooms and portraits.

The dark channel is not used, because on clear photographs it falls where depth rises.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.depth.masks import SceneMasks, shrink_by_halves, sky_and_road
from rainkit.images import RGB8

__all__ = ["LEAST_SHARE", "estimate_depth"]

LEAST_SHARE = 0.05
"""Least share of sky and road in a picture; with less, its depth is unknown."""

_SKY_M, _NEAREST_M = 150.0, 1.5
_FAR_M = 100.0  # distance of the box's end
_CAMERA_M = 1.5  # height of the camera above the ground
_WALL_M = 20.0  # distance of the wall at either side of the camera
_FOCAL = 0.866  # focal length in picture widths, for a field of view of 60 degrees
_HORIZON, _LOWEST_HORIZON = 0.45, 0.75  # in picture heights from the top
_SKY_ROW = 0.05  # least share of sky in a row above the horizon

_RADIUS = 6  # px of the small picture
_EPSILON = 260.0  # (0.063 of the grey range)²; weaker edges are not taken for edges of depth

# The filter works on whole numbers. Their sums are exact in float64, and so is enlarging by a
# power of two, so that the result does not depend on the order of sums or on fused instructions.
_UNITS = 2.0**16  # units of inverse depth per 1/m
_SLOPE = 2.0**6  # units of slope and offset per unit of inverse depth

Doubles = npt.NDArray[np.float64]


def estimate_depth(clean: RGB8) -> npt.NDArray[np.float32] | None:
    """Estimate the depth of each pixel in metres along the optical axis.

    The scale is that of a camera 1.5 m above a street. The result has the same bits on every
    processor.

    Args:
        clean: a photograph, uint8 [H, W, 3] RGB.

    Returns:
        The depth, float32 [H, W], 1.5 to 150 m, or None if less than 5 % of the picture looks like
        sky or road.
    """
    small, factor = shrink_by_halves(clean)
    masks = sky_and_road(small)
    if masks.share < LEAST_SHARE:
        return None
    slope, offset = _fit(_prior(masks), cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    height, width = clean.shape[:2]
    if factor > 1:
        size = small.shape[1] * factor, small.shape[0] * factor
        slope = np.asarray(cv2.resize(slope, size)[:height, :width])
        offset = np.asarray(cv2.resize(offset, size)[:height, :width])
    inverse = slope * cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY) + offset
    scale = _UNITS * _SLOPE
    np.clip(inverse, scale / _SKY_M, scale / _NEAREST_M, out=inverse)
    return np.asarray(np.divide(scale, inverse, out=inverse), np.float32)


def _prior(masks: SceneMasks) -> Doubles:
    """Return the inverse depth of the box, [h, w] whole numbers in 1/65536 per metre.

    It is the length of the vector of the parts' inverse depths, so that the ground turns smoothly
    into a wall; their maximum would give an edge.
    """
    height, width = masks.sky.shape
    focal = _FOCAL * width
    horizon = _HORIZON * height
    above = np.flatnonzero(np.count_nonzero(masks.sky, axis=1) >= _SKY_ROW * width)
    if above.size:
        horizon = min(max(horizon, float(above[-1] + 1)), _LOWEST_HORIZON * height)
    rows = np.arange(height)[:, None] + 0.5
    columns = np.arange(width)[None] + 0.5
    ground = np.maximum(rows - horizon, 0) / (focal * _CAMERA_M)
    wall = (columns - width / 2) / (focal * _WALL_M)
    inverse = np.sqrt(ground * ground + wall * wall + 1 / _FAR_M**2)
    inverse[masks.sky] = 1 / _SKY_M
    return np.asarray(np.rint(_UNITS * np.minimum(inverse, 1 / _NEAREST_M)), np.float64)


def _fit(values: Doubles, grey: npt.NDArray[Any]) -> tuple[Doubles, Doubles]:
    """Fit ``values`` by a locally linear function of ``grey``: (slope grey + offset) / 64.

    Slope and offset are returned as whole numbers, [h, w].
    """
    guide = grey.astype(np.float64)
    mean_guide, mean = _mean(guide), _mean(values)
    covariance = _mean(guide * values) - mean_guide * mean
    variance = _mean(guide * guide) - mean_guide * mean_guide
    slope = np.rint(_SLOPE * covariance / (variance + _EPSILON))
    offset = np.rint(_SLOPE * mean - slope * mean_guide)
    return np.rint(_mean(slope)), np.rint(_mean(offset))


def _mean(values: Doubles) -> Doubles:
    """Return the mean of each pixel's neighbourhood."""
    side = 2 * _RADIUS + 1
    sums = cv2.boxFilter(values, -1, (side, side), None, (-1, -1), False, cv2.BORDER_REPLICATE)
    return np.asarray(sums / side**2, np.float64)
