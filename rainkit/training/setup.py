"""What a training run works with: network, objective, data and processes, made from a request."""

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
from rainkit.allocator import keep_large_blocks
from rainkit.api import Training
from rainkit.datasets.sources import open_sources
from rainkit.errors import TrainingError, UsageError
from rainkit.objective import Objective
from rainkit.training import logging
from rainkit.training.data import Feed
from rainkit.training.phases import Phases
from rainkit.training.run_config import TrainRequest, refuse_impossible
from rainkit.training.validation import Validation

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
        if simple and _layers(child) >= 2 and not _normalises(child):
            found.append(child)
        else:
            found += _blocks(child)
    return found


def _depth(module: nn.Module) -> int:
    return max((1 + _depth(child) for child in module.children()), default=0)


def _layers(module: nn.Module) -> int:
    return sum(any(True for _ in each.parameters(recurse=False)) for each in module.modules())


def _normalises(module: nn.Module) -> bool:
    # The common base of all BatchNorms has no public name.
    return any(getattr(m, "running_mean", None) is not None for m in module.modules())


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
    """Everything that lives as long as a run does, before its first step.

    Accelerate places tensors, runs autocast and the fp16 scaler, and talks between processes.

    Raises:
        UsageError: settings or folders that cannot work.
        WeightsError: weights to start from that do not fit.
        TrainingError: a batch that does not divide among the processes.
    """

    def __init__(self, request: TrainRequest) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import InitProcessGroupKwargs, set_seed
        from timm.utils.model_ema import ModelEmaV3

        self.request = request
        self.training: Training = request.hyperparameters.training
        method, settings = request.method, request.hyperparameters
        self.spec = method.image(settings.network)
        self.runtime = networks.choose(request.device, request.precision, self.spec)
        refuse_impossible(request, self.spec, self.runtime)
        logging.refuse_unknown(request.trackers)
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
            log_with=list(request.trackers) or None,
            project_dir=str(request.run) if request.trackers else None,
            # The other processes wait while the first one writes.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=6))],
        )
        self.first = self.accelerator.is_main_process
        self.runtime = replace(self.runtime, device=self.accelerator.device)
        self._refuse_batch()
        self.network = self._network()
        objective: Objective[Any] = plugins.resolve(method.objective)(settings.objective)
        objective = objective.to(  # type: ignore[call-overload]
            self.accelerator.device, memory_format=self.runtime.memory_format
        )
        self.phases = Phases(self.network, objective, self.training, self.accelerator, request.seed)
        # Its warm-up matters: a plain average would hold the initialisation for 1/(1-decay) steps.
        self.average = (
            ModelEmaV3(self.network, decay=self.training.ema, use_warmup=True)
            if self.training.ema
            else None
        )
        if request.compiled:
            self.network.compile()
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
            workers=request.workers,
            process=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        # A layout is that of the pairs trained on; what is validated on may well have another.
        reading = replace(request.data.reading(), layout=None)
        self.validation = Validation(
            request.data.validation, reading, self.spec, self.runtime, self.accelerator
        )

    @property
    def shipping(self) -> nn.Module:
        """The weights to validate and to ship: the average where there is one."""
        module: nn.Module = self.network if self.average is None else self.average.module
        return module

    def describe(self) -> str:
        """One line: method, size, machine and data."""
        request, notes = self.request, []
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
        network = networks.build(request.method, request.hyperparameters.network)
        self._started = (
            None
            if request.init is None
            else weights.initialise(network, request.method, request.init)
        )
        network.to(  # type: ignore[call-overload]
            self.accelerator.device, memory_format=self.runtime.memory_format
        )
        networks.keep_fp32(network, self.spec)
        self._frozen = freeze(network, self.training.freeze)
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
