"""What a teacher costs and brings: a student alone, taught, and alone for the taught one's time.

python examples/benchmarks/distillation.py --clean PHOTOS --validate PAIRS [--validate PAIRS ...]
    [--student resguidenet] [--teacher graspp-gan.rain-v1] [--steps 1000] [--seeds 1] [--set ...]

A taught step takes longer, since the teacher derains its batch, too. The cost is measured in
processor time, so that other work on the machine counts little. The student then trains three
times from the same seed: without a teacher, with it for as many steps, and without it for as much
processor time. Each training follows its whole schedule, and its last weights are scored on the
validation sets under the protocol "prenet". Rain is drawn on the fly.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from rainkit import training
from rainkit.errors import exiting
from rainkit.training import TrainRequest
from rainkit.training.schedules import Plateau
from rainkit.training.setup import Setup

WARM_UP, TIMED = 3, 12
"""Steps that are not timed, and steps that are."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clean", action="append", required=True, help="photographs; repeatable")
    parser.add_argument("--validate", action="append", required=True, help="pairs; repeatable")
    parser.add_argument("--student", default="resguidenet", metavar="METHOD")
    parser.add_argument("--teacher", default="graspp-gan.rain-v1", metavar="METHOD.TAG")
    parser.add_argument("--steps", type=int, default=1000, help="of the shorter trainings")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each kind")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="settings")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="distillation-") as folder:
        alone, taught = (
            seconds_of_a_step(request(given, Path(folder) / "timed", given.steps, 0, teacher))
            for teacher in (None, given.teacher)
        )
        longer = round(given.steps * taught / alone)
        kinds: dict[str, tuple[int, str | None]] = {
            "alone": (given.steps, None),
            f"taught by {given.teacher}": (given.steps, given.teacher),
            "alone, for the same time": (longer, None),
        }
        scores = {
            kind: [
                train(request(given, Path(folder) / f"{number}-{seed}", steps, seed, teacher))
                for seed in range(given.seeds)
            ]
            for number, (kind, (steps, teacher)) in enumerate(kinds.items())
        }
    console = Console()
    console.print(
        f"a step of {given.student} takes {1e3 * alone:.0f} ms of processor time alone and "
        f"{1e3 * taught:.0f} ms taught, {taught / alone:.2f} times as long"
    )
    console.print(table(given, {kind: steps for kind, (steps, _) in kinds.items()}, scores))


def request(
    given: argparse.Namespace, run: Path, steps: int, seed: int, teacher: str | None
) -> TrainRequest:
    """Return the request of one training, which is validated once, at its end."""
    fixed = (f"training.steps={steps}", f"training.epoch_steps={steps}", "run.workers=0")
    return training.make_request(
        method=given.student,
        folders={"clean": given.clean, "validation": given.validate},
        run=run,
        settings=[*given.settings, *fixed],
        seed=seed,
        device=given.device,
        precision=given.precision,
        teacher=teacher,
    )


def seconds_of_a_step(asked: TrainRequest) -> float:
    """Return the mean processor time of a step, with loading."""
    setup, began = Setup(asked), 0.0
    with closing(setup.feed.steps(0, WARM_UP + TIMED)) as batches:
        for number, parts in enumerate(batches):
            if number == WARM_UP:
                began = time.process_time()
            setup.phases.step(parts, number, Plateau())
        return (time.process_time() - began) / TIMED


def train(asked: TrainRequest) -> dict[str, float]:
    """Train and return the scores of the last weights."""
    return training.train(asked, Console(stderr=True)).scores


def table(
    given: argparse.Namespace,
    steps: dict[str, int],
    scores: dict[str, list[dict[str, float]]],
) -> Table:
    """Return a row for the input, the teacher and each kind of training; means over the seeds."""
    first = next(iter(scores.values()))[0]
    names = [name.removesuffix("/psnr") for name in first if name.endswith("/psnr")]
    shown = Table("", "steps", *(f"{name} {score}" for name in names for score in ("dB", "SSIM")))
    shown.add_row("input", "", *_cells(names, [first], "input_"))
    shown.add_row("the teacher itself", "", *_cells(names, [teacher_scores(given)]))
    for kind, found in scores.items():
        shown.add_row(kind, f"{steps[kind]:,}", *_cells(names, found))
    return shown


def teacher_scores(given: argparse.Namespace) -> dict[str, float]:
    """Score the teacher's own weights with ``rainkit eval``, by ``SET/psnr`` and ``SET/ssim``."""
    chosen = given.teacher if "=" in given.teacher else given.teacher.replace(".", "=", 1)
    command = [sys.executable, "-m", "rainkit", "eval", *given.validate, "-m", chosen]
    command += ["--device", given.device, "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"rainkit eval ended with {done.returncode}")
    return {
        f"{result['dataset']}/{score}": result["summary"][score]["mean"]
        for result in json.loads(done.stdout)["results"]
        for score in ("psnr", "ssim")
    }


def _cells(names: list[str], found: list[dict[str, float]], prefix: str = "") -> list[str]:
    formats = {"psnr": ".2f", "ssim": ".4f"}
    return [
        format(mean(each[f"{name}/{prefix}{score}"] for each in found), shape)
        for name in names
        for score, shape in formats.items()
    ]


if __name__ == "__main__":
    with exiting():
        main()
