"""Whether a picture had rain at all, decided by what a method took off it.

Scenes without rain have lines, too: grass, facades, fur. What tells rain from them is less what a
picture shows than what leaves it. Drops blend a picture with white light, and a method takes most
of the light of such lines off. Of a dry picture it takes a part, in the colours of the scene.
``examples/checks/keep_dry.py`` fits the rule; docs/benchmarks/dry.md has what it is worth.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.images import LUMA_WEIGHTS, RGB8
from rainkit.inference.choice import small
from rainkit.weights import WeightsFile

__all__ = ["DRY_DENSITY", "Removed", "can_tell", "was_dry"]

DRY_DENSITY = 7.0
"""Number of streaks in 100 x 100 pixels below which a picture is dry, whatever a method takes off
it; no photograph of rain that was measured has fewer than 7.7."""

_FINE_SD, _AROUND_SD = 2.5, 3.0
"""Deviations in pixels of the Gaussians that details and their surroundings are measured by."""
_GONE, _WHITE, _CLOSEST = 3.0, 250.0, 5.0
"""Grey levels above which light counts as taken off where colours are compared, those of the light
that drops scatter, and its least distance from the scene's."""
_MOST_SKEWED = 2.5
"""Highest skewness that counts, which is that of photographs; drawings may have any."""
_LINE, _BRIGHT = 9, 8.0
"""Pixels that lines are thinner than, and grey levels by which they stand out."""
_FEWEST = 50
"""Number of pixels without which there is nothing to measure."""


class Removed(NamedTuple):
    """Measures of what a method took off a picture.

    Attributes:
        skewness: skewness of the fine details of the rainy picture, at most 2.5; bright ones raise
            it.
        tint: logarithm of the share of the energy of what was taken off that is not explained by
            a blend of the scene with white light, whose colour rain has. It is 0 if hardly
            anything was taken off.
        taken: share of the brightness of thin upright bright lines that was taken off.
    """

    skewness: float
    tint: float
    taken: float

    @classmethod
    def between(cls, rainy: NDArray[Any], derained: NDArray[Any]) -> Removed:
        """Measure it.

        Args:
            rainy: [H,W,3] of uint8, uint16, or floats in [0,1].
            derained: the result, of the same size and kind.
        """
        before, after = small(rainy), small(derained)
        luma, left = _luma(before), _luma(after)
        fine = luma - cv2.GaussianBlur(luma, (0, 0), _FINE_SD)
        spread = max(float(np.mean(fine**2)), 1e-3)
        return cls(
            skewness=min(float(np.mean(fine**3)) / spread**1.5, _MOST_SKEWED),
            tint=_tint(before, after, luma - left > _GONE),
            taken=_taken(luma, left),
        )


_WEIGHTS = Removed(skewness=1.88, tint=-1.55, taken=7.11)
_THRESHOLD = 7.16
"""What the weighted sum of the measures is at least if there was rain."""


_MOST_LEFT = 0.65
"""Share of the streaks' energy that a method may leave in photographs so that its result says
whether there was rain."""


def can_tell(weights: WeightsFile) -> bool:
    """Return whether weights take so much rain off photographs that :func:`was_dry` holds.

    What a method that leaves most of the rain takes off a rainy picture looks as if it were dry.
    """
    measured = weights.photographs
    return measured is not None and measured.streaks_left <= _MOST_LEFT


def was_dry(rainy: NDArray[Any], derained: NDArray[Any], strength: float = 1.0) -> bool:
    """Return whether what a method took off a picture is no rain.

    Args:
        rainy: the picture [H,W,3] of uint8, uint16, or floats in [0,1].
        derained: the result, of the same size and kind.
        strength: factor of the rain that was taken off it.
    """
    if strength != 1.0:
        if strength <= 0.0:
            return False  # nothing was taken off, which says nothing
        rainy, derained = small(rainy), small(derained)
        derained = cv2.addWeighted(derained, 1 / strength, rainy, 1 - 1 / strength, 0)
    removed = Removed.between(rainy, derained)
    return sum(w * m for w, m in zip(_WEIGHTS, removed, strict=True)) < _THRESHOLD


def _luma(rgb: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(cv2.transform(rgb.astype(np.float32), LUMA_WEIGHTS), np.float32)


def _tint(before: RGB8, after: RGB8, gone: NDArray[np.bool_]) -> float:
    """Compare the colour of what was taken off with that of white light over the scene."""
    if np.count_nonzero(gone) < _FEWEST:
        return 0.0
    change = cv2.subtract(before, after, dtype=cv2.CV_32F)[gone]
    scene = cv2.GaussianBlur(after.astype(np.float32), (0, 0), _AROUND_SD)[gone]
    light = np.maximum(_WHITE - scene, _CLOSEST)
    share = (change * light).sum(1, keepdims=True) / (light * light).sum(1, keepdims=True)
    rest = float(np.square(change - share * light).sum())
    return math.log((rest + 1) / (float(np.square(change).sum()) + 1))


def _taken(luma: NDArray[np.float32], left: NDArray[np.float32]) -> float:
    """Return the share of the brightness of thin lines that was taken off."""
    lines, still = _lines(luma), _lines(left)
    bright = lines > _BRIGHT
    if np.count_nonzero(bright) < _FEWEST:
        return 0.0
    return float(np.maximum(lines - still, 0)[bright].sum() / lines[bright].sum())


def _lines(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the bright details that are thinner than the window from left to right."""
    window = np.ones((1, _LINE), np.uint8)
    return np.asarray(luma - cv2.morphologyEx(luma, cv2.MORPH_OPEN, window), np.float32)
