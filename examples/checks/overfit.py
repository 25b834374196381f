"""Show that a method can learn: train it on four pairs and score it on the same four.

    $ python examples/checks/overfit.py resguidenet
    $ python examples/checks/overfit.py granet --variant paper --steps 600 --keep overfit/

Cuts small pieces out of four public-domain photographs that come with scikit-image, draws heavy
rain on them with ``rainkit synth``, trains with ``rainkit train`` on nothing else and scores with
``rainkit eval``. Works for every installed method, with one recipe for all of them but for the
learning rate, which is the method's own. Ends with 1 if the result is less than 6 dB above the
rainy pictures: then the network, its objective or its settings do not fit together. A method that
learns from frames sees eight rains of each piece and no clean picture; 4 dB are asked of it.

The scores are of the training pictures. They say nothing about others.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import skimage.data

from rainkit import images, plugins
from rainkit.errors import exiting

PIECES = {"astronaut": (60, 170), "chelsea": (70, 120), "coffee": (120, 240), "rocket": (180, 260)}
"""Photographs, and the row and column where their piece starts; credits are in the demo."""

SIDE = 128
RAIN = {"pairs": ("--rate", "60", "--depth", "none"), "frames": ("--preset", "rain100l")}
"""Frames need rain that leaves each pixel dry most of the time: see what their median gives."""

RECIPE = (
    "training.schedule=cosine",
    "training.warmup_steps=20",
    "training.lr_floor=0.02",
    "training.batch=4",
    "training.accumulate=1",
    "training.whole=0",
    "training.crop=0",
    "training.patch=64",
    "training.augment=none",
    "training.ema=0",
    "training.clip_norm=1.0",
)
GAIN = {"pairs": 6.0, "frames": 4.0}
FRAMES = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("method", help="an installed method")
    parser.add_argument("--variant", default="default", help="default: default")
    parser.add_argument("--steps", type=int, default=400, help="of training (default: 400)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="as of rainkit train"
    )
    parser.add_argument("--keep", type=Path, help="new folder for pairs, run and derained pictures")
    given = parser.parse_args()
    if given.keep and given.keep.exists() and any(given.keep.iterdir()):
        parser.error(f"--keep {given.keep}: not empty")
    with tempfile.TemporaryDirectory(prefix="overfit-") as folder:
        return check(
            given.keep or Path(folder), given.method, given.variant, given.steps, given.set
        )


def check(folder: Path, method: str, variant: str, steps: int, settings: list[str]) -> int:
    """0 if the method gains enough on its own training pairs, else 1."""
    clean, pairs, run = folder / "clean", folder / "pairs", folder / "run"
    for name, (row, column) in PIECES.items():
        photograph = getattr(skimage.data, name)()
        piece = photograph[row : row + SIDE, column : column + SIDE].copy()
        images.write(clean / f"{name}.png", images.Picture(piece), overwrite=False)
    kind = plugins.get(method).training_data
    if kind == "pairs":
        data = ("--pairs", pairs)
        rainkit("synth", clean, "-o", pairs, *RAIN[kind], "--quiet")
    else:
        data = ("--scenes", folder / "scenes")
        rainkit("synth", clean, "-o", data[1], *RAIN[kind], "--sequence", FRAMES, "--quiet")
        rainkit("data", "average", data[1], "-o", folder / "still", "--quiet")
        for side, stored in (("input", "rainy"), ("target", "clean")):
            (pairs / side).parent.mkdir(exist_ok=True)
            (folder / "still" / stored).rename(pairs / side)
    # One epoch: a checkpoint at the end, and objectives that change after some epochs do not.
    recipe = [*RECIPE, f"training.steps={steps}", f"training.epoch_steps={steps}", *settings]
    started = time.monotonic()
    train = ["train", "-m", method, "--variant", variant, *data, "-o", run, "--seed", 1]
    rainkit(*train, *(part for setting in recipe for part in ("--set", setting)))
    minutes = (time.monotonic() - started) / 60
    score = ["eval", pairs, "-m", f"{method}={run / 'last.safetensors'}", "-o", folder / "scores"]
    scored = json.loads(rainkit(*score, "--quiet", "--json"))
    gain, wanted = show(scored["results"][0]), GAIN[kind]
    print(f"{method}, variant {variant}: {steps} steps in {minutes:.1f} minutes")
    print(f"gain {gain:.2f} dB on its own training pictures; at least {wanted:g} dB are asked for")
    return 0 if gain >= wanted else 1


def rainkit(*arguments: object) -> str:
    """What a command prints; its progress goes to the terminal. Exits if it fails."""
    command = [sys.executable, "-m", "rainkit", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"rainkit {arguments[0]} ended with {done.returncode}")
    return done.stdout


def show(result: dict[str, Any]) -> float:
    """Print every pair's scores; returns the mean gain in dB."""
    print("These ARE the training pictures: a check that the method learns, not a result.")
    print("picture        input PSNR  output PSNR    gain")
    rows = result["rows"]
    mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("input_psnr", "psnr")}
    for row in (*rows, {"name": "mean", **mean}):
        before, after = row["input_psnr"], row["psnr"]
        print(f"{Path(row['name']).name:13}  {before:10.2f}  {after:11.2f}  {after - before:+6.2f}")
    return float(mean["psnr"] - mean["input_psnr"])


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
