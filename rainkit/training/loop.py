"""The training loop, which drives the objective of any plugin.

The order of samples, the phases, the schedules and the checkpoints are functions of the step.
"""

from __future__ import annotations

import dataclasses
import math
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from rainkit.errors import TrainingError, UsageError
from rainkit.files import system_reason
from rainkit.objective import DivergedError
from rainkit.training import planning, run_config
from rainkit.training.checkpointing import Keeper, Memory, refuse_existing
from rainkit.training.data import Parts
from rainkit.training.logging import SECONDS, Clock, Log, Mean, memory_mib
from rainkit.training.phases import Rates
from rainkit.training.run_config import TrainRequest
from rainkit.training.schedules import at_floor, learning_rate
from rainkit.training.setup import Setup
from rainkit.training.validation import ValidationResult

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = [
    "Reason",
    "Stop",
    "TrainResult",
    "leave_group",
    "train",
]


Reason = Literal["signal", "time", "no gain"]

AGREE_EVERY = 10
"""Number of steps after which several processes agree whether to stop."""


class Stop:
    """Watches for Ctrl-C, SIGTERM and a deadline while it is used as a context.

    The first signal lets the running step end, so that a checkpoint can be written. The second
    signal acts as it does elsewhere.

    Args:
        accelerator: the processes of the run, which all stop at the same step.
        deadline: when all must be done, on the clock of ``time.monotonic``; None for never.

    Attributes:
        reserve: seconds before the deadline that the last validation and checkpoint need.
    """

    def __init__(self, accelerator: Accelerator, deadline: float | None) -> None:
        self._accelerator = accelerator
        self._deadline = deadline
        self.reserve = 0.0
        self._told = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._tell)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def reason(self, step: int) -> Reason | None:
        """Return why to stop after ``step`` steps, or None; the same in every process."""
        late = self._deadline is not None and time.monotonic() + self.reserve > self._deadline
        found = 2 if self._told else int(late)
        if self._accelerator.num_processes > 1:
            if step % AGREE_EVERY:
                return None
            mine = torch.tensor([found], device=self._accelerator.device)
            found = int(self._accelerator.gather(mine).max())
        choices: tuple[Reason | None, ...] = (None, "time", "signal")
        return choices[found]

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._told = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """Result of a run.

    Attributes:
        run: the run folder.
        weights: the averaged weights after the last step.
        best: the averaged weights with the highest validation PSNR; None without validation.
        steps: number of steps done in all calls.
        planned: number of steps of the whole training.
        stopped: why it ended before its last step: ``signal``, ``time`` or ``no gain``.
        done_now: number of steps of this call.
        seconds: wall time of this call.
        all_seconds: wall time of this call and of those that it continues.
        parameters: number of parameters of the network.
        scores: scores of the last validation, ``{"<set>/psnr": dB, "<set>/input_psnr": dB, ...}``.
        skipped: pictures that could not be read, and how often each was skipped.
    """

    run: Path
    weights: Path
    best: Path | None
    steps: int
    planned: int
    stopped: Reason | None
    done_now: int
    seconds: float
    all_seconds: float
    parameters: int
    scores: dict[str, float]
    skipped: dict[str, int]

    def to_data(self) -> dict[str, Any]:
        """Return the result as JSON-able data."""
        data = dataclasses.asdict(self)
        return {k: str(v) if isinstance(v, Path) else v for k, v in data.items()}


LOG_EVERY = 50
"""Steps between log rows."""

RESERVE = 1.5
"""How many times the time of a validation is kept free for the last one before a deadline."""


def train(request: TrainRequest, console: Console | None = None) -> TrainResult:
    """Train as requested, from the start or from the run's latest checkpoint.

    The global random generators of Python, numpy and torch are as before when it returns.

    Raises:
        UsageError: settings or folders cannot work, or the run folder holds a run already.
        ImageError: a picture cannot be read.
        WeightsError: weights to start from do not fit.
        TrainingError: the run cannot be continued, or diverges.
    """
    try:
        with _generators_kept():
            return _train(request, console)
    except OSError as error:
        raise TrainingError(
            f"{error.filename or request.run}: {system_reason(error)}; "
            f"remove the cause, then continue with --resume {request.run}"
        ) from error


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Give the program back the states of the random generators that a training seeds."""
    python, array = random.getstate(), np.random.get_state()
    # Asking CUDA for its states would start it, even for a training on the CPU.
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if started else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(array)


def leave_group() -> None:
    """Leave the group of training processes, if there is one; this process trains no more in it.

    Threads of the group that run on while the interpreter ends can abort the process, which then
    seems to have failed although the training succeeded.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _train(request: TrainRequest, console: Console | None) -> TrainResult:
    started, deadline, reserve = time.monotonic(), None, 0.0
    said: list[str] = []
    if not request.resume:
        refuse_existing(request.run)
    setup = Setup(request)
    if (seconds := request.max_seconds) is not None and not request.resume:
        found = planning.fit(setup, seconds, started)
        request = setup.request
        deadline, reserve = started + seconds, RESERVE * found.validation_seconds
        said.append(found.line())
    memory, epoch_loss = Memory(), Mean()
    keeper = Keeper(setup)
    if request.resume:
        memory, epoch_loss = keeper.resume()
        said += keeper.notes
    if request.steps_before is not None:
        said.append(_extend(request, memory))
    elif memory.ended and memory.planned not in (0, request.hyperparameters.training.steps):
        # It was extended, and stopped before it wrote the checkpoint that would say so.
        memory.ended, memory.since_best = False, 0
    if setup.first and (not request.resume or request.steps_before is not None):
        # 'auto' may mean another precision on the machine that resumes.
        run_config.write(dataclasses.replace(request, precision=setup.runtime.precision))
    setup.accelerator.wait_for_everyone()
    log = Log(request, setup.accelerator, memory.step, console) if setup.first else None
    try:
        if log:
            for line in (*said, setup.describe() + f", run folder {request.run}"):
                log.say(line)
        with Stop(setup.accelerator, deadline) as stop:
            stop.reserve = reserve
            return _Run(setup, keeper, log, memory, epoch_loss, stop).train(started)
    finally:
        if log:
            log.close()


def _extend(request: TrainRequest, memory: Memory) -> str:
    """Let a run that may have ended go on to a new number of steps, and say what that means.

    Raises:
        UsageError: the run has done as many steps already.
    """
    training, before = request.hyperparameters.training, request.steps_before
    if training.steps <= memory.step:
        raise UsageError(
            f"--max-steps {training.steps}: {request.run} has done {memory.step} steps already; "
            f"give more, or start a new run with --init {request.run / 'last.safetensors'}"
        )
    memory.ended, memory.since_best = False, 0
    rate = learning_rate(training, memory.step, memory.plateau)
    return (
        f"{training.steps} steps instead of {before}: the {training.schedule} schedule follows "
        f"the new number, and the learning rate is {rate:.3g} at step {memory.step}"
    )


class _Run:
    """The steps of one call."""

    def __init__(
        self,
        setup: Setup,
        keeper: Keeper,
        log: Log | None,
        memory: Memory,
        epoch_loss: Mean,
        stop: Stop,
    ) -> None:
        self.setup, self.keeper, self.log = setup, keeper, log
        self.memory, self.epoch_loss, self.stop = memory, epoch_loss, stop
        self.request, self.training = setup.request, setup.training
        self.scores: dict[str, float] = {}
        self.scored = -1

    def train(self, started: float) -> TrainResult:
        """Do the remaining steps."""
        setup, memory, request = self.setup, self.memory, self.request
        began, steps = memory.step, self.training.steps
        clock = Clock(memory.step)
        reason: Reason | None = "no gain" if memory.ended else None
        for parts in setup.feed.steps(memory.step, steps) if reason is None else ():
            losses, rates = self._step(parts)
            if memory.step % LOG_EVERY == 0 or memory.step == steps:
                self._write(losses, rates, clock)
            if self.log:
                self.log.moved(memory.step)
            reason = self.stop.reason(memory.step)
            whole_epoch = memory.step % self.training.epoch_steps == 0 or memory.step == steps
            if whole_epoch:
                reason = self._end_epoch(reason)
            elif reason == "time":
                self._validate()
            saving = request.settings.save_every and memory.step % request.settings.save_every == 0
            if whole_epoch or saving or reason is not None:
                self._checkpoint()
            if reason is not None:
                break
        best = request.run / "best.safetensors"
        return TrainResult(
            run=request.run,
            weights=request.run / "last.safetensors",
            best=best if best.is_file() else None,
            steps=memory.step,
            planned=steps,
            stopped=reason if memory.step < steps else None,
            done_now=memory.step - began,
            seconds=time.monotonic() - started,
            all_seconds=self.log.seconds if self.log else 0.0,
            parameters=sum(p.numel() for p in setup.network.parameters()),
            scores=self.scores or self.keeper.last_scores(),
            skipped=dict(setup.feed.skipped),
        )

    def _step(self, parts: Parts) -> tuple[dict[str, Tensor], Rates]:
        setup, memory = self.setup, self.memory
        setup.phases.seen = self._histogram if self._shows_gradients() else None
        try:
            losses, rates = setup.phases.step(parts, memory.step, memory.plateau)
        except DivergedError as error:
            raise TrainingError(
                f"stopped at step {memory.step}: {error}; {self._left()}"
            ) from error
        if setup.average is not None:
            setup.average.update(setup.network, step=memory.step)
        memory.step += 1
        if setup.phases.main in losses:
            self.epoch_loss.add(losses[setup.phases.main])
        return losses, rates

    def _write(self, losses: dict[str, Tensor], rates: Rates, clock: Clock) -> None:
        step = self.memory.step
        values = {name: float(value) for name, value in losses.items()}
        self._refuse_nan(values)
        pace = clock.rate(step)
        if self.log:
            held = memory_mib(self.setup.runtime.device)
            measured = {
                "steps per second": pace,
                "memory MiB": held,
                SECONDS: self.log.seconds,
            }
            self.log.scalars(step, {**values, **rates, **self.setup.phases.loss_scale()})
            self.log.scalars(step, measured)
            self.log.advance(pace, held, {"loss": self.epoch_loss.value()})
            for name in self.setup.feed.skipped:
                self.log.say_once(f"skipped because it cannot be read: {name}")

    def _end_epoch(self, reason: Reason | None) -> Reason | None:
        """Validate, update the plateau, and decide whether to stop early."""
        memory, training = self.memory, self.training
        mean = self._over_all(self.epoch_loss) if self.epoch_loss.known else None
        self.epoch_loss = Mean()
        epochs = memory.step // training.epoch_steps
        last = memory.step == training.steps or reason == "time"
        due = last or epochs % self.request.settings.validate_every == 0
        validated = self._validate() if due else None
        if training.plateau_on == "psnr":
            mean = None if validated is None else -validated.psnr
        lowest = at_floor(training, memory.plateau)
        falls = mean is not None and memory.plateau.observe(mean, training.patience)
        useless = training.schedule == "plateau" and training.stop_at_floor and lowest and falls
        if training.schedule == "plateau" and falls and not lowest and self.log:
            rate = learning_rate(training, memory.step, memory.plateau)
            self.log.say(f"step {memory.step}: the learning rate falls to {rate:.3g}")
        worse = training.stop_after and due and memory.since_best >= training.stop_after
        if (useless or worse) and not last:
            memory.ended, memory.planned = True, training.steps
            return reason or "no gain"
        return reason

    def _over_all(self, mean: Mean) -> float:
        """Return the mean over all processes, which must agree when a rate falls."""
        accelerator = self.setup.accelerator
        value = mean.tensor(accelerator.device)
        return float(accelerator.reduce(value, reduction="mean"))

    def _validate(self) -> ValidationResult | None:
        """Score the weights that ship; return None if there is nothing to validate on."""
        setup, memory = self.setup, self.memory
        if not setup.validation.sets:
            return None
        self._refuse_broken_weights()
        began = time.monotonic()
        result = setup.validation.run(setup.shipping)
        self.stop.reserve = max(self.stop.reserve, RESERVE * (time.monotonic() - began))
        self.scores, self.scored = result.scores, memory.step
        if self.log:
            shown = {f"validation/{name}": value for name, value in result.scores.items()}
            counts = {f"validation/{name}/images": n for name, n in result.images.items()}
            self.log.scalars(memory.step, shown | counts)
            for name, strip in result.pictures.items():
                self.log.picture(memory.step, f"validation/{name}", strip)
            self.log.say(f"step {memory.step}: {result.line()}")
            for failure in result.failures:
                self.log.say(f"not validated: {failure}")
        memory.since_best += 1
        if result.psnr > memory.best_psnr:
            memory.best_psnr, memory.since_best = result.psnr, 0
            self.keeper.best(memory.step, result.scores)
        return result

    def _checkpoint(self) -> None:
        self._refuse_broken_weights()
        scores = self.scores if self.scored == self.memory.step else None
        self.keeper.checkpoint(self.memory, self.epoch_loss, scores)

    def _shows_gradients(self) -> bool:
        """Whether this step writes histograms: the last one before a validation, on request."""
        every = self.training.epoch_steps * self.request.settings.validate_every
        step = self.memory.step + 1
        due = step % every == 0 or step == self.training.steps
        return self.request.settings.histograms and self.log is not None and due

    def _histogram(self, phase: str) -> None:
        gradients = self.setup.phases.gradients(phase)
        if self.log:
            self.log.histograms(self.memory.step + 1, gradients)

    def _refuse_nan(self, values: dict[str, float]) -> None:
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"{', '.join(broken)} is not finite at step {self.memory.step}: start a new run "
                f"with a lower training.lr or with training.clip_norm; {self._left()}"
            )

    def _left(self) -> str:
        """Say which weights a run that diverges leaves behind."""
        saved = self.request.run / "last.safetensors"
        if not saved.exists():
            return "no weights had been saved yet"
        return f"the last good weights are {saved}"

    def _refuse_broken_weights(self) -> None:
        """Refuse weights that are not finite, before a checkpoint replaces a good one."""
        state: dict[str, Any] = self.setup.network.state_dict()
        tensors = {name: value for name, value in state.items() if value.is_floating_point()}
        broken = [name for name, value in tensors.items() if not value.isfinite().all()]
        self._refuse_nan(dict.fromkeys(broken[:3], math.nan))
