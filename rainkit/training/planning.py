"""What a training would do, said before it does anything: ``rainkit train --dry-run``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rainkit import networks
from rainkit.objective import Pair, Progress
from rainkit.training.request import TrainRequest
from rainkit.training.schedules import Plateau, learning_rate
from rainkit.training.setup import Setup

__all__ = ["Plan", "plan"]

_MOMENTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A training as it would be.

    Attributes:
        request: what was asked for, resolved.
        summary: method, size, machine and data in one line.
        parameters: how many numbers are trained, by what trains them: network, critic...
        steps: optimiser steps, and what of them is an epoch.
        part: shape of the pictures that are computed at a time.
        phases: name, what it trains, optimiser, the first step it takes, and its learning rates at
            the start, after each quarter and at the end.
        validation: pictures of each validation set.
        memory_mib: estimates: weights, gradients, optimisers, average and activations.
    """

    request: TrainRequest
    summary: str
    parameters: dict[str, int]
    steps: int
    epoch_steps: int
    part: tuple[int, int, int, int]
    phases: tuple[dict[str, Any], ...]
    validation: dict[str, int]
    memory_mib: dict[str, float]

    def to_data(self) -> dict[str, Any]:
        """As JSON-able data."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["request"]
        return fields | {"run": str(self.request.run)}


def plan(request: TrainRequest) -> Plan:
    """Build everything a training needs, run the network once, and write nothing.

    Raises:
        UsageError, WeightsError, TrainingError: as a training would.
    """
    setup = Setup(request)
    training, phases = setup.training, setup.phases.objective.phases
    objective = setup.phases.objective
    modules = {
        phase.trains: setup.network
        if phase.trains == "network"
        else objective.get_submodule(phase.trains)
        for phase in phases
    }
    sizes = {name: networks.parameters(module) for name, module in modules.items()}
    trained = sum(sizes.values())
    everything = sum(_bytes(module) for module in (setup.network, objective))
    side = training.whole or training.patch
    side += -side % setup.spec.multiple_of
    count = training.batch // (setup.accelerator.num_processes * training.accumulate)
    slots = 1 if training.optimiser == "rmsprop" else 2
    memory = {
        "weights": everything,
        "gradients": 4 * trained,
        "optimisers": 4 * slots * trained,
        "average": _bytes(setup.network) if setup.average is not None else 0,
        "activations": count * _saved_bytes(setup, side),
    }
    return Plan(
        request=request,
        summary=setup.describe(),
        parameters=sizes,
        steps=training.steps,
        epoch_steps=training.epoch_steps,
        part=(count, 3, side, side),
        phases=tuple(_phase(setup, phase) for phase in phases),
        validation={each.name: len(each.pairs) for each in setup.validation.sets},
        memory_mib={name: value / 2**20 for name, value in memory.items()},
    )


def _phase(setup: Setup, phase: Any) -> dict[str, Any]:
    training = dataclasses.replace(setup.training, **phase.training)
    moments = [training.steps * part // 100 for part in range(100)]
    first = next(
        (
            step
            for step in moments
            if phase.name
            in setup.phases.objective.active(
                Progress(step, training.steps, step / training.epoch_steps)
            )
        ),
        None,
    )
    last = training.steps - 1
    return {
        "name": phase.name,
        "trains": phase.trains,
        "optimiser": training.optimiser,
        "from_step": first,
        "schedule": training.schedule,
        "lr": [learning_rate(training, round(last * at), Plateau()) for at in _MOMENTS],
    }


def _bytes(module: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def _saved_bytes(setup: Setup, side: int) -> int:
    """What one picture's forward pass keeps for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in setup.network.parameters()}
    seen: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return value

    device = setup.accelerator.device
    picture = torch.rand(1, 3, side, side, device=device)
    picture = picture.contiguous(memory_format=setup.runtime.memory_format)
    setup.network.train()
    for module in setup.network.modules():
        if getattr(module, "running_mean", None) is not None:
            module.eval()  # statistics of one small picture may not exist
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value),
        setup.accelerator.autocast(),
    ):
        # Held until the count is complete, so that no address is given out twice.
        outputs = setup.phases.objective.outputs(setup.network, Pair(picture, picture))
    total = sum(seen.values())
    del outputs
    return total
