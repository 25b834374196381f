"""Draw plain pictures, from black to white: what a network must leave alone, and seldom sees.

python examples/recipes/plain_pictures.py OUT [--count 60]

Each is one colour that changes a little from one side to the other, like a wall, fog or an
overexposed sky; every third one is white. Give them to a training as a small share of its clean
pictures: ``--clean PHOTOS@0.95 --clean OUT@0.05``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

SIDE = 256


def plain(rng: np.random.Generator, *, white: bool) -> np.ndarray:
    """Return a picture [256,256,3] uint8 of one colour that changes by up to 40 levels."""
    if white:
        return np.full((SIDE, SIDE, 3), 255, np.uint8)
    colour = rng.uniform(0, 255) + rng.normal(0, 8, 3)
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = (x * np.cos(direction) + y * np.sin(direction))[..., None] * rng.uniform(-40, 40)
    return np.asarray(np.clip(np.rint(colour + slope), 0, 255), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw plain pictures, from black to white.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    given.out.mkdir(parents=True)
    for number in range(given.count):
        picture = plain(rng, white=number % 3 == 0)
        cv2.imwrite(str(given.out / f"{number:03}.png"), picture)


if __name__ == "__main__":
    main()
