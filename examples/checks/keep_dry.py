"""The threshold of ``rainkit infer --keep-dry``: how many streaks photographs with rain have.

python examples/checks/keep_dry.py --dry FOLDER... --rainy FOLDER...

Prints quantiles of the number of streaks in 100 x 100 px for each folder, the largest threshold in
steps of 0.5 below which no rainy picture lies, and for each folder how many pictures would be left
as they are with that threshold and with the one that rainkit uses. docs/benchmarks/choice.md shows
the table.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from rainkit import images
from rainkit.inference.choice import DRY, measure

STEP = 0.5


def densities(folder: Path) -> np.ndarray:
    found = images.find([folder])
    return np.array([measure(images.read(each.path).rgb).density for each in found])


def main() -> None:
    parser = argparse.ArgumentParser(description="The threshold below which pictures are dry.")
    parser.add_argument("--dry", nargs="+", type=Path, required=True, help="photographs")
    parser.add_argument("--rainy", nargs="+", type=Path, required=True, help="rainy pictures")
    given = parser.parse_args()
    rainy = {folder: densities(folder) for folder in given.rainy}
    found = rainy | {folder: densities(folder) for folder in given.dry}
    threshold = STEP * math.floor(min(each.min() for each in rainy.values()) / STEP)
    print(f"largest threshold that spares every rainy picture: {threshold:g}; rainkit's: {DRY:g}")
    print(f"| pictures | number | least | median | most | below {threshold:g} | below {DRY:g} |")
    for folder, each in found.items():
        figures = " | ".join(f"{np.quantile(each, q):.1f}" for q in (0, 0.5, 1))
        below = " | ".join(str(int((each < limit).sum())) for limit in (threshold, DRY))
        print(f"| {folder} | {len(each)} | {figures} | {below} |")


if __name__ == "__main__":
    main()
