"""Random scales of training pictures: they are shrunk before the crop and enlarged after it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from rainkit.images import RGB8

__all__ = ["Enlargement", "shrunk_pieces"]

_ENLARGEMENT = 3  # extends a sample's seed, see rainkit.datasets.sources.augmentation
_LEAST, _MOST = 1.1, 2.5


@dataclass(frozen=True, slots=True)
class Enlargement:
    """An enlargement of a degraded crop together with its clean crop.

    Photographs on the web have often been enlarged after they were taken in the rain, so that their
    streaks are wide and soft.

    Attributes:
        patch: side of the enlarged crop in px.
        factor: factor by which the sides grow.
        interpolation: OpenCV's constant for the interpolation.
    """

    patch: int
    factor: float
    interpolation: int

    @classmethod
    def draw(cls, share: float, patch: int, seed: int) -> Enlargement | None:
        """Draw an enlargement for a share of samples; other draws do not depend on the share."""
        if not share:
            return None
        rng = np.random.default_rng([seed, _ENLARGEMENT])
        if rng.random() >= share:
            return None
        factor = float(rng.uniform(_LEAST, _MOST))
        return cls(patch, factor, cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR)

    def cut(self, crop: RGB8) -> RGB8:
        """Return the middle of a crop, which fills the patch once it is enlarged."""
        side = math.ceil(self.patch / self.factor)
        start = (self.patch - side) // 2
        return np.ascontiguousarray(crop[start : start + side, start : start + side])

    def apply(self, crop: RGB8) -> RGB8:
        """Enlarge the middle that :meth:`cut` returned."""
        size = (self.patch, self.patch)
        return np.asarray(cv2.resize(crop, size, interpolation=self.interpolation), np.uint8)


def shrunk_pieces(
    *pictures: RGB8, scale: float, patch: int, rng: np.random.Generator
) -> tuple[tuple[RGB8, ...], int]:
    """Return the same piece of several pictures of one size, shrunk, and the new longest side.

    The pieces are ``patch`` x ``patch``. Only they are resized, since resizing takes most of the
    time for a large picture. The scale is raised if the shorter side would be less than ``patch``;
    pictures that keep their size are returned whole.
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
