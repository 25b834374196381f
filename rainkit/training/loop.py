"""The training loop: drives any plugin's objective; reads from top to bottom.

Accelerate places tensors, runs autocast and the fp16 scaler, and talks between processes. The
order of samples, the phases, the schedules and the checkpoints are decided here.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rainkit import networks, plugins, weights
from rainkit.allocator import keep_large_blocks
from rainkit.api import Training
from rainkit.datasets.batches import collate
from rainkit.datasets.sources import open_sources
from rainkit.errors import RainkitError, TrainingError
from rainkit.objective import DivergedError, Frames, Objective, Pair
from rainkit.training import checkpoints, record
from rainkit.training.logs import Log
from rainkit.training.meters import Clock, Mean
from rainkit.training.phases import Phases, Rates
from rainkit.training.request import TrainRequest, refuse_impossible
from rainkit.training.result import TrainResult
from rainkit.training.schedules import Plateau
from rainkit.training.validation import Validation

__all__ = ["train"]

LOG_EVERY = 50
"""Steps between log rows and refreshes of the bar."""


def train(request: TrainRequest, console: Console | None = None) -> TrainResult:
    """Train as requested, from the start or from the run's latest checkpoint.

    Raises:
        UsageError: settings or folders that cannot work.
        ImageError: a picture that cannot be read, or a file of the run that cannot be written.
        TrainingError: a run that exists, cannot be continued, or diverges.
    """
    try:
        return _Run(request, console).train()
    except OSError as error:
        raise TrainingError(
            f"{error.filename or request.run}: {error.strerror or error}; "
            f"mend that, then continue with --resume {request.run}"
        ) from error


@dataclass(slots=True)
class _Memory:
    """What the loop remembers between steps, beside weights and optimisers."""

    step: int = 0
    best_psnr: float = -math.inf
    plateau: Plateau = field(default_factory=Plateau)

    def to_data(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> _Memory:
        return cls(**{**data, "plateau": Plateau(**data["plateau"])})


class _Run:
    """One training run: everything that lives as long as it does."""

    def __init__(self, request: TrainRequest, console: Console | None) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import InitProcessGroupKwargs, set_seed
        from timm.utils.model_ema import ModelEmaV3

        self.request = request
        self.console = console
        self.training: Training = request.hyperparameters.training
        method, settings = request.method, request.hyperparameters
        self.spec = method.image(settings.network)
        self.runtime = networks.choose(request.device, request.precision, self.spec)
        refuse_impossible(request, self.spec, self.runtime)
        keep_large_blocks()
        set_seed(request.seed)
        # Accelerate keeps the first precision of a process for good; a second run may have another.
        AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
        if self.runtime.device.index is not None:
            torch.cuda.set_device(self.runtime.device)  # Accelerate takes the current one
        precision = self.runtime.precision
        self.accelerator = Accelerator(
            mixed_precision="no" if precision == "fp32" else precision,
            cpu=self.runtime.device.type == "cpu",
            # The other processes wait while the first one validates.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=6))],
        )
        self.first = self.accelerator.is_main_process
        if self.training.batch % self.accelerator.num_processes:
            raise TrainingError(
                f"training.batch={self.training.batch} does not divide among "
                f"{self.accelerator.num_processes} processes"
            )
        device = self.accelerator.device
        layout = self.runtime.memory_format
        self.network = networks.build(method, settings.network).to(device, memory_format=layout)  # type: ignore[call-overload]
        networks.keep_fp32(self.network, self.spec)
        objective: Objective = plugins.resolve(method.objective)(settings.objective)
        objective = objective.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.phases = Phases(self.network, objective, self.training, self.accelerator, request.seed)
        # Its warm-up matters: a plain average would hold the initialisation for 1/(1-decay) steps.
        self.average = (
            ModelEmaV3(self.network, decay=self.training.ema, use_warmup=True)
            if self.training.ema
            else None
        )
        self.data = open_sources(request.data, self.training, request.seed)
        # A layout is that of the pairs trained on; what is validated on may well have another.
        reading = replace(request.data.reading(), layout=None)
        self.validation = Validation(request.data.validation, reading, self.spec, self.runtime)
        self.memory = _Memory()

    def train(self) -> TrainResult:
        started = time.monotonic()
        self._open_folder()
        steps, every = self.training.steps, self.training.epoch_steps
        log = self._open_log()
        scores: dict[str, float] = {}
        began = self.memory.step
        epoch_loss, since = Mean(), Clock(self.memory.step)
        try:
            self._announce(log)
            for batch in self._batches():
                step = self.memory.step
                losses, rates = self._step(batch)
                if self.average is not None:
                    self.average.update(self.network, step=step)
                self.memory.step = step = step + 1
                if self.phases.main in losses:
                    epoch_loss.add(losses[self.phases.main])
                if step % LOG_EVERY == 0 or step == steps:
                    values = {name: float(value) for name, value in losses.items()}
                    self._refuse_nan(step, values)
                    pace = since.rate(step)
                    if log:
                        log.scalars(step, {**values, **rates, "steps per second": pace})
                        log.advance(step, pace, {"loss": epoch_loss.value()})
                if step % every == 0 or step == steps:
                    self._refuse_broken_weights(step)
                    if epoch_loss.known:
                        loss = self._over_all(epoch_loss)
                        self.memory.plateau.observe(loss, self.training.patience)
                    epoch_loss = Mean()
                    epochs = step // every
                    if epochs % self.request.validate_every == 0 or step == steps:
                        scores = self._validate(step, log) or scores
                    self._checkpoint()
        finally:
            if log:
                log.close()
        best = self.request.run / "best.safetensors"
        return TrainResult(
            run=self.request.run,
            weights=self.request.run / "last.safetensors",
            best=best if best.is_file() else None,
            steps=self.memory.step,
            done_now=self.memory.step - began,
            seconds=time.monotonic() - started,
            scores=scores,
        )

    def _step(self, batch: Pair | Frames) -> tuple[dict[str, Tensor], Rates]:
        try:
            return self.phases.step(batch, self.memory.step, self.memory.plateau)
        except DivergedError as error:
            raise TrainingError(
                f"stopped at step {self.memory.step}: {error}; the last weights are in "
                f"{self.request.run}"
            ) from error

    def _over_all(self, mean: Mean) -> float:
        """A mean over every process: all must decide alike when a rate falls."""
        value = torch.tensor(mean.value(), device=self.accelerator.device)
        return float(self.accelerator.reduce(value, reduction="mean"))

    def _batches(self) -> Iterator[Pair | Frames]:
        """Batches from the step reached to the last one, on the device, in [0,1]."""
        loader = DataLoader(
            self.data,
            batch_sampler=self._sampler(),
            num_workers=self.request.workers,
            prefetch_factor=4 if self.request.workers else None,
            worker_init_fn=_quiet_worker,
            collate_fn=collate,
            pin_memory=self.runtime.device.type == "cuda",
        )
        kind = Frames if self.request.method.training_data == "frames" else Pair
        for loaded in loader:
            if isinstance(loaded, RainkitError):
                raise loaded
            first, second = loaded.on(self.accelerator.device)
            yield kind(self._unit(first), self._unit(second))

    def _sampler(self) -> Iterator[list[int]]:
        """Sample numbers of each remaining step; each process takes its share of a batch."""
        batch, ranks = self.training.batch, self.accelerator.num_processes
        rank = self.accelerator.process_index
        for step in range(self.memory.step, self.training.steps):
            yield list(range(step * batch + rank, (step + 1) * batch, ranks))

    def _unit(self, pictures: Tensor) -> Tensor:
        return pictures.float().div_(255).contiguous(memory_format=self.runtime.memory_format)

    @property
    def _shipping(self) -> nn.Module:
        """The weights to validate and to ship: the average where there is one."""
        module: nn.Module = self.network if self.average is None else self.average.module
        return module

    def _validate(self, step: int, log: Log | None) -> dict[str, float]:
        if not self.validation.sets or not self.first:
            return {}
        result = self.validation.run(self._shipping)
        if log:
            log.scalars(step, {f"validation/{k}": v for k, v in result.scores.items()})
            for name, strip in result.pictures.items():
                log.picture(step, f"validation/{name}", strip)
            log.say(f"step {step}: {result.line()}")
            for failure in result.failures:
                log.say(f"not validated: {failure}")
        if result.psnr > self.memory.best_psnr:
            self.memory.best_psnr = result.psnr
            self._save(self._shipping, self.request.run / "best.safetensors", result.scores)
        return result.scores

    def _save(self, module: nn.Module, path: Path, scores: dict[str, float] | None = None) -> None:
        request = self.request
        about = record.about(request) | {"step": str(self.memory.step)}
        if scores:
            about["validation"] = json.dumps(scores)
        weights.save(
            path,
            module.state_dict(),
            method=request.method,
            variant=request.variant,
            network=request.hyperparameters.network,
            about=about,
        )

    def _checkpoint(self) -> None:
        if not self.first:
            return
        run = self.request.run
        # First, so that whoever finds the last checkpoint finds its weights here too.
        self._save(self._shipping, run / "last.safetensors")
        state = {"memory": self.memory.to_data(), **self.phases.state()}
        with checkpoints.writing(run, self.memory.step, state) as folder:
            self._save(self.network, folder / "model.safetensors")
            self._save(self._shipping, folder / "average.safetensors")
        checkpoints.prune(run, self.request.keep)

    def _open_folder(self) -> None:
        if self.request.resume:
            # A run stopped before its first checkpoint starts anew: the seed makes it the same.
            if (checkpoint := checkpoints.latest(self.request.run)) is not None:
                self._resume(checkpoint)
        elif self.first:
            # 'auto' may mean another precision on the machine that resumes.
            chosen = dataclasses.replace(self.request, precision=self.runtime.precision)
            record.create(chosen)
        self.accelerator.wait_for_everyone()

    def _resume(self, folder: Path) -> None:
        method, state = self.request.method, checkpoints.open_state(folder)
        weights.load(self.network, weights.open_file(method, folder / "model.safetensors"))
        if self.average is not None:
            averaged = weights.open_file(method, folder / "average.safetensors")
            weights.load(self.average.module, averaged)
        try:
            self.phases.restore(state)
            self.memory = _Memory.from_data(state["memory"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise TrainingError(f"{folder}: not a checkpoint of this run ({error})") from error

    def _open_log(self) -> Log | None:
        if not self.first:
            return None
        run, steps = self.request.run, self.training.steps
        return Log(run, step=self.memory.step, steps=steps, console=self.console)

    def _announce(self, log: Log | None) -> None:
        if log:
            size = networks.parameters(self.network)
            log.say(
                f"{self.request.method.name} ({self.request.variant}), {size:,} parameters, "
                f"{self.runtime.describe()}, {self.data.describe()}, run folder {self.request.run}"
            )

    def _refuse_nan(self, step: int, values: dict[str, float]) -> None:
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"{', '.join(broken)} is not finite at step {step}: start a new run with a lower "
                f"training.lr or with training.clip_norm; the last good weights are in "
                f"{self.request.run}"
            )

    def _refuse_broken_weights(self, step: int) -> None:
        """Before a checkpoint replaces a good one."""
        state = self.network.state_dict().items()
        tensors = {name: value for name, value in state if value.is_floating_point()}
        broken = [name for name, value in tensors.items() if not value.isfinite().all()]
        self._refuse_nan(step, dict.fromkeys(broken[:3], math.nan))


def _quiet_worker(_: int) -> None:
    """Loading processes leave the cores to the training."""
    import cv2

    cv2.setNumThreads(0)  # not 1: that waits for threads which a forked process does not have
    keep_large_blocks()
    torch.set_num_threads(1)
