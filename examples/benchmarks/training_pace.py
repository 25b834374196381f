"""Pace of rainkit's training and validation beside a plain PyTorch loop that does the same work.

python examples/benchmarks/training_pace.py [--all] [--method NAME] [--rounds 10] [--check]
    [--against plain|nhwc|CHECKOUT]

The plain loop is what one writes by hand: float32, NCHW, and one step per phase with the same
network, losses, optimisers, batch and averaged weights. rainkit trains as its own commands do, with
bfloat16 where the processor computes it. Each has a process of its own, since rainkit tells the C
library to keep large arrays (``--keep`` tells the plain one too). They take turns, step by step and
picture by picture; figures are medians of processor time, so that other work on the machine counts
little. Nothing is loaded while it is timed, and validation is timed without its scores. ``--check``
exits 1 if training is less than 1.8 times as fast, or validation less than 3 times. With
``--against nhwc`` the other side is rainkit, too, with channels last whatever the processor is.
With the folder of another checkout it is the rainkit of that one, for what a change of the code is
worth; then steps alone are timed.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import skimage.data
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from rainkit import hyperparameters, images, networks, plugins
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest
from rainkit.environment import keep_large_blocks
from rainkit.errors import exiting
from rainkit.images import Picture
from rainkit.objective import Derained, Frames, Objective, Pair, Phase, Progress, weighted_sum
from rainkit.rain import PRESETS, render
from rainkit.training import RunSettings, TrainRequest
from rainkit.training.schedules import Plateau
from rainkit.training.setup import Setup

USUAL = ("graspp-gan", "resguidenet")
TRAINING, VALIDATION = 1.8, 3.0
WARM_UP = 2


@dataclass(frozen=True)
class Job:
    """What both sides do."""

    method: str
    folder: Path
    settings: tuple[str, ...]
    precision: str
    threads: int
    keep: bool
    against: str

    @property
    def batch(self) -> Path:
        """The batch that every step takes, on disk."""
        return self.folder / f"{self.method}.pt"

    def request(self) -> TrainRequest:
        """The training whose steps are timed."""
        method = plugins.get(self.method)
        frames = method.training_data == "frames"
        data = {"scenes" if frames else "clean": (str(self.folder / "scenes"),)}
        return TrainRequest(
            method=method,
            variant="default",
            hyperparameters=hyperparameters.resolve(method, settings=self.settings),
            data=DataRequest(**data),  # type: ignore[arg-type]
            run=self.folder / "run",
            device="cpu",
            precision=self.precision,
            settings=RunSettings(workers=0),
        )


class Rainkit:
    """A step and a picture as ``rainkit train`` does them."""

    def __init__(self, job: Job) -> None:
        self.setup = Setup(job.request())
        with closing(self.setup.feed.steps(0, 1)) as batches:
            self.parts = next(batches)
        torch.save([tuple(part) for part in self.parts], job.batch)
        # All phases are at work at the end of a training, not always at its beginning.
        self.last = self.setup.training.steps - 1
        network = copy.deepcopy(self.setup.shipping).eval()
        self.prepared = networks.prepare(network, self.setup.spec, self.setup.runtime)

    def step(self) -> None:
        self.setup.phases.step(self.parts, self.last, Plateau())
        if self.setup.average is not None:
            self.setup.average.update(self.setup.network, step=self.last)

    def derain(self, rainy: Tensor) -> None:
        with torch.inference_mode():
            self.prepared(rainy)


class ChannelsLast(Rainkit):
    """The same in NHWC, also where :func:`rainkit.networks.training_runtime` would choose NCHW."""

    def __init__(self, job: Job) -> None:
        networks.training_runtime = lambda network, spec, runtime: runtime
        super().__init__(job)


class Plain:
    """The same by hand."""

    def __init__(self, job: Job) -> None:
        if job.keep:
            keep_large_blocks()
        request = job.request()
        method, settings = request.method, request.hyperparameters
        training: Training = settings.training
        self.spec = method.image(settings.network)
        self.network = networks.build(method, settings.network)
        self.average = copy.deepcopy(self.network) if training.ema else None
        self.kept = training.ema
        if method.objective is None:
            sys.exit(f"{method.name} cannot be trained")
        self.objective: Objective[Any] = plugins.resolve(method.objective)(settings.objective)
        self.modules = {phase.name: self._module(phase) for phase in self.objective.phases}
        # Checkouts that --against compares may be older than this function.
        from rainkit.training.phases import build_optimiser

        self.optimisers = {}
        for phase in self.objective.phases:
            module, own = self.modules[phase.name], dataclasses.replace(training, **phase.training)
            self.optimisers[phase.name] = build_optimiser(own, module, list(module.parameters()))
        last = training.steps - 1
        self.progress = Progress(last, training.steps, last / training.epoch_steps)
        kind = Frames if method.training_data == "frames" else Pair
        loaded = torch.load(job.batch, weights_only=True)
        self.parts = [kind(one.contiguous(), other.contiguous()) for one, other in loaded]

    def step(self) -> None:
        self.network.train()
        self.objective.train()
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        active = self.objective.active(self.progress)
        for place, part in enumerate(self.parts, 1):
            outputs = self.objective.outputs(self.network, part)
            for phase in self.objective.phases:
                if phase.name not in active:
                    continue
                own = phase.trains == "network"
                for name, module in self.modules.items():
                    # The generator's step needs no gradients of the critic's weights.
                    if name != phase.name and own:
                        module.requires_grad_(False)
                seen = outputs if own else _detached(outputs)
                losses = self.objective.losses(phase.name, seen, part, self.progress)
                (weighted_sum(losses) / len(self.parts)).backward()  # type: ignore[no-untyped-call]
                for module in self.modules.values():
                    module.requires_grad_(True)
                if place == len(self.parts):
                    self.optimisers[phase.name].step()
        if self.average is not None:
            self._follow(self.average)

    def derain(self, rainy: Tensor) -> None:
        self.network.eval()
        with torch.no_grad():
            self.network(networks.pad(rainy, self.spec))

    def _follow(self, average: nn.Module) -> None:
        ours = average.state_dict().values()
        with torch.no_grad():
            for mean, value in zip(ours, self.network.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - self.kept)
                else:
                    mean.copy_(value)

    def _module(self, phase: Phase) -> nn.Module:
        helper = phase.trains != "network"
        return self.objective.get_submodule(phase.trains) if helper else self.network


@dataclass(frozen=True)
class Row:
    """Seconds of processor time of a method's steps and pictures, plain and rainkit's."""

    method: str
    precision: str
    steps: tuple[float, float]
    pictures: tuple[float, float] | None = None

    @property
    def training(self) -> float:
        """How many times as fast rainkit trains."""
        return self.steps[0] / self.steps[1]

    @property
    def validation(self) -> float:
        """How many times as fast it validates; NaN if that was not timed."""
        return self.pictures[0] / self.pictures[1] if self.pictures else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--method", action="append", help=f"repeatable (default: {USUAL})")
    parser.add_argument("--all", action="store_true", help="every installed method")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each (default: 10)")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="settings")
    parser.add_argument("--precision", default="auto", help="of rainkit (default: auto)")
    parser.add_argument("--threads", type=int, default=1, help="of each (default: 1)")
    parser.add_argument("--keep", action="store_true", help="plain keeps large arrays, too")
    parser.add_argument(
        "--against", default="plain", metavar="SIDE", help="plain, nhwc, or another checkout"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 below the targets")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    names = given.method or USUAL
    if given.all:
        names = [row.name for row in plugins.installed() if not row.problem]
    for name in names:
        plugins.get(name)  # says now, not in another process, what is not installed
    console, rows = Console(), []
    with tempfile.TemporaryDirectory(prefix="training-pace-") as folder:
        pictures = make_data(Path(folder))
        for name in names:
            job = Job(
                name, Path(folder), tuple(given.settings), given.precision, given.threads,
                given.keep, given.against,
            )  # fmt: skip
            rows.append(measure(job, pictures, given.rounds))
            row = rows[-1]
            told = f" and {row.validation:.2f}" if row.pictures else ""
            print(f"{name}: {row.training:.2f}{told} times", file=sys.stderr)
    console.print(f"{given.threads} threads, torch {torch.__version__}, processor time")
    console.print(table(rows, given.against))
    if len(rows) > 1:
        console.print(f"Mean of the training ratios: {fmean(row.training for row in rows):.2f}")
    slow = any(row.training < TRAINING or row.validation < VALIDATION for row in rows)
    return 1 if given.check and slow else 0


class Checkout:
    """A step as the rainkit of another checkout does it, by that one's own copy of this file."""

    PROGRAM = """
import dataclasses, importlib.util, pathlib, sys, time
import torch
checkout, method, folder, precision, threads, *settings = sys.argv[1:]
torch.set_num_threads(int(threads))
place = pathlib.Path(checkout, "examples", "benchmarks", "training_pace.py")
spec = importlib.util.spec_from_file_location("training_pace", place)
pace = sys.modules["training_pace"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pace)
given = dict(method=method, folder=pathlib.Path(folder), settings=tuple(settings),
             precision=precision, threads=int(threads), keep=False, against="plain")
known = {field.name for field in dataclasses.fields(pace.Job)}
side = pace.Rainkit(pace.Job(**{name: each for name, each in given.items() if name in known}))
print(side.setup.runtime.precision, flush=True)
for _ in sys.stdin:
    began = time.process_time()
    side.step()
    print(time.process_time() - began, flush=True)
"""

    def __init__(self, job: Job) -> None:
        top = Path(job.against).resolve()
        if not (top / "examples" / "benchmarks" / "training_pace.py").is_file():
            sys.exit(f"--against {job.against}: choose plain, nhwc or the folder of a checkout")
        paths = [top, *top.glob("plugins/*")]
        given = (top, job.method, job.folder, job.precision, job.threads, *job.settings)
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, *map(str, given)],
            cwd=top,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.precision = self._told()

    def send(self, what: str | None) -> None:
        """Ask for a step, or end the process by None."""
        if self.process.stdin is not None:
            if what is None:
                self.process.stdin.close()
            else:
                print(what, file=self.process.stdin, flush=True)

    def recv(self) -> float:
        """Return the processor time of the step in seconds."""
        return float(self._told())

    def _told(self) -> str:
        line = "" if self.process.stdout is None else self.process.stdout.readline()
        if not line:
            sys.exit("--against: the other checkout's rainkit ended, see above")
        return line.strip()


def measure_checkouts(job: Job, rounds: int) -> Row:
    """Let the steps of this checkout and of another one take turns."""
    here = Path(__file__).resolve().parents[2]
    sides = [Checkout(job), Checkout(dataclasses.replace(job, against=str(here)))]
    steps = _turns(sides, "step", rounds)
    for side in sides:
        side.send(None)
    return Row(job.method, sides[1].precision, steps)


def measure(job: Job, pictures: Sequence[Tensor], rounds: int) -> Row:
    """Let both sides take turns."""
    if job.against not in ("plain", "nhwc"):
        return measure_checkouts(job, rounds)
    context = multiprocessing.get_context("spawn")
    sides: list[Connection] = []
    described = ""
    other = ChannelsLast if job.against == "nhwc" else Plain
    for kind in (Rainkit, other):  # the first one draws the batch
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there, kind, job, pictures), daemon=True)
        process.start()
        there.close()
        described = described or here.recv()
        if kind is not Rainkit:
            here.recv()
        sides.insert(0, here)
    steps, derained = _turns(sides, "step", rounds), _turns(sides, "derain", rounds)
    for side in sides:
        side.send(None)
    return Row(job.method, described, steps, derained)


def _turns(sides: Sequence[Connection | Checkout], what: str, rounds: int) -> tuple[float, float]:
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(-WARM_UP, rounds):
        for place in (0, 1) if turn % 2 else (1, 0):
            sides[place].send(what)
            taken = sides[place].recv()
            if turn >= 0:
                seconds[place].append(taken)
    return median(seconds[0]), median(seconds[1])


def work(
    told: Connection, kind: Callable[[Job], Rainkit | Plain], job: Job, pictures: Sequence[Tensor]
) -> None:
    """One side's process: does what it is told, and answers with its processor time."""
    torch.set_num_threads(job.threads)
    side = kind(job)
    told.send(side.setup.runtime.precision if isinstance(side, Rainkit) else "fp32")
    while (what := told.recv()) is not None:
        began = time.process_time()
        if what == "step":
            side.step()
        else:
            # Every picture in each turn: their sizes differ.
            for rainy in pictures:
                side.derain(rainy)
        taken = time.process_time() - began
        told.send(taken if what == "step" else taken / len(pictures))


def make_data(folder: Path) -> list[Tensor]:
    """Photographs to train on, scenes of rainy frames, and rainy pictures to validate on."""
    rainy = []
    for number, name in enumerate(("astronaut", "coffee", "chelsea")):
        clean = np.ascontiguousarray(getattr(skimage.data, name)()[:300, :448])
        scene = folder / "scenes" / "train" / "seq" / f"{name}_01"
        for frame in range(1, 4):
            picture = render(clean, PRESETS["rain100l"], (number, frame)).rainy
            images.write(scene / f"{frame:04d}.png", Picture(picture))
        images.write(scene / "clean.png", Picture(clean))
        rainy.append(images.to_tensor(picture).float())
    return rainy


def table(rows: Sequence[Row], against: str) -> Table:
    """One line per method."""
    shown = Table("method", "rainkit in")
    other, timed = against, {"training": "steps/s", "validation": "pictures/s"}
    if not any(row.pictures for row in rows):
        other, timed = "other", {"training": "steps/s"}
    for what, unit in timed.items():
        for heading in (f"{other} {unit}", f"rainkit {unit}", f"{what} ratio"):
            shown.add_column(heading, justify="right")
    for row in rows:
        cells = [*(f"{1 / seconds:.3g}" for seconds in row.steps), f"{row.training:.2f}"]
        if row.pictures:
            cells += [*(f"{1 / each:.3g}" for each in row.pictures), f"{row.validation:.2f}"]
        shown.add_row(row.method, row.precision, *cells)
    return shown


def _detached(outputs: Derained) -> Derained:
    parts = {name: part.detach() for name, part in outputs.parts.items()}
    return Derained(outputs.image.detach(), parts)


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
