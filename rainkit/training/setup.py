"""The set-up of a run: network, objective, data and processes, made from its request."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rainkit import networks, plugins, weights
from rainkit.api import Training
from rainkit.datasets.sources import open_sources
from rainkit.environment import keep_large_blocks
from rainkit.errors import TrainingError, UsageError
from rainkit.objective import Objective
from rainkit.precision import choose_runtime, keep_fp32
from rainkit.training import logging
from rainkit.training.data import Feed
from rainkit.training.distillation import Teacher
from rainkit.training.phases import Phases
from rainkit.training.run_config import TrainRequest, refuse_impossible
from rainkit.training.validation import Validation, refuse_trained_on

__all__ = [
    "Setup",
    "freeze",
    "recompute",
]


def freeze(network: nn.Module, patterns: Sequence[str]) -> int:
    """Freeze the parameters whose names match a pattern and return how many numbers they hold.

    The running statistics of modules that are frozen as a whole do not change either.

    Raises:
        UsageError: a pattern matches nothing, or nothing is left to train.
    """
    named = dict(network.named_parameters())
    for pattern in patterns:
        matching = [name for name in named if fnmatchcase(name, pattern)]
        if not matching:
            some = ", ".join(list(named)[:3])
            raise UsageError(f"training.freeze: nothing is named {pattern}; there is {some}...")
        for name in matching:
            named[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in named.values()):
        raise UsageError("training.freeze matches every parameter: nothing is left to train")
    return sum(p.numel() for p in named.values() if not p.requires_grad)


def recompute(network: nn.Module) -> int:
    """Let blocks keep only their inputs and compute the rest again in the backward pass.

    A block is a module of at least two layers with weights that is nested at most two deep. Blocks
    with BatchNorm are left out: a second pass would count into its running statistics. The number
    of blocks is returned.

    Raises:
        UsageError: the network has no such blocks.
    """
    blocks = _blocks(network)
    for block in blocks:
        kind: Any = type(block)
        block.__class__ = _recomputing(kind)
    if not blocks:
        raise UsageError("training.recompute: this network has no blocks without BatchNorm")
    return len(blocks)


def _blocks(module: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in module.children():
        simple = not isinstance(child, (nn.ModuleList, nn.ModuleDict)) and _depth(child) <= 2
        if simple and _layers(child) >= 2 and not networks.keeping_statistics(child):
            found.append(child)
        else:
            found += _blocks(child)
    return found


def _depth(module: nn.Module) -> int:
    return max((1 + _depth(child) for child in module.children()), default=0)


def _layers(module: nn.Module) -> int:
    return sum(any(True for _ in each.parameters(recurse=False)) for each in module.modules())


@functools.cache
def _recomputing(kind: Any) -> Any:
    """Return a class of the same module that recomputes.

    A class survives deepcopy; a patched method does not.
    """

    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Any:
        if not (self.training and torch.is_grad_enabled()):
            return kind.forward(self, *inputs, **named)
        run = functools.partial(kind.forward, self)
        return checkpoint(run, *inputs, use_reentrant=False, **named)

    return type(kind.__name__, (kind,), {"forward": forward})


class Setup:
    """Everything that a run needs: its processes, data, network, objective and optimisers.

    Accelerate starts and connects the processes of a run. Mixed precision is left to
    :class:`rainkit.precision.Runtime` and :class:`rainkit.training.phases.Phases`, since Accelerate
    fixes it once for a whole process.

    Attributes:
        request: what was asked for.
        training: settings of the training.
        spec: which pictures the network takes.
        runtime: device, precision and memory format.
        accelerator: the processes of the run.
        first: whether this is the process that writes files.
        data: samples of the training.
        feed: batches of the training.
        validation: datasets that the training is validated on.
        network: the network.
        teacher: the network whose pictures the network learns from, too; None if there is none.
        phases: the objective and its optimisers.
        average: the averaged weights; None if there are none.

    Raises:
        UsageError: settings or folders cannot work.
        WeightsError: weights to start from do not fit.
        TrainingError: a batch does not divide among the processes.
    """

    def __init__(self, request: TrainRequest) -> None:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs

        self.request = request
        self.training: Training = request.hyperparameters.training
        method = request.method
        self.spec = method.image(request.hyperparameters.network)
        self.runtime = choose_runtime(request.device, request.precision, self.spec)
        refuse_impossible(request, self.spec, self.runtime)
        trackers = list(request.settings.trackers)
        logging.refuse_unknown(trackers)
        keep_large_blocks()
        if self.runtime.device.index is not None:
            torch.cuda.set_device(self.runtime.device)  # Accelerate takes the current one
        self.accelerator = Accelerator(
            mixed_precision="no",
            cpu=self.runtime.device.type == "cpu",
            log_with=trackers or None,
            project_dir=str(request.run) if trackers else None,
            # The other processes wait while the first one writes.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=6))],
        )
        self.first = self.accelerator.is_main_process
        self.runtime = replace(self.runtime, device=self.accelerator.device)
        self._refuse_batch()
        self.teacher = None if request.teacher is None else Teacher(request.teacher, self.runtime)
        self._build()
        self.data = open_sources(
            request.data,
            self.training,
            request.seed,
            kind=method.training_data,
            multiple_of=self.spec.multiple_of,
        )
        self.feed = Feed(
            self.data,
            self.training,
            method.training_data,
            self.runtime,
            workers=request.settings.workers,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        # The layout is that of the pairs trained on; validation sets may well have another one.
        reading = replace(request.data.reading(), layout=None)
        self.validation = Validation(
            request.data.validation, reading, self.spec, self.runtime, self.accelerator
        )
        refuse_trained_on(self.data.pair_files(), self.validation.sets)

    def _build(self) -> None:
        """Build network, objective, optimisers and average; the seed makes them always the same."""
        from accelerate.utils import set_seed
        from timm.utils.model_ema import ModelEmaV3

        request = self.request
        set_seed(request.seed)
        self.network = self._network()
        objective: Objective[Any] = plugins.resolve(request.method.objective or "")(
            request.hyperparameters.objective
        )
        objective = objective.to(  # type: ignore[call-overload]
            self.accelerator.device, memory_format=self.runtime.memory_format
        )
        self.phases = Phases(
            self.network,
            objective,
            self.training,
            self.runtime,
            self.accelerator,
            request.seed,
            self.teacher,
        )
        # Its warm-up matters: a plain average would hold the initialisation for 1/(1-decay) steps.
        self.average = (
            ModelEmaV3(self.network, decay=self.training.ema, use_warmup=True)
            if self.training.ema
            else None
        )
        if request.settings.compile:
            self.network.compile()

    def restart(self, steps: int) -> None:
        """Forget all that was trained, and plan another number of steps; data stay open.

        Args:
            steps: number of optimiser steps of the training.
        """
        self.training = replace(self.training, steps=steps)
        values = replace(self.request.hyperparameters, training=self.training)
        self.request = replace(self.request, hyperparameters=values)
        self.feed.skipped.clear()
        self._build()

    @property
    def shipping(self) -> nn.Module:
        """The network to validate and to ship: the averaged one if there is one."""
        module: nn.Module = self.network if self.average is None else self.average.module
        return module

    @property
    def part(self) -> tuple[int, int, int, int]:
        """Shape of the largest pictures that are computed at a time."""
        training = self.training
        side = training.whole or training.patch
        side += -side % self.spec.multiple_of
        count = training.batch // (self.accelerator.num_processes * training.accumulate)
        return count, 3, side, side

    def describe(self) -> str:
        """Describe the run in one line: method, size, machine, data and teacher.

        The teacher's cost is measured.
        """
        request, notes = self.request, []
        if self.teacher is not None:
            notes.append(self.teacher.describe(self.part, self.training.accumulate))
        if self._started is not None:
            notes.append(self._started.line())
        if self._frozen:
            notes.append(f"{self._frozen:,} parameters frozen")
        if self.accelerator.num_processes > 1:
            notes.append(f"{self.accelerator.num_processes} processes")
        size = networks.parameters(self.network) + self._frozen
        parts = (self.runtime.describe(), self.data.describe(), *notes)
        return f"{request.method.name} ({request.variant}), {size:,} parameters, {', '.join(parts)}"

    def _network(self) -> nn.Module:
        request = self.request
        settings = request.hyperparameters.network
        network = networks.build(request.method, settings)
        self.runtime = networks.training_runtime(network, self.spec, self.runtime)
        from rainkit.training.checkpointing import latest  # which imports this module

        # A checkpoint replaces what a run started from, whose file may be gone by now.
        self._started = (
            None
            if request.init is None or (request.resume and latest(request.run) is not None)
            else weights.initialise(network, request.method, request.init, settings)
        )
        network.to(  # type: ignore[call-overload]
            self.accelerator.device, memory_format=self.runtime.memory_format
        )
        keep_fp32(network, self.spec)
        self._frozen = freeze(network, self.training.freeze)
        if self.training.freeze_statistics and not networks.keeping_statistics(network):
            raise UsageError(
                "training.freeze_statistics: this network has no running statistics; leave it out"
            )
        if self.training.recompute:
            recompute(network)
        return network

    def _refuse_batch(self) -> None:
        training, processes = self.training, self.accelerator.num_processes
        shares = processes * training.accumulate
        if training.batch % shares:
            parts = [f"{processes} processes"] if processes > 1 else []
            parts += [f"{training.accumulate} parts"] if training.accumulate > 1 else []
            raise TrainingError(
                f"training.batch={training.batch} does not divide among {' of '.join(parts)}: "
                f"choose a multiple of {shares}"
            )
