"""How well the guess of ``rainkit synth --depth auto`` agrees with measured depth.

python examples/checks/depth_heuristic.py RGB_FOLDER DEPTH_FOLDER [--depth-format FORM]

For every photograph with a map in DEPTH_FOLDER that is in metres, over the pixels that were
measured and are nearer than 200 m: Spearman's rank correlation, the mean of |guess - true| / true
after the guess is scaled to the true median, and that scale. Also how long the guess takes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rainkit import images
from rainkit.depth import FORMATS, open_source
from rainkit.depth.heuristic import estimate_depth
from rainkit.errors import RainkitError, exiting

FARTHEST_M = 200.0

Values = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description="The weight-free guess against measured depth.")
    parser.add_argument("rgb", type=Path, help="folder of photographs")
    parser.add_argument("depth", type=Path, help="folder of their depth maps")
    parser.add_argument("--depth-format", choices=FORMATS)
    given = parser.parse_args()
    source = open_source(str(given.depth), form=given.depth_format)
    scores = []
    print(f"{'photograph':40} spearman  absrel  scale  ms")
    for found in images.find([given.rgb]):
        clean = images.to_uint8(images.read(found.path).rgb)
        try:
            true = source.of(found.path, clean)
        except RainkitError as error:
            print(f"left out: {error}")
            continue
        started = time.perf_counter()
        z = estimate_depth(clean)
        took = (time.perf_counter() - started) * 1000
        if true is None or not true.metric or z is None:
            print(f"{found.path.stem:40} {'no metres' if z is not None else 'no guess'}")
            continue
        known = true.valid & (true.z < FARTHEST_M)
        mine, measured = z[known].astype(np.float64), true.z[known].astype(np.float64)
        scale = float(np.median(measured) / np.median(mine))
        error_share = float(np.mean(np.abs(mine * scale - measured) / measured))
        scores.append((spearman(mine, measured), error_share, scale, took))
        print(row(found.path.stem, scores[-1]))
    if scores:
        print(row(f"mean of {len(scores)}", tuple(np.mean(scores, axis=0))))


def spearman(first: Values, second: Values) -> float:
    """Rank correlation; equal values share their mean rank."""
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def ranks(values: Values) -> Values:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - count / 2)[place], np.float64)


def row(name: str, score: tuple[float, ...]) -> str:
    return f"{name:40} {score[0]:8.3f}  {score[1]:6.3f}  {score[2]:5.2f}  {score[3]:.1f}"


if __name__ == "__main__":
    with exiting():
        main()
