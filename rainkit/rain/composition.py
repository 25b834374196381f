"""Blending of scene, veil and streaks: O = (B t + A (1 - t)) (1 - a) + E a.

Additive datasets such as Rain100L/H leave out the factor (1 - a) and clip at white.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from rainkit import images
from rainkit.rain import physics
from rainkit.rain.settings import RainSettings

__all__ = [
    "TO_STORED",
    "Terms",
    "compose",
    "darkened",
    "estimate_airlight",
    "terms",
    "to_range",
    "transmission",
    "weight",
]


Colour = npt.NDArray[np.float64]
Plane = npt.NDArray[np.float32]

_STRIPE = 256  # rows that are blended at once, so that planes stay in the processor's cache


def _decode(stored: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert sRGB values in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


def _encode(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert linear light in [0, 1] to sRGB values; the inverse of :func:`_decode`."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


TO_STORED = np.rint(255 * _encode(np.arange(65536) / 65535)).astype(np.uint8)
"""Stored value of each 16-bit level of linear light, uint8 [65536]."""


class Terms(NamedTuple):
    """The blend of one channel: O = weight * tone[B] + clear * streaks + constant.

    ``tone``, float32 [256], maps a stored value to its value behind the rain minus the colour that
    hides it.
    """

    tone: Plane
    streaks: np.float32
    constant: np.float32


def darkened(settings: RainSettings) -> npt.NDArray[np.float64]:
    """Return what the stored values 0 to 255 become behind the rain, float64 [256]."""
    return 255 * settings.dim * (np.arange(256) / 255) ** settings.gamma


def terms(
    settings: RainSettings, streak: Colour, airlight: Colour, *, veiled: bool
) -> tuple[Terms, ...]:
    """Rearrange O = (B t + A (1 - t)) (1 - a) + E a by its variables, for each of three channels.

    With clear = 1 - a, the weight is t clear if streaks cover the scene, t if they add to it, and
    1 if there is neither veil nor cover. Values are 0 to 255 in the light that the settings name.
    """
    tone = darkened(settings)
    if settings.light == "linear":
        tone, streak, airlight = (255 * _decode(part / 255) for part in (tone, streak, airlight))
    # Processors disagree about the last bits of a power; rounding hides them.
    tone, streak, airlight = (np.rint(x * 4096) / 4096 for x in (tone, streak, airlight))
    rows = []
    for light, air in zip(streak.tolist(), airlight.tolist(), strict=True):
        if settings.blend == "add":
            hidden, streaks, constant = (air if veiled else 0.0), -light, light
            constant += hidden
        else:
            hidden = air if veiled else light
            streaks, constant = hidden - light, light
        rows.append(
            Terms((tone - hidden).astype(np.float32), np.float32(streaks), np.float32(constant))
        )
    return tuple(rows)


def weight(clear: Plane, through: Plane | None, settings: RainSettings) -> Plane | None:
    """Return the share of the scene's light that is left, or None for all; see :func:`terms`."""
    if settings.blend == "add":
        return through
    return clear if through is None else np.multiply(clear, through)


def compose(
    clean: npt.NDArray[np.uint8],
    *,
    clear: Plane,
    streak: Colour,
    transmission: Plane | None,
    airlight: Colour,
    settings: RainSettings,
) -> npt.NDArray[np.uint8]:
    """Blend scene, veil and streaks in floating point, and round once.

    ``clean`` [H, W, 3] is darkened as the settings say. It is seen through a veil of colour
    ``airlight`` that lets the share ``transmission`` [H, W] through, and through streaks of colour
    ``streak`` that leave the share ``clear`` [H, W] of each pixel. Colours are sRGB, 0 to 255.
    """
    channels = terms(settings, streak, airlight, veiled=transmission is not None)
    rainy = np.empty_like(clean)
    for top in range(0, len(clean), _STRIPE):
        rows = slice(top, top + _STRIPE)
        through = None if transmission is None else transmission[rows]
        share = weight(clear[rows], through, settings)
        stored = list(cv2.split(clean[rows]))
        for index, (tone, streaks, constant) in enumerate(channels):
            plane = np.asarray(cv2.LUT(stored[index], tone), np.float32)
            if share is not None:
                np.multiply(plane, share, out=plane)
            added: Plane | np.float32 = constant
            if streaks:
                added = np.multiply(clear[rows], streaks)
                added += constant
            np.add(plane, added, out=plane)
            stored[index] = _stored(plane, settings)
        cv2.merge(stored, dst=rainy[rows])
    return rainy


def _stored(plane: Plane, settings: RainSettings) -> npt.NDArray[np.uint8]:
    """Round to stored values, uint8 [H, W]."""
    if settings.light == "srgb":
        # A rounding, saturating cast; it takes the absolute value, but sums of light are negative
        # by a rounding error at most.
        return np.asarray(cv2.convertScaleAbs(plane), np.uint8)
    index = np.clip(plane * np.float32(65535 / 255) + np.float32(0.5), 0, 65535)
    return np.asarray(TO_STORED[index.astype(np.uint16)], np.uint8)


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

    It is exp(-β d) with β = fog_gain 0.312e-3 R^0.67. Infinite distances give 0, unless there is no
    fog at all.
    """
    beta = fog_gain * physics.extinction(rate_mm_h)
    if beta == 0:
        return np.ones_like(distance_m)
    depth = np.multiply(distance_m, np.float32(-beta))
    # OpenCV's exponential, unlike numpy's, gives the same bits on every processor.
    return np.asarray(cv2.exp(depth, dst=depth), np.float32)
