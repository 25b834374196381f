"""Recipes under one budget: short runs that differ in one choice each, and a table of their scores.

python examples/benchmarks/recipes.py PHOTOS STREAKS RAIN PAIRS REAL DRY WEIGHTS -o RUNS
    [--method resguidenet] [--set NAME=VALUE]... [--crops 3200] [--validate FEW]
    [--only NAME]... [--table TABLE.md]

Every run starts from WEIGHTS (-: from nothing), follows examples/recipes/real-rain-2.sh but for
its own choice and for what --set says of all, and sees the same number of pixels. PHOTOS, STREAKS,
RAIN and PAIRS are that recipe's; REAL are photographs of rain, DRY ones without. FEW are pairs for
the validation at the end of each run, which the table does not need (default: PAIRS). Runs that are
done are not repeated, one that was cut off goes on. With --table no run is started: what is done
goes into the table.

PSNR and SSIM are means over the datasets of PAIRS under the protocol "prenet"; tone-fitted PSNR is
that of the dataset whose name --tone gives. "streaks left" is the energy along the streaks of REAL
(1: all of it), "darkened" the share of its pixels that were darkened. "dry" is the PSNR of DRY
before and after, where every change is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "real-rain-2.sh"
BATCH, PATCH = 8, 96

KINDS = ("dashes", "near", "beaded", "layered", "defocused", "faint")
"""Kinds of rain that real-rain-2.sh adds to real-rain-1.sh's."""

CHOICES: dict[str, tuple[str, ...]] = {
    "recipe": (),
    "hardly any pairs": ("pairs_percent=1",),
    "more pairs": ("pairs_percent=60",),
    "D4 instead of flips": ("training.augment=d4",),
    "nothing enlarged": ("data.enlarge=0",),
    "more enlarged": ("data.enlarge=0.6",),
    "patch 128": ("training.patch=128",),
    "patch 160": ("training.patch=160",),
    "no texture streaks": ("data.streak_share=0",),
    "rain of real-rain-1": tuple(f"data.rain.{kind}=0" for kind in KINDS),
    "more dense rain": ("data.rain.dense=0.5", "data.rain.faint=0.2"),
    "lines": ("data.rain.lines=0.3",),
    "rain of real-rain-3": (
        "pairs_percent=15",
        "data.rain.dense=0.7",
        "data.rain.lines=0.3",
        "data.rain.gain_low=0.7",
        "data.rain.gain_high=2.0",
    ),
    "more rain-free samples": ("data.rain_free=0.2",),
    "dry pixels as others": ("training.dry_weight=0",),
    "dry pixels three times": ("training.dry_weight=0.3",),
    "no average": ("training.ema=0",),
    "half the rate": ("training.lr=4e-4",),
    "no SSIM": ("objective.ssim=0",),
}
"""What each run changes: settings of rainkit train, and ``pairs_percent`` of the recipe."""


@dataclass(frozen=True)
class Plan:
    """One run."""

    name: str
    settings: tuple[str, ...]
    folder: Path

    @property
    def percent(self) -> str:
        """Percentage of pairs among the samples."""
        return self._given("pairs_percent", "35")

    def sizes(self, crops: int) -> tuple[int, int]:
        """Return batch and steps such that the run sees as many pixels as all others."""
        patch = int(self._given("training.patch", str(PATCH)))
        batch = max(1, round(BATCH * PATCH**2 / patch**2))
        return batch, round(crops * PATCH**2 / (batch * patch**2))

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return (self.folder / "done").exists()

    def _given(self, name: str, default: str) -> str:
        found = dict(setting.split("=", 1) for setting in self.settings)
        return found.get(name, default)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("photos", "streaks", "rain", "pairs", "real", "dry"):
        parser.add_argument(name, type=Path)
    parser.add_argument("weights", help="file to start from, or -")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--method", default="resguidenet", help="default: resguidenet")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=VALUE")
    parser.add_argument("--validate", type=Path, help="pairs (default: PAIRS)")
    parser.add_argument("--crops", type=int, default=3200, help=f"of {PATCH} px (default: 3200)")
    parser.add_argument("--only", action="append", help="names of choices; repeatable")
    parser.add_argument("--tone", default="rain800", help="dataset (default: rain800)")
    parser.add_argument("--table", type=Path, help="write the table of what is done")
    given = parser.parse_args()
    plans = [
        Plan(name, settings, given.output / name.replace(" ", "-"))
        for name, settings in CHOICES.items()
        if not given.only or name in given.only
    ]
    if given.table:
        given.table.write_text(table([plan for plan in plans if plan.done], given) + "\n")
        return
    for plan in plans:
        if not plan.done:
            train(plan, given)


def train(plan: Plan, given: argparse.Namespace) -> None:
    """Train one run, or train it on."""
    batch, steps = plan.sizes(given.crops)
    settings = [
        *given.settings,
        *(setting for setting in plan.settings if not setting.startswith("pairs_percent")),
        f"training.batch={batch}",
        f"training.epoch_steps={steps}",
        f"training.warmup_steps={steps // 10}",
        "run.workers=0",
    ]
    command = [
        "bash", str(RECIPE), str(given.photos), str(given.streaks), str(given.rain),
        str(given.validate or given.pairs), given.weights, str(plan.folder),
        "--max-steps", str(steps),
    ]  # fmt: skip
    for setting in settings:
        command += ["--set", setting]
    chosen = {"METHOD": given.method, "PAIRS_PERCENT": plan.percent}
    done = subprocess.run(command, check=False, env=os.environ | chosen)
    if done.returncode:
        sys.exit(f"{plan.name}: the training ended with {done.returncode}")
    (plan.folder / "done").touch()


def table(plans: list[Plan], given: argparse.Namespace) -> str:
    """Score the runs that are done; return a table in Markdown."""
    files = {plan.name: plan.folder / "last.safetensors" for plan in plans}
    start = {} if given.weights == "-" else {"weights at the start": Path(given.weights)}
    rows = start | files
    chosen = [
        part for label, file in rows.items() for part in ("-m", f"{given.method}={file}@{label}")
    ]
    pairs = rainkit("eval", given.pairs, *chosen, "--metric", "tone_psnr", "--json")
    scored = {each["restored"]: each["results"] for each in pairs.get("comparisons", [])}
    real = rainkit("no-target", given.real, *chosen, "--json")
    lines = [
        "| run | changed | PSNR | SSIM | tone-fitted PSNR | streaks left | darkened | dry |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for label in rows:
        own = scored[label] if scored else pairs["results"]  # there is no comparison of one
        of_tone = next(each for each in own if each["dataset"] == given.tone)
        left = next(each for each in real["results"] if each["result"] == label)["summary"]
        changed = ", ".join(f"`{setting}`" for setting in CHOICES.get(label, ()))
        figures = (
            f"{fmean(each['summary']['psnr']['mean'] for each in own):.2f}",
            f"{fmean(each['summary']['ssim']['mean'] for each in own):.4f}",
            f"{of_tone['summary']['tone_psnr']['mean']:.2f}",
            f"{left['streak_energy']['mean']:.3f}",
            f"{100 * left['rain_removed']['mean']:.1f} %",
            f"{dry_psnr(rows[label], given):.2f}",
        )
        lines.append(f"| {label} | {changed} | {' | '.join(figures)} |")
    return "\n".join(lines)


def dry_psnr(weights: Path, given: argparse.Namespace) -> float:
    """Return the mean PSNR in dB of photographs without rain before and after, RGB."""
    import numpy as np

    from rainkit import images, inference

    derainer = inference.load(given.method, weights=weights, work_size="full")
    found = []
    for each in images.find([given.dry]):
        picture = images.shrink(images.to_uint8(images.read(each.path).rgb), 480)
        error = derainer.derain(picture).astype(np.float64) - picture
        found.append(float(10 * np.log10(255**2 / max(float(np.mean(error**2)), 1e-9))))
    return fmean(found)


def rainkit(*arguments: object) -> Any:
    """Return the JSON that a command prints; exit if it fails."""
    command = [sys.executable, "-m", "rainkit", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"rainkit {arguments[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
