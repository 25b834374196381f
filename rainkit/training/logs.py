"""What a run tells: TensorBoard, a CSV, experiment trackers and a progress bar."""

from __future__ import annotations

import csv
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from rainkit.files import atomic_path
from rainkit.training import trackers
from rainkit.training.setup import Setup

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["SECONDS", "Log"]

SECONDS = "seconds"
"""The scalar that tells how long a run has trained, over all calls."""


class Log:
    """Scalars and pictures of a run: in TensorBoard, a CSV, trackers, and a bar on the console.

    ``log.csv`` has one row per scalar (step, name, value), so that new names never break it.
    """

    def __init__(self, setup: Setup, step: int, console: Console | None) -> None:
        run = setup.request.run
        self._writer = _tensorboard(run, step)
        self._path = run / "log.csv"
        self._before, self._opened = self._keep_rows_before(step), time.monotonic()
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._accelerator = setup.accelerator
        self._tracked = bool(setup.request.trackers)
        if self._tracked:
            trackers.start(setup)
        self._said: set[str] = set()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rest]}"),
            console=console,
            disable=console is None,
            speed_estimate_period=600,
        )
        steps = setup.training.steps
        self._task = self._bar.add_task("train", total=steps, completed=step, rate="", rest="")
        self._bar.start()

    @property
    def seconds(self) -> float:
        """How long the run has been trained, in this call and those that it continues."""
        return self._before + time.monotonic() - self._opened

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars everywhere."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
            self._rows.writerow([step, name, f"{value:.6g}"])
        self._file.flush()
        if self._tracked:
            self._accelerator.log(dict(values), step=step)

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Write a picture [3,H,W] in [0,1] to TensorBoard."""
        self._writer.add_image(name, picture.clamp(0, 1), step)

    def histograms(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Write histograms to TensorBoard."""
        for name, value in values.items():
            self._writer.add_histogram(f"gradients/{name}", value.float().cpu(), step)

    def moved(self, step: int) -> None:
        """Move the bar to a step."""
        self._bar.update(self._task, completed=step)

    def advance(self, rate: float, memory: float, losses: Mapping[str, float]) -> None:
        """Show what was measured; ``rate`` is in steps per second, ``memory`` in MiB."""
        rest = [f"{name} {value:.4f}" for name, value in losses.items()]
        self._bar.update(
            self._task,
            rate=f"{rate:.2f} step/s",
            rest=" ".join([f"{memory:.0f} MiB", *rest]),
        )

    def say(self, text: str) -> None:
        """A line above the bar."""
        if text not in self._said:
            self._bar.console.print(text, highlight=False, markup=False)

    def say_once(self, text: str) -> None:
        """A line above the bar that is not repeated."""
        self.say(text)
        self._said.add(text)

    def close(self) -> None:
        """Flush everything."""
        self._bar.stop()
        self._writer.close()
        self._file.close()
        if self._tracked:
            trackers.finish(self._accelerator)

    def _keep_rows_before(self, step: int) -> float:
        """Drop what an interrupted run wrote after the checkpoint that is being resumed.

        Returns:
            The seconds that the rows kept tell of.
        """
        rows = []
        if step > 0 and self._path.is_file():
            with self._path.open(newline="", encoding="utf-8") as file:
                # The last row may be cut off.
                whole = [r for r in csv.reader(file) if len(r) == 3 and r[0].isdecimal()]
            rows = [row for row in whole if int(row[0]) <= step]
        with (
            atomic_path(self._path, overwrite=True) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([["step", "name", "value"], *rows])
        return max((float(value) for _, name, value in rows if name == SECONDS), default=0.0)


def _tensorboard(run: Path, step: int) -> SummaryWriter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tensorboard's own imports
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)
