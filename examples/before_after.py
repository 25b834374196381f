"""Rainy and derained photographs side by side, in one picture; the README opens with it.

python examples/before_after.py DEMO PICTURE [--show NAME ...] [--height PIXELS]

DEMO is the folder of ``make demo``: DEMO/pairs/input against DEMO/derained. Each row is one
photograph, cut to 3:2 around its middle: with its rain on the left, without it on the right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.errors import exiting

GAP = 4
"""White pixels between pictures."""

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description="Rainy and derained photographs side by side.")
    parser.add_argument("demo", type=Path, help="folder of make demo")
    parser.add_argument("picture", type=Path, help="file to make")
    parser.add_argument("--show", nargs="+", default=["chelsea", "coffee"], metavar="NAME")
    parser.add_argument("--height", type=int, default=300, help="of each row, in pixels")
    given = parser.parse_args()
    rows = []
    for name in given.show:
        found = sorted((given.demo / "pairs" / "input").glob(f"{name}*.png"))
        if len(found) != 1:
            parser.error(f"{given.demo}: has {len(found)} pictures {name}*.png in pairs/input")
        (rainy,) = found
        before, after = images.read(rainy), images.read(given.demo / "derained" / rainy.name)
        rows.append(
            np.hstack(
                [
                    cut(before.rgb.astype(np.uint8), given.height),
                    np.full((given.height, GAP, 3), 255, np.uint8),
                    cut(after.rgb.astype(np.uint8), given.height),
                ]
            )
        )
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    whole = np.vstack([part for row in rows for part in (gap, row)][1:])
    images.write(given.picture, images.Picture(whole), overwrite=True, quality=88)
    print(f"{given.picture}: {whole.shape[1]}x{whole.shape[0]}")


def cut(picture: Pixels, height: int) -> Pixels:
    """The middle of [H,W,3] in the shape 3:2, ``height`` pixels high."""
    rows, columns = picture.shape[:2]
    wide, high = min(columns, rows * 3 // 2), min(rows, columns * 2 // 3)
    top, left = (rows - high) // 2, (columns - wide) // 2
    middle = picture[top : top + high, left : left + wide]
    return cv2.resize(middle, (height * 3 // 2, height), interpolation=cv2.INTER_AREA).astype(
        np.uint8
    )


if __name__ == "__main__":
    with exiting():
        main()
