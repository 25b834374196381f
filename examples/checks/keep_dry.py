"""The rule of ``rainkit infer --keep-dry``: fitted to photographs with rain and without.

python examples/checks/keep_dry.py --dry FOLDER... --rainy FOLDER... -m METHOD -o MEASURES.jsonl
    [--also FOLDER...] [--limit N]

Derains the pictures, shrunk to 480 pixels, and measures what was taken off. MEASURES.jsonl keeps
the measures, so that a run that was stopped goes on. Prints the regression that tells --dry
from --rainy, the threshold that leaves no rainy picture as it is, and for each folder how many
pictures the rule of rainkit, its density alone, and the fitted rule leave as they are. Then the
regression is fitted to one half of all pictures, with its threshold, and counted on the other.
--also names further rainy pictures, which are counted, but not fitted to. docs/benchmarks/choice.md
shows the result.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rainkit import images, inference
from rainkit.inference.choice import measure, small
from rainkit.inference.dryness import DRY_DENSITY, Removed, was_dry

Values = NDArray[np.float64]
MARGIN = 0.5
"""How far the threshold stays below the least rainy picture, in logits."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dry", nargs="+", type=Path, required=True, help="photographs")
    parser.add_argument("--rainy", nargs="+", type=Path, required=True, help="rainy photographs")
    parser.add_argument("--also", nargs="*", type=Path, default=[], help="other rainy pictures")
    parser.add_argument("-m", "--method", required=True, help="NAME or NAME=WEIGHTS")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file of the measures")
    parser.add_argument("--limit", type=int, help="pictures of each folder")
    given = parser.parse_args()
    folders = [*given.rainy, *given.dry, *given.also]
    rows = measured(folders, given.method, given.output, given.limit)
    of = {name: [row for row in rows if row["folder"] == str(name)] for name in folders}
    fitted_to = [row for name in (*given.rainy, *given.dry) for row in of[name]]
    rain = np.array([row["folder"] in map(str, given.rainy) for row in fitted_to])
    x = np.array([row["removed"] for row in fitted_to])
    weights, threshold = rule(x, rain)
    told = ", ".join(f"{n}={w:.2f}" for n, w in zip(Removed._fields, weights, strict=True))
    print(f"{told}; threshold {threshold:.2f}")
    print("| pictures | number | by density | rainkit's rule | fitted rule |")
    print("|---|--:|--:|--:|--:|")
    for name, own in of.items():
        sure = np.array([row["density"] < DRY_DENSITY for row in own], bool)
        shipped = np.array([row["dry"] for row in own], bool) | sure
        fitted = (np.array([row["removed"] for row in own]) @ weights < threshold) | sure
        print(f"| {name} | {len(own)} | {sure.sum()} | {shipped.sum()} | {fitted.sum()} |")
    missed, spared = halves(x, rain)
    print(f"fitted to a half, counted on the other: {missed:.1%} of the rainy ones left as they")
    print(f"are, {spared:.1%} of the others (mean of 20 divisions)")


def measured(
    folders: list[Path], method: str, file: Path, limit: int | None
) -> list[dict[str, Any]]:
    """Return the measures of each picture, and append new ones to the file."""
    lines = file.read_text().splitlines() if file.exists() else []
    rows = {(row["folder"], row["name"]): row for row in map(json.loads, lines)}
    name, _, weights = method.partition("=")
    derainer = None
    wanted = []
    for folder in folders:
        for each in images.find([folder])[:limit]:
            key = (str(folder), str(each.relative))
            wanted.append(key)
            if key in rows:
                continue
            derainer = derainer or inference.load(name, weights=weights or None, work_size="full")
            rainy = small(images.read(each.path).rgb)
            derained = derainer.derain(rainy)
            rows[key] = {
                "folder": key[0],
                "name": key[1],
                "density": measure(rainy).density,
                "removed": Removed.between(rainy, derained),
                "dry": was_dry(rainy, derained),
            }
            with file.open("a") as out:
                out.write(json.dumps(rows[key]) + "\n")
    return [rows[key] for key in wanted]


def rule(x: Values, rain: NDArray[np.bool_]) -> tuple[Values, float]:
    """Return weights of the measures and the threshold: logistic regression, both sides even."""
    share = np.where(rain, len(rain) / 2 / rain.sum(), len(rain) / 2 / (~rain).sum())
    middle, spread = x.mean(0), x.std(0)
    z = np.column_stack([(x - middle) / spread, np.ones(len(x))])
    ridge = np.r_[np.ones(x.shape[1]), 1e-6]
    b = np.zeros(z.shape[1])
    for _ in range(20):  # Newton's method
        p = 1 / (1 + np.exp(-z @ b))
        slope = z.T @ (share * (p - rain)) + ridge * b
        b -= np.linalg.solve((z.T * (share * p * (1 - p))) @ z + np.diag(ridge), slope)
    weights = b[:-1] / spread
    return weights, float((x[rain] @ weights).min()) - MARGIN


def halves(x: Values, rain: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the shares of rainy and other pictures that a rule of the other half leaves."""
    found = []
    for seed in range(20):
        first = np.random.default_rng(seed).permutation(len(rain)) % 2 == 0
        kept = np.zeros(len(rain), bool)
        for half in (first, ~first):
            weights, threshold = rule(x[half], rain[half])
            kept[~half] = x[~half] @ weights < threshold
        found.append((kept[rain].mean(), kept[~rain].mean()))
    missed, spared = np.mean(found, axis=0)
    return float(missed), float(spared)


if __name__ == "__main__":
    main()
