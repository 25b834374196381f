"""Whether a picture had rain at all, decided by what a method took off it.

Scenes without rain have lines, too: grass, facades, fur. What tells rain from them is less what a
picture shows than what leaves it. A method takes bright lines off a rainy picture, many of them,
whatever the scene's colours are; of a dry picture it takes little, in the colours of the scene.
``examples/checks/keep_dry.py`` fits the rule; docs/benchmarks/choice.md has what it is worth.
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

_REMOVED = 3.0
"""Grey levels above which light counts as taken off where colours are compared."""
_LINE = 9
"""Length in pixels of the window that lines are thinner than."""
_FINE_SD, _COLOUR_SD = 2.5, 5.0
"""Deviations in pixels of the Gaussians that details and local colours are measured by."""


class Removed(NamedTuple):
    """Measures of what a method took off a picture.

    Attributes:
        streaks: logarithm of 0.5 + the number of streaks in 100 x 100 pixels that are gone.
        lines: logarithm of the share of the energy of thin upright bright lines that is left.
        colour: logarithm of the colourfulness of what was taken off, relative to that of the scene.
        skewness: skewness of the fine details of the rainy picture; bright ones raise it.
    """

    streaks: float
    lines: float
    colour: float
    skewness: float

    @classmethod
    def between(cls, rainy: NDArray[Any], derained: NDArray[Any]) -> Removed:
        """Measure it.

        Args:
            rainy: [H,W,3] of uint8, uint16, or floats in [0,1].
            derained: the result, of the same size and kind.
        """
        from rainkit.rain.realism import segment  # not every run looks for rain

        before, after = small(rainy), small(derained)
        luma, left = _luma(before), _luma(after)
        gone = luma - left
        fewer = max(0.0, segment(before).density - segment(after).density)
        fine = luma - cv2.GaussianBlur(luma, (0, 0), _FINE_SD)
        spread = float(np.mean(fine**2))
        return cls(
            streaks=math.log(fewer + 0.5),
            lines=math.log((_lines(left) + 1e-3) / (_lines(luma) + 1e-3)),
            colour=_colour(before, after, gone),
            skewness=float(np.mean(fine**3)) / max(spread, 1e-3) ** 1.5,
        )


_WEIGHTS = Removed(streaks=2.62, lines=-6.29, colour=2.48, skewness=1.01)
_THRESHOLD = 3.35
"""What the weighted sum of the measures is at least if there was rain."""


_MOST_LEFT = 0.6
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


def _lines(luma: NDArray[np.float32]) -> float:
    """Return the energy of bright details that are thinner than the window from left to right."""
    window = np.ones((1, _LINE), np.uint8)
    return float(np.mean((luma - cv2.morphologyEx(luma, cv2.MORPH_OPEN, window)) ** 2))


def _colour(before: RGB8, after: RGB8, gone: NDArray[np.float32]) -> float:
    change = cv2.subtract(before, after, dtype=cv2.CV_32F)
    coloured = float(np.square(change - gone[..., None]).sum())
    share = math.sqrt(coloured / max(float(np.square(change).sum()), 1.0))
    around = cv2.GaussianBlur(after.astype(np.float32), (0, 0), _COLOUR_SD)
    where = gone > _REMOVED
    tint = around[where] / (_luma(around)[where][:, None] + 1) - 1
    scene = math.sqrt(float(np.square(tint).sum()) / max(len(tint), 1))
    return math.log(share + 0.01) - math.log(scene + 0.05)
