"""The veil of rain too far away to see as streaks: its colour and how much shines through."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.rain import physics

__all__ = ["estimate_airlight", "transmission"]

_LARGEST_SIDE = 256  # px; the dark channel looks at patches, so a small copy is as good
_PATCH = 3  # px: drops specks, and keeps the thin strips of sky between leaves
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
    patch = np.ones((_PATCH, _PATCH), np.uint8)
    dark = cv2.erode(np.ascontiguousarray(clean.min(axis=2)), patch).reshape(-1)
    # At least nine pixels, or one speck could colour the rain of a small picture.
    count = min(dark.size, max(9, round(_SHARE * dark.size)))
    brightest = np.argsort(dark, kind="stable")[-count:]
    return np.asarray(np.median(clean.reshape(-1, 3)[brightest], axis=0) * _BELOW_WHITE)


def transmission(
    distance_m: float | npt.NDArray[np.float32], rate_mm_h: float, fog_gain: float
) -> npt.NDArray[np.float32]:
    """Share of light that crosses ``distance_m`` of rain: exp(-β d), β = fog_gain 0.312e-3 R^0.67.

    Infinite distances give 0.
    """
    beta = fog_gain * physics.extinction(rate_mm_h)
    depth = np.minimum(np.atleast_2d(np.asarray(distance_m, np.float32)) * np.float32(beta), 80.0)
    return np.asarray(cv2.exp(np.negative(depth, dtype=np.float32)), np.float32)
