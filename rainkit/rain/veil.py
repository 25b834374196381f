"""The veil of rain that is too far away to be seen as streaks: its colour and transmission."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from rainkit import images
from rainkit.rain import physics

__all__ = ["estimate_airlight", "to_range", "transmission"]

_LONGEST_SIDE = 256  # px; the dark channel works on patches, so a small copy is good enough
_PATCH = np.ones((3, 3), np.uint8)  # removes specks, and keeps thin strips of sky between leaves
_SHARE = 0.001
_BELOW_WHITE = 0.9  # streaks could not be brighter than a saturated airlight


def estimate_airlight(clean: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Estimate the colour of the light scattered by rain, RGB 0 to 255, from the clean picture.

    It is 0.9 times the median colour of the pixels whose dark channel is among the brightest 0.1 %
    (mostly sky).
    """
    clean = images.shrink(clean, _LONGEST_SIDE)
    red, green, blue = cv2.split(clean)
    dark = cv2.erode(cv2.min(cv2.min(red, green), blue), _PATCH).reshape(-1)
    # Fewer than nine pixels would let one speck colour the rain of a small picture.
    count = min(dark.size, max(9, round(_SHARE * dark.size)))
    # For each level, the number of pixels of this level or a brighter one.
    above = np.cumsum(np.bincount(dark, minlength=256)[::-1])[::-1]
    level = np.flatnonzero(above >= count)[-1]
    brightest = clean.reshape(-1, 3)[np.flatnonzero(dark >= level)]
    return np.asarray(np.median(brightest, axis=0) * _BELOW_WHITE)


def to_range(depth_m: npt.NDArray[np.float32], focal_px: float) -> npt.NDArray[np.float32]:
    """Convert depths along the camera's axis to distances along the lines of sight, [H, W], m."""
    return np.multiply(depth_m, _secant(*depth_m.shape, focal_px))


@lru_cache(maxsize=4)
def _secant(height: int, width: int, focal_px: float) -> npt.NDArray[np.float32]:
    """Return range / depth = sqrt(1 + ((x - cx)² + (y - cy)²) / f²) at the pixel centres."""
    x = (np.arange(width) + 0.5 - width / 2) / focal_px
    y = (np.arange(height) + 0.5 - height / 2) / focal_px
    secant = np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2).astype(np.float32)
    secant.setflags(write=False)
    return secant


def transmission(
    distance_m: npt.NDArray[np.float32], rate_mm_h: float, fog_gain: float
) -> npt.NDArray[np.float32]:
    """Return the share of light that crosses ``distance_m`` of rain, [H, W] in and out.

    It is exp(-β d) with β = fog_gain 0.312e-3 R^0.67. Infinite distances give 0.
    """
    beta = fog_gain * physics.extinction(rate_mm_h)
    depth = np.multiply(distance_m, np.float32(-beta))
    # OpenCV's exponential, unlike numpy's, gives the same bits on every processor.
    return np.asarray(cv2.exp(depth, dst=depth), np.float32)
