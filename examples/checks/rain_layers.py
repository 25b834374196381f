"""What rain adds to pictures: pairs of a dataset beside the samples of a training, as a table.

python examples/checks/rain_layers.py PAIRS... --clean CLEAN [--set data.NAME=VALUE] [-m METHOD]

PAIRS are folders of pairs, CLEAN rain-free photographs on which rain is drawn as rainkit train
draws it with these settings. The layer of a picture is the rainy side less the clean one, in levels
of grey, where the scene is dark enough for it to be seen whole. A row has the percentiles of a
measure; each picture counts alike.

With -m NAME[=WEIGHTS] a second table has what the method's network makes of their middles: pictures
in four equal parts by how much light rain adds, the light that the result has more than the clean
side, PSNR, and PSNR without the slow part of the error (Gaussian, 12 px). If samples of the
training are as bad as a dataset, the rain is right and the network wants more training or width.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from rainkit import inference
from rainkit.api import Training
from rainkit.datasets.pairs import find_pairs
from rainkit.datasets.sources import open_sources
from rainkit.datasets.sources.mixed import Batch, collate
from rainkit.errors import exiting
from rainkit.images import LUMA_WEIGHTS, RGB8
from rainkit.training import run_config

Sides = Iterable[tuple[RGB8, RGB8]]
Plane = npt.NDArray[np.float64]
POINTS = (10, 25, 50, 75, 90)
DARK = 110  # levels; the scene below it shows streaks that add up to twice as much
LEAST = 0.15  # share of a picture that has to be dark
SIDE = 256  # px; of samples, and of the middles that methods derain
SLOW = 12  # px; standard deviation of the blur that leaves the slow part of an error
RAINY = 8  # levels on average; less is no rain worth a row
MEASURES = {
    "mean": "light added, mean",
    "spread": "light added, standard deviation",
    "covered": "share of pixels with more than 8 levels",
    "strongest": "light added, 99th percentile",
    "beside": "correlation with the pixel beside",
    "beside2": "with the second pixel beside",
    "below8": "with the 8th pixel below",
    "below20": "with the 20th pixel below",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pairs", nargs="+", type=Path, help="folders of pairs")
    parser.add_argument("--clean", nargs="+", required=True, help="rain-free photographs")
    parser.add_argument("--set", action="append", default=[], help="data.NAME=VALUE")
    parser.add_argument("--samples", type=int, default=200, help="training samples")
    parser.add_argument("-m", "--method", action="append", default=[], help="repeatable")
    options = parser.parse_args()
    sides = {str(folder): list(of_pairs(folder)) for folder in options.pairs}
    sides["training"] = list(of_training(options.clean, options.set, options.samples))
    rows = {name: measured(each) for name, each in sides.items()}
    print(f"{'':44}{'pictures':>10}" + "".join(f"{point:>7} %" for point in POINTS))
    for measure, title in MEASURES.items():
        for name, found in rows.items():
            values = np.percentile([each[measure] for each in found], POINTS)
            cells = "".join(f"{value:9.2f}" for value in values)
            print(f"{title if name == next(iter(rows)) else '':44}{len(found):>10}{cells}  {name}")
    for method in options.method:
        name, _, weights = method.partition("=")
        network = inference.load(
            name, weights=weights or None, spare_traces=False, work_size="full"
        )
        print(f"\n{method:32}{'light added':>12}{'left':>8}{'PSNR':>8}{'without slow':>14}")
        for name, each in sides.items():
            for part in left_by(network, each):
                print(f"{name:32}{part[0]:12.1f}{part[1]:8.1f}{part[2]:8.2f}{part[3]:14.2f}")


def left_by(network: inference.Derainer, sides: Sides) -> list[npt.NDArray[np.float64]]:
    """Return light added, light left, PSNR and PSNR without the slow error, by quarter of light."""
    found = []
    for rainy, clean in sides:
        rainy, clean = middle(rainy), middle(clean)
        added = float((luma(rainy) - luma(clean)).mean())
        if added < RAINY:
            continue
        error = luma(network.derain(rainy)) - luma(clean)
        slow = cv2.GaussianBlur(error, (0, 0), SLOW)
        found.append((added, error.mean(), psnr(error), psnr(error - slow)))
    quarters = np.array_split(np.array(sorted(found)).reshape(-1, 4), 4)
    return [part.mean(axis=0) for part in quarters if len(part)]


def middle(rgb: RGB8) -> RGB8:
    top, left = (max(0, (side - SIDE) // 2) for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE])


def psnr(error: Plane) -> float:
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def of_pairs(folder: Path) -> Iterator[tuple[RGB8, RGB8]]:
    """Yield the rainy and the clean side of each pair."""
    for pair in find_pairs(folder):
        yield pair.rainy.read(), pair.clean.read()


def of_training(clean: list[str], settings: list[str], count: int) -> Iterator[tuple[RGB8, RGB8]]:
    """Yield rainy and clean samples of a training."""
    section = run_config.with_settings({}, settings)
    request = replace(run_config.data_request(section, {"clean": clean}), rain_free=0.0)
    source = open_sources(request, Training(patch=SIDE, augment="hflip"), seed=0)
    for k in range(count):
        batch = collate([source[k]])
        if not isinstance(batch, Batch):
            raise SystemExit(str(batch))
        rainy, target = batch.on(torch.device("cpu"))
        yield rainy[0].permute(1, 2, 0).numpy(), target[0].permute(1, 2, 0).numpy()


def luma(rgb: RGB8) -> Plane:
    """Return luma, [H, W] in levels."""
    return np.asarray(rgb @ np.asarray(LUMA_WEIGHTS, np.float64).ravel())


def measured(sides: Sides) -> list[dict[str, float]]:
    """Return the measures of each picture that is dark enough."""
    found = []
    for rainy, clean in ((luma(rainy), luma(clean)) for rainy, clean in sides):
        seen = (clean < DARK) & (rainy < 250)
        if seen.mean() >= LEAST:
            found.append(of_layer(rainy - clean, seen))
    if not found:
        raise SystemExit("no picture is dark enough")
    return found


def of_layer(layer: Plane, seen: npt.NDArray[np.bool_]) -> dict[str, float]:
    values = layer[seen]
    around = layer - values.mean()

    def alike(down: int, right: int) -> float:
        rows, columns = layer.shape[0] - down, layer.shape[1] - right
        both = seen[:rows, :columns] & seen[down:, right:]
        product = around[:rows, :columns] * around[down:, right:]
        return float(product[both].mean() / max(values.var(), 1e-6)) if both.any() else 0.0

    return {
        "mean": float(values.mean()),
        "spread": float(values.std()),
        "covered": float((values > 8).mean()),
        "strongest": float(np.percentile(values, 99)),
        "beside": alike(0, 1),
        "beside2": alike(0, 2),
        "below8": alike(8, 0),
        "below20": alike(20, 0),
    }


if __name__ == "__main__":
    with exiting():
        main()
