"""Blending scene, veil and streaks: O = (B t + A (1 - t)) (1 - a) + E a.

Additive sets such as Rain100L/H leave out the factor (1 - a) and clip at white.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.rain.settings import RainSettings

__all__ = ["compose"]

Colour = npt.NDArray[np.float64]


def _decode(stored: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """SRGB values in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


def _encode(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Inverse of :func:`_decode`."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


_TO_STORED = np.rint(255 * _encode(np.arange(65536) / 65535)).astype(np.uint8)


def compose(
    clean: npt.NDArray[np.uint8],
    *,
    opacity: npt.NDArray[np.float32],
    streak: Colour,
    transmission: npt.NDArray[np.float32] | None,
    airlight: Colour,
    settings: RainSettings,
) -> npt.NDArray[np.uint8]:
    """Blend in float and round once.

    ``clean`` [H, W, 3] is darkened as the settings say, then seen through a veil of colour
    ``airlight`` that lets ``transmission`` [H, W] or [1, 1] through, then through streaks of colour
    ``streak`` that cover ``opacity`` [H, W] of each pixel. Colours are RGB, 0 to 255, sRGB.
    """
    linear = settings.light == "linear"
    tone = 255 * settings.dim * (np.arange(256) / 255) ** settings.gamma
    if linear:
        tone, streak, airlight = (255 * _decode(part / 255) for part in (tone, streak, airlight))
    scene = tone.astype(np.float32)[clean]
    if transmission is not None:
        _blend(scene, np.float32(1) - transmission, airlight, cover=True)
    _blend(scene, opacity, streak, cover=settings.blend == "alpha")
    if linear:
        index = np.clip(scene * np.float32(65535 / 255) + np.float32(0.5), 0, 65535)
        return np.asarray(_TO_STORED[index.astype(np.uint16)], np.uint8)
    return np.clip(np.rint(scene), 0, 255).astype(np.uint8)


def _blend(
    scene: npt.NDArray[np.float32], share: npt.NDArray[np.float32], colour: Colour, *, cover: bool
) -> None:
    """Lay a share (0 to 1 per pixel) of a colour over a scene, or add it, in place."""
    height, width = scene.shape[:2]
    spread = np.ascontiguousarray(np.broadcast_to(share, (height, width)))
    weights = cv2.merge([spread, spread, spread])
    # A whole row of the colour at once: broadcasting three values at a time is slow.
    row = np.tile(colour.astype(np.float32), width).reshape(1, width, 3)
    scene += (row - scene if cover else row) * weights
