"""Logging of a run: small measurements, TensorBoard, a CSV, experiment trackers, a progress bar."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
import torch
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

from rainkit import hyperparameters
from rainkit.errors import UsageError
from rainkit.files import atomic_path

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.utils.tensorboard import SummaryWriter

    from rainkit.training.run_config import TrainRequest

__all__ = [
    "SECONDS",
    "Clock",
    "Log",
    "Mean",
    "memory_mib",
    "refuse_unknown",
]


class Mean:
    """The mean of scalar tensors, which does not wait for the device at every step."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0

    @classmethod
    def of(cls, total: Tensor, count: int) -> Self:
        """Return the mean of ``count`` values whose sum is ``total``."""
        mean = cls()
        mean._sum, mean._count = (total, count) if count else (None, 0)
        return mean

    def parts(self) -> tuple[float, int]:
        """Return sum and count exactly, so that :meth:`of` goes on with the same bits."""
        return 0.0 if self._sum is None else float(self._sum), self._count

    def add(self, value: Tensor) -> None:
        """Add one value."""
        self._sum = value if self._sum is None else self._sum + value
        self._count += 1

    @property
    def known(self) -> bool:
        """Whether a value was added."""
        return self._count > 0

    def tensor(self, device: torch.device) -> Tensor:
        """Return the mean on a device, so that processes can compare it."""
        return torch.tensor(self.value(), device=device)

    def value(self) -> float:
        """Return the mean so far, or NaN without values."""
        return math.nan if self._sum is None else float(self._sum) / self._count


class Clock:
    """Measures steps per second."""

    def __init__(self, step: int) -> None:
        self._then, self._step = time.monotonic(), step

    def rate(self, step: int) -> float:
        """Return the steps per second since the last call, which ends at ``step``."""
        now = time.monotonic()
        pace = (step - self._step) / (now - self._then)
        self._then, self._step = now, step
        return pace


def memory_mib(device: torch.device) -> float:
    """Return the peak memory of tensors on CUDA, or else the memory of this process, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    held: int = psutil.Process().memory_info().rss
    return held / 2**20


PROJECT = "rainkit"


def refuse_unknown(names: Sequence[str]) -> None:
    """Refuse trackers that are not installed, before anything is written.

    Raises:
        UsageError: names the trackers that are known, or the missing package.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = {str(name) for name in LOGGER_TYPE_TO_CLASS}
    here = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in known:
            raise UsageError(f"run.trackers = {name}: choose one of {', '.join(sorted(known))}")
        if name not in here:
            raise UsageError(f"run.trackers = {name}: is not installed; try pip install {name}")


def _start(accelerator: Accelerator, request: TrainRequest) -> None:
    """Open the trackers of a run; a resumed run continues its record in those that can."""
    settings = hyperparameters.to_data(request.hyperparameters)
    about = {"method": request.method.name, "variant": request.variant, "seed": request.seed}
    name = f"{request.run.resolve().parent.name}-{request.run.resolve().name}"
    identity = hashlib.sha256(os.fsencode(request.run.resolve())).hexdigest()[:16]
    accelerator.init_trackers(
        PROJECT,
        config=about | dict(_flat(settings)),
        init_kwargs={"wandb": {"name": name, "id": identity, "resume": "allow"}},
    )


def _finish(accelerator: Accelerator) -> None:
    """Close the trackers. Accelerate's own end of a training would end its processes, too."""
    for tracker in accelerator.trackers:
        tracker.finish()


def _flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return numbers and text by dotted names, as trackers take them."""
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, (bool, int, float, str))
            found.append((f"{prefix}{name}", value if plain else str(value)))
    return found


SECONDS = "seconds"
"""Name of the scalar that tells how long a run has trained, over all calls."""

_EVERY = 60.0
"""Seconds between two lines about the pace where there is no terminal."""


class Log:
    """Writes scalars and pictures to TensorBoard, a CSV and trackers, and shows a progress bar.

    ``log.csv`` has one row per scalar (step, name, value), so that new names never break it. Where
    the console is no terminal, a line a minute takes the place of the bar; without a console,
    nothing is shown.
    """

    def __init__(
        self,
        request: TrainRequest,
        accelerator: Accelerator,
        step: int,
        console: Console | None,
    ) -> None:
        run = request.run
        self._writer = _tensorboard(run, step)
        self._path = run / "log.csv"
        self._before, self._opened = self._keep_rows_before(step), time.monotonic()
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._accelerator = accelerator
        self._tracked = bool(request.settings.trackers)
        if self._tracked:
            _start(accelerator, request)
        self._said: set[str] = set()
        self._console, self._lines = console, console is not None and not console.is_terminal
        self._shown = time.monotonic()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rest]}"),
            console=console,
            disable=console is None or self._lines,
            speed_estimate_period=600,
        )
        steps = request.hyperparameters.training.steps
        self._task = self._bar.add_task("train", total=steps, completed=step, rate="", rest="")
        self._bar.start()

    @property
    def seconds(self) -> float:
        """Seconds that the run has been trained, in this call and those that it continues."""
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
        """Show measurements beside the bar: ``rate`` in steps per second, ``memory`` in MiB."""
        rest = [f"{memory:.0f} MiB", *(f"{name} {value:.4f}" for name, value in losses.items())]
        self._bar.update(self._task, rate=f"{rate:.2f} step/s", rest=" ".join(rest))
        now = time.monotonic()
        if self._lines and now - self._shown >= _EVERY:
            self._shown = now
            task = self._bar.tasks[self._task]
            left = task.remaining / rate / 60 if task.remaining and rate else 0
            done = f"step {task.completed:.0f} of {task.total:.0f}, {rate:.2f} step/s"
            self.say(", ".join([done, *rest, f"about {left:.0f} min left"]))

    def say(self, text: str) -> None:
        """Print a line above the bar, in one piece where there is no terminal."""
        if self._console is not None and text not in self._said:
            self._console.print(text, highlight=False, markup=False, soft_wrap=self._lines)

    def say_once(self, text: str) -> None:
        """Print a line above the bar, and never again."""
        self.say(text)
        self._said.add(text)

    def close(self) -> None:
        """Flush and close everything."""
        self._bar.stop()
        self._writer.close()
        self._file.close()
        if self._tracked:
            _finish(self._accelerator)

    def _keep_rows_before(self, step: int) -> float:
        """Drop the rows that an interrupted run wrote after the checkpoint that is resumed.

        Returns:
            The seconds of training that the remaining rows tell of.
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
