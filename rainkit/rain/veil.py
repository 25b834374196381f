"""The veil of rain too far away to see as streaks: its colour and how much shines through."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.rain import physics

__all__ = ["estimate_airlight", "to_range", "transmission"]

_LARGEST_SIDE = 256  # px; the dark channel looks at patches, so a small copy is as good
_PATCH = np.ones((3, 3), np.uint8)  # drops specks, and keeps the thin strips of sky between leaves
_SHARE = 0.001
_BELOW_WHITE = 0.9  # a saturated airlight would leave streaks no room to be brighter


def estimate_airlight(clean: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Colour of the light scattered by rain, RGB 0 to 255, judged from the clean picture.

    The median of the pixels with the brightest 0.1 % of the dark channel (mostly sky), times 0.9.
    """
    height, width = clean.shape[:2]
    scale = _LARGEST_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        clean = np.asarray(cv2.resize(clean, size, interpolation=cv2.INTER_AREA), np.uint8)
    red, green, blue = cv2.split(clean)
    dark = cv2.erode(cv2.min(cv2.min(red, green), blue), _PATCH).reshape(-1)
    # At least nine pixels, or one speck could colour the rain of a small picture.
    count = min(dark.size, max(9, round(_SHARE * dark.size)))
    above = np.cumsum(np.bincount(dark, minlength=256)[::-1])[::-1]  # pixels of a level or brighter
    level = np.flatnonzero(above >= count)[-1]
    brightest = clean.reshape(-1, 3)[np.flatnonzero(dark >= level)]
    return np.asarray(np.median(brightest, axis=0) * _BELOW_WHITE)


def to_range(depth_m: npt.NDArray[np.float32], focal_px: float) -> npt.NDArray[np.float32]:
    """Distances along the lines of sight for depths along the camera's axis, [H, W], metres."""
    return np.multiply(depth_m, _secant(*depth_m.shape, focal_px))


@lru_cache(maxsize=4)
def _secant(height: int, width: int, focal_px: float) -> npt.NDArray[np.float32]:
    """Range over depth: sqrt(1 + ((x - cx)² + (y - cy)²) / f²) at pixel centres."""
    x = (np.arange(width) + 0.5 - width / 2) / focal_px
    y = (np.arange(height) + 0.5 - height / 2) / focal_px
    secant = np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2).astype(np.float32)
    secant.setflags(write=False)
    return secant


def transmission(
    distance_m: npt.NDArray[np.float32], rate_mm_h: float, fog_gain: float
) -> npt.NDArray[np.float32]:
    """Share of light that crosses ``distance_m`` of rain: exp(-β d), β = fog_gain 0.312e-3 R^0.67.

    Shape [H, W] in and out. Infinite distances give 0.
    """
    beta = fog_gain * physics.extinction(rate_mm_h)
    depth = np.multiply(distance_m, np.float32(-beta))
    # OpenCV's exponential, unlike numpy's, gives the same bits on every processor.
    return np.asarray(cv2.exp(depth, dst=depth), np.float32)
