"""The rule of ``rainkit infer --keep-dry``: fitted to photographs with rain and without.

python examples/checks/keep_dry.py --dry FOLDER... --rainy FOLDER... -m METHOD... -o RESULTS
    [--held FOLDER...] [--also FOLDER...] [--limit N]

Derains the pictures, shrunk to 480 pixels, and measures what was taken off. RESULTS keeps the
derained pictures, so that a run that was stopped goes on, and so that other measures can be tried
without running the networks again. Pictures without rain that the number of streaks alone decides
are not derained.

Prints the regression that tells --dry and --held from --rainy, in which a rainy picture counts as
much as eight others, and the threshold that leaves no rainy picture as it is. --held are pictures
without rain that no training saw; they have rows of their own. --also names further rainy pictures,
which are counted, but not fitted to. The table says how many pictures of each folder stay as they
are by the number of streaks alone, by the rule of rainkit, and by the fitted rule. Then the
regression is fitted to nine tenths of all pictures, with its threshold, and counted on the rest.
docs/benchmarks/dry.md shows the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rainkit import images, inference
from rainkit.errors import exiting
from rainkit.images import Picture
from rainkit.inference import Derainer
from rainkit.inference.choice import measure, small
from rainkit.inference.dryness import DRY_DENSITY, Removed, was_dry

Values = NDArray[np.float64]
MARGIN = 0.5
"""How far the threshold stays below the least rainy picture, in logits."""
COUNTS = 8.0
"""How much rainy pictures count, where others count 1."""
PARTS, TIMES = 10, 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """A picture, and what a method took off it.

    Attributes:
        folder: the folder that it is of.
        name: its path there.
        method: the method; "" if the number of streaks decides alone.
        removed: the measures; None if the number of streaks decides alone.
        dry: whether the rule of rainkit leaves it as it is.
    """

    folder: Path
    name: str
    method: str = ""
    removed: Removed | None = None
    dry: bool = True


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dry", nargs="+", type=Path, required=True, help="photographs")
    parser.add_argument("--held", nargs="*", type=Path, default=[], help="that no training saw")
    parser.add_argument("--rainy", nargs="+", type=Path, required=True, help="rainy photographs")
    parser.add_argument("--also", nargs="*", type=Path, default=[], help="other rainy pictures")
    parser.add_argument("-m", "--method", nargs="+", required=True, help="NAME or NAME=WEIGHTS")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--limit", type=int, help="pictures of each folder")
    given = parser.parse_args()
    dry = [*given.dry, *given.held]
    rows = list(measured([*given.rainy, *dry, *given.also], given))
    known = [(row, row.removed) for row in rows if row.removed is not None]
    fitted_to = [(row, each) for row, each in known if row.folder not in given.also]
    rain = np.array([row.folder in given.rainy for row, _ in fitted_to])
    names = np.array([f"{row.folder}/{row.name}" for row, _ in fitted_to])
    x = np.array([each for _, each in fitted_to])
    weights, threshold = rule(x, rain)
    told = ", ".join(f"{n}={w:.2f}" for n, w in zip(Removed._fields, weights, strict=True))
    print(f"{told}; threshold {threshold:.2f}")
    print("| pictures | method | number | by number of streaks | rainkit's rule | fitted rule |")
    print("|---|---|--:|--:|--:|--:|")
    for method in given.method:
        for folder in (*given.rainy, *dry, *given.also):
            own = [r for r in rows if r.folder == folder and r.method in ("", method)]
            sure = sum(row.removed is None for row in own)
            shipped = sum(row.dry for row in own)
            fitted = sure + sum(
                float(np.dot(row.removed, weights)) < threshold
                for row in own
                if row.removed is not None
            )
            print(f"| {folder} | {method} | {len(own)} | {sure} | {shipped} | {fitted} |")
    held = np.array([row.folder in given.held for row, _ in fitted_to])
    print(f"fitted to {PARTS - 1} of {PARTS} parts, counted on the other ({TIMES} divisions):")
    for title, of in (("rainy", rain), ("dry", ~rain & ~held), ("held", held)):
        if of.any():
            left = divided(x, rain, names)[of].mean()
            print(f"{left:.1%} of the {of.sum()} results of --{title} left as they are")
    print("(of pictures that the number of streaks does not decide)")


def measured(folders: list[Path], given: argparse.Namespace) -> Iterator[Row]:
    """Yield the measures of each picture by each method."""
    derainers: dict[str, Derainer] = {}
    for folder in folders:
        for found in images.find([folder])[: given.limit]:
            name = str(found.relative)
            rainy = small(images.read(found.path).rgb)
            if measure(rainy).density < DRY_DENSITY:
                yield Row(folder=folder, name=name)
                continue
            for method in given.method:
                derained = result(rainy, folder, name, method, given.output, derainers)
                yield Row(
                    folder=folder,
                    name=name,
                    method=method,
                    removed=Removed.between(rainy, derained),
                    dry=was_dry(rainy, derained),
                )


def result(
    rainy: NDArray[np.uint8],
    folder: Path,
    name: str,
    method: str,
    kept: Path,
    derainers: dict[str, Derainer],
) -> NDArray[Any]:
    """Return a derained picture, from the folder of results or else from the network."""
    method_name, _, weights = method.partition("=")
    parts = method_name, Path(weights).stem, "-".join(folder.absolute().parts[1:]), f"{name}.png"
    file = kept.joinpath(*(part for part in parts if part))
    if file.exists():
        return images.read(file).rgb
    if method not in derainers:
        derainers[method] = inference.load(method_name, weights=weights or None, work_size="full")
    derained = derainers[method].derain(rainy)
    file.parent.mkdir(parents=True, exist_ok=True)
    images.write(file, Picture(derained))
    return derained


def rule(x: Values, rain: NDArray[np.bool_]) -> tuple[Values, float]:
    """Return weights of the measures, by logistic regression, and the threshold."""
    share = np.where(rain, COUNTS * len(rain) / 2 / rain.sum(), len(rain) / 2 / (~rain).sum())
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


def divided(x: Values, rain: NDArray[np.bool_], names: NDArray[np.str_]) -> Values:
    """Return how often a rule that was fitted without a picture leaves it as it is.

    The results of all methods for a picture fall into one part.
    """
    left = np.zeros(len(x))
    every, of = np.unique(names, return_inverse=True)
    for seed in range(TIMES):
        part = (np.random.default_rng(seed).permutation(len(every)) % PARTS)[of]
        for number in range(PARTS):
            own = part == number
            weights, threshold = rule(x[~own], rain[~own])
            left[own] += x[own] @ weights < threshold
    return left / TIMES


if __name__ == "__main__":
    with exiting():
        main()
