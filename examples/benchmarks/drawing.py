"""Processor time of drawing a training run's samples, beside the time of its steps.

python examples/benchmarks/drawing.py RUN [--batches 40] [--digest]

RUN is a run folder of ``rainkit train``. Its samples are drawn as its loading process draws them,
once to decode the photographs and once more to be timed, on one thread. The share is that of the
run's steps, whose time its log has. ``--digest`` prints a hash of the samples, which is the same
before and after a change that only makes drawing faster.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from pathlib import Path
from statistics import median

import cv2
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from rainkit.datasets.sources import open_sources
from rainkit.environment import keep_large_blocks
from rainkit.errors import RainkitError, exiting
from rainkit.training import run_config

PACE = "steps per second"  # in the logs of runs


def step_seconds(log: Path) -> float | None:
    """Return the median seconds of a step in a run's log, if it has any."""
    if not log.exists():
        return None
    with log.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["name"] == PACE]
    return 1 / median(float(row["value"]) for row in rows) if rows else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder of rainkit train")
    parser.add_argument("--batches", type=int, default=40, help="batches to draw (default: 40)")
    parser.add_argument("--digest", action="store_true", help="print a hash of the samples")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_large_blocks()
    console = Console()
    try:
        request = run_config.reopen(given.run)
    except RainkitError as error:
        parser.error(str(error))
    training = request.hyperparameters.training
    kind = request.method.training_data
    source = open_sources(request.data, training, request.seed, kind=kind)
    samples = range(given.batches * training.batch)
    digest = hashlib.sha256()
    for k in track(samples, "decoding", console=Console(stderr=True), transient=True):
        drawn = source[k]
        if isinstance(drawn, RainkitError):
            parser.error(str(drawn))
        for part in drawn:
            if isinstance(part, Tensor):
                digest.update(part.numpy().tobytes())
    began = time.process_time()
    for k in samples:
        source[k]
    each = (time.process_time() - began) / len(samples)
    size = training.whole or training.patch
    console.print(f"{1e3 * each:.2f} ms of processor time a sample of {size} px")
    console.print(f"{1e3 * each * training.batch:.1f} ms a batch of {training.batch}")
    step = step_seconds(given.run / "log.csv")
    if step is not None:
        share = 100 * each * training.batch / step
        console.print(f"{share:.1f} % of the median step of this run ({1e3 * step:.0f} ms)")
    if given.digest:
        console.print(f"samples: sha256 {digest.hexdigest()}")


if __name__ == "__main__":
    with exiting():
        main()
