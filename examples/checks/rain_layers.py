"""What rain adds to pictures: pairs of a dataset beside the samples of a training, as a table.

python examples/checks/rain_layers.py PAIRS... --clean CLEAN [--set data.NAME=VALUE]

PAIRS are folders of pairs, CLEAN rain-free photographs on which rain is drawn as rainkit train
draws it with these settings. The layer of a picture is the rainy side less the clean one, in levels
of grey, where the scene is dark enough for it to be seen whole. A row has the percentiles of a
measure; each picture counts alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rainkit.api import Training
from rainkit.datasets.pairs import find_pairs
from rainkit.datasets.sources import open_sources
from rainkit.datasets.sources.mixed import Batch, collate
from rainkit.images import LUMA_WEIGHTS
from rainkit.training import run_config

Plane = npt.NDArray[np.float64]
POINTS = (10, 25, 50, 75, 90)
DARK = 110  # levels; the scene below it shows streaks that add up to twice as much
LEAST = 0.15  # share of a picture that has to be dark
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
    options = parser.parse_args()
    rows = {str(folder): measured(of_pairs(folder)) for folder in options.pairs}
    rows["training"] = measured(of_training(options.clean, options.set, options.samples))
    print(f"{'':44}{'pictures':>10}" + "".join(f"{point:>7} %" for point in POINTS))
    for measure, title in MEASURES.items():
        for name, found in rows.items():
            values = np.percentile([each[measure] for each in found], POINTS)
            cells = "".join(f"{value:9.2f}" for value in values)
            print(f"{title if name == next(iter(rows)) else '':44}{len(found):>10}{cells}  {name}")


def of_pairs(folder: Path) -> Iterator[tuple[Plane, Plane]]:
    """Yield the rainy and the clean side of each pair as luma, [H, W] in levels."""
    for pair in find_pairs(folder):
        yield luma(pair.rainy.read()), luma(pair.clean.read())


def of_training(clean: list[str], settings: list[str], count: int) -> Iterator[tuple[Plane, Plane]]:
    """Yield rainy and clean samples of a training as luma, [H, W] in levels."""
    section = run_config.with_settings({}, settings)
    request = replace(run_config.data_request(section, {"clean": clean}), rain_free=0.0)
    source = open_sources(request, Training(patch=256, augment="hflip"), seed=0)
    for k in range(count):
        batch = collate([source[k]])
        if not isinstance(batch, Batch):
            raise SystemExit(str(batch))
        rainy, target = batch.on(torch.device("cpu"))
        yield luma(rainy[0].permute(1, 2, 0).numpy()), luma(target[0].permute(1, 2, 0).numpy())


def luma(rgb: npt.NDArray[np.uint8]) -> Plane:
    return np.asarray(rgb @ np.asarray(LUMA_WEIGHTS, np.float64).ravel())


def measured(sides: Iterable[tuple[Plane, Plane]]) -> list[dict[str, float]]:
    """Return the measures of each picture that is dark enough."""
    found = []
    for rainy, clean in sides:
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
    main()
