"""What a run tells: TensorBoard, a CSV and a progress bar."""

from __future__ import annotations

import csv
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

from rainkit.images.atomic import atomic_path

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Log"]


class Log:
    """Scalars and pictures of a run. On other processes than the first, nothing is written.

    ``log.csv`` has one row per scalar (step, name, value), so that new names never break it.
    """

    def __init__(self, run: Path, *, step: int, steps: int, console: Console | None) -> None:
        self._writer = _tensorboard(run, step)
        self._path = run / "log.csv"
        self._keep_rows_before(step)
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            disable=console is None,
            speed_estimate_period=600,
        )
        self._task = self._bar.add_task("train", total=steps, completed=step, rate="", losses="")
        self._bar.start()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars to TensorBoard and CSV."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
            self._rows.writerow([step, name, f"{value:.6g}"])
        self._file.flush()

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Write a picture [3,H,W] in [0,1] to TensorBoard."""
        self._writer.add_image(name, picture.clamp(0, 1), step)

    def advance(self, step: int, rate: float, losses: Mapping[str, float]) -> None:
        """Move the bar to a step; ``rate`` is in steps per second."""
        shown = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        self._bar.update(self._task, completed=step, rate=f"{rate:.2f} step/s", losses=shown)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, highlight=False)

    def close(self) -> None:
        """Flush everything."""
        self._bar.stop()
        self._writer.close()
        self._file.close()

    def _keep_rows_before(self, step: int) -> None:
        """Drop what an interrupted run wrote after the checkpoint that is being resumed."""
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


def _tensorboard(run: Path, step: int) -> SummaryWriter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tensorboard's own imports
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)
