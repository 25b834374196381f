"""Thin lines of a scene, which are drawn into clean pictures before the rain: they must stay.

A network that sees bright thin lines in rain only takes posts, railings, pitch lines and letters
away, too. These lines differ from rain as those of scenes do: they are regular, cross much of the
picture, lie flat, cross each other or are curved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.images import RGB8

__all__ = ["SceneLines"]

Mask = npt.NDArray[np.uint8]

_LINES = 7  # extends a sample's seed, see rainkit.datasets.sources.augmentation
_SHIFT = 4  # bits of a pixel's fraction in coordinates of OpenCV
_GLYPHS = "ABDEFHIKLMNPRTUVXYZabdfhiklmtl1147/|"
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)


@dataclass(frozen=True, slots=True)
class SceneLines:
    """Lines of one kind: posts, a railing, horizontals, a grid, wires or letters.

    Attributes:
        seed: seed of the lines.
    """

    seed: int

    @classmethod
    def draw(cls, share: float, seed: int) -> SceneLines | None:
        """Draw lines for a share of samples; other draws do not depend on the share."""
        if not share or np.random.default_rng([seed, _LINES]).random() >= share:
            return None
        return cls(seed)

    def over(self, picture: RGB8) -> RGB8:
        """Return a picture [H, W, 3] with the lines drawn over it."""
        rng = np.random.default_rng([self.seed, _LINES, 1])
        height, width = picture.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        kinds = (_posts, _railing, _horizontals, _grid, _wires, _letters)
        kinds[int(rng.integers(len(kinds)))](mask, rng)
        if rng.random() < 0.5:
            mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.3)), np.uint8)
        # Bright ones, which rain resembles, and a few dark ones.
        light = rng.uniform(150, 255) if rng.random() < 0.8 else rng.uniform(0, 90)
        colour = np.clip(light + rng.uniform(-25, 25, 3), 0, 255)
        share = (rng.uniform(0.6, 1.0) / 255 * mask.astype(np.float32))[..., None]
        drawn = picture + share * (colour.astype(np.float32) - picture)
        return np.asarray(np.rint(drawn), np.uint8)


def _line(mask: Mask, start: tuple[float, float], end: tuple[float, float], thickness: int) -> None:
    points = [tuple(round(value * 2**_SHIFT) for value in point) for point in (start, end)]
    cv2.line(mask, points[0], points[1], 255, thickness, cv2.LINE_AA, _SHIFT)


def _posts(mask: Mask, rng: np.random.Generator) -> None:
    """Draw a few upright bars that cross at least half of the picture."""
    height, width = mask.shape
    lean = math.tan(math.radians(rng.normal(0, 4)))
    for _ in range(int(rng.integers(1, 4))):
        x, top = rng.uniform(0, width), rng.uniform(-0.3, 0.4) * height
        length = rng.uniform(0.55, 1.3) * height
        _line(mask, (x, top), (x + lean * length, top + length), int(rng.integers(1, 6)))


def _railing(mask: Mask, rng: np.random.Generator) -> None:
    """Draw equal bars at equal distances between two rails."""
    height, width = mask.shape
    lean = math.tan(math.radians(rng.normal(0, 5)))
    top = rng.uniform(-0.2, 0.6) * height
    length = rng.uniform(0.2, 0.8) * height
    thickness = int(rng.integers(1, 4))
    for x in np.arange(rng.uniform(-20, 0), width + 20, rng.uniform(3 + 2 * thickness, 30)):
        _line(mask, (x, top), (x + lean * length, top + length), thickness)
    fall = rng.uniform(-0.1, 0.1) * width
    for y in (top, top + length):
        _line(mask, (-5, y - fall), (width + 5, y + fall), thickness + int(rng.integers(2)))


def _horizontals(mask: Mask, rng: np.random.Generator) -> None:
    """Draw a few lines that lie nearly flat, as on a pitch or a wall of boards."""
    height, width = mask.shape
    fall = math.tan(math.radians(rng.normal(0, 12))) * width / 2
    for _ in range(int(rng.integers(1, 6))):
        y, left = rng.uniform(0, height), rng.uniform(-0.5, 0.3) * width
        right = left + rng.uniform(0.5, 1.5) * width
        _line(mask, (left, y - fall), (right, y + fall), int(rng.integers(1, 5)))


def _grid(mask: Mask, rng: np.random.Generator) -> None:
    """Draw two families of parallel lines, as of windows, tiles or a fence."""
    height, width = mask.shape
    reach = math.hypot(height, width)
    first = math.radians(rng.normal(0, 10) if rng.random() < 0.7 else rng.uniform(-60, 60))
    thickness = int(rng.integers(1, 3))
    for turn in (first, first + math.pi / 2 + rng.normal(0, 0.15)):
        along, across = (math.sin(turn), math.cos(turn)), (math.cos(turn), -math.sin(turn))
        for offset in np.arange(-reach / 2, reach / 2, rng.uniform(8, 40)):
            x, y = width / 2 + offset * across[0], height / 2 + offset * across[1]
            reach_x, reach_y = reach * along[0], reach * along[1]
            _line(mask, (x - reach_x, y - reach_y), (x + reach_x, y + reach_y), thickness)


def _wires(mask: Mask, rng: np.random.Generator) -> None:
    """Draw a few sagging lines from side to side, some of them steep."""
    height, width = mask.shape
    for _ in range(int(rng.integers(1, 5))):
        along = np.linspace(-0.1, 1.1, 24)
        ends = rng.uniform(-0.4, 1.4, 2)
        sag = rng.uniform(0.0, 0.3) * along * (1 - along) * 4
        path = np.stack([along * width, (ends[0] + (ends[1] - ends[0]) * along + sag) * height], 1)
        if rng.random() < 0.3:
            path = path[:, ::-1]
        points = np.rint(path * 2**_SHIFT).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA, _SHIFT)


def _letters(mask: Mask, rng: np.random.Generator) -> None:
    """Draw a few short words."""
    height, width = mask.shape
    for _ in range(int(rng.integers(1, 5))):
        word = "".join(rng.choice(list(_GLYPHS), int(rng.integers(2, 8))))
        place = (int(rng.uniform(-0.2, 0.7) * width), int(rng.uniform(0.1, 1.1) * height))
        font = _FONTS[int(rng.integers(len(_FONTS)))]
        size, thickness = float(rng.uniform(0.4, 2.0)), int(rng.integers(1, 4))
        cv2.putText(mask, word, place, font, size, 255, thickness, cv2.LINE_AA)
