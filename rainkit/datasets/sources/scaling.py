"""Random scales of training pictures: made smaller before they are cropped, larger afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from rainkit.images import RGB8

__all__ = ["Enlargement", "shrunk_pieces"]

_ENLARGEMENT = 3  # what a sample's seed is extended by; see rainkit.datasets.sources.augmentation
_LEAST, _MOST = 1.1, 2.5


@dataclass(frozen=True, slots=True)
class Enlargement:
    """How a degraded crop and its clean crop are enlarged together.

    Photographs on the web have often been enlarged after the rain fell: their streaks are wide and
    soft.

    Attributes:
        patch: side of the enlarged crop.
        factor: how many times as long its sides are.
        interpolation: OpenCV's number of it.
    """

    patch: int
    factor: float
    interpolation: int

    @classmethod
    def draw(cls, share: float, patch: int, seed: int) -> Enlargement | None:
        """Draw one for a share of samples; the others' draws do not depend on the share."""
        if not share:
            return None
        rng = np.random.default_rng([seed, _ENLARGEMENT])
        if rng.random() >= share:
            return None
        factor = float(rng.uniform(_LEAST, _MOST))
        return cls(patch, factor, cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR)

    def cut(self, crop: RGB8) -> RGB8:
        """Return the middle of a crop: what fills the patch once it is enlarged."""
        side = math.ceil(self.patch / self.factor)
        start = (self.patch - side) // 2
        return np.ascontiguousarray(crop[start : start + side, start : start + side])

    def apply(self, crop: RGB8) -> RGB8:
        """Enlarge what :meth:`cut` returned."""
        size = (self.patch, self.patch)
        return np.asarray(cv2.resize(crop, size, interpolation=self.interpolation), np.uint8)


def shrunk_pieces(
    *pictures: RGB8, scale: float, patch: int, rng: np.random.Generator
) -> tuple[tuple[RGB8, ...], int]:
    """Return the same piece of pictures of one size, made smaller, and their longest side then.

    The pieces are ``patch`` x ``patch``; only they are resized, which is most of a large picture's
    cost. Pictures that keep their size are returned whole: the scale is never one at which the
    shorter side would be less than ``patch``.
    """
    height, width = pictures[0].shape[:2]
    scale = max(scale, min(1.0, patch / min(height, width)))
    size = (round(width * scale), round(height * scale))
    if size == (width, height):
        return pictures, max(size)
    side = min(math.ceil(patch / scale), height, width)
    top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
    small: list[Any] = [
        cv2.resize(
            picture[top : top + side, left : left + side],
            (patch, patch),
            interpolation=cv2.INTER_AREA,
        )
        for picture in pictures
    ]
    return tuple(np.asarray(each, np.uint8) for each in small), max(size)
