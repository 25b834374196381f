"""Planning a training before its first step: ``--dry-run plan`` and ``--max-time``."""

from __future__ import annotations

import dataclasses
import re
import time
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from rainkit import networks
from rainkit.errors import UsageError
from rainkit.objective import DivergedError, Frames, Pair, Progress
from rainkit.training.run_config import TrainRequest
from rainkit.training.schedules import Plateau, learning_rate
from rainkit.training.setup import Setup

__all__ = [
    "Fit",
    "Plan",
    "fit",
    "parse_time",
    "plan",
]


MARGIN = 0.95
"""Share of the time that is planned for; the rest is for what was not measured."""

_WARM_UP, _STEPS, _LONGEST = 3, 20, 20.0
"""Steps that are not timed, most that are, and seconds after which two will do."""

_PICTURES = 4
"""Pictures of each validation set that are timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Number of steps that fit into a time.

    Attributes:
        steps: number of steps that fit.
        step_seconds: seconds of the longest step.
        validation_seconds: seconds of a validation of all sets.
        seconds: seconds that the measuring took.
    """

    steps: int
    step_seconds: float
    validation_seconds: float
    seconds: float

    def line(self) -> str:
        """Describe the result in one line for the log."""
        return (
            f"{self.steps} steps fit: {self.step_seconds:.3g} s each, "
            f"{self.validation_seconds:.3g} s a validation"
        )


def parse_time(text: str) -> float:
    """Return the seconds of a time such as ``90m``, ``1h30m``, ``45s`` or ``2h``.

    Raises:
        UsageError: the text is not such a time, or the time is zero.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        raise UsageError(f"--max-time {text}: write a time such as 90m, 1h30m or 45s")
    return float(total)


def fit(setup: Setup, seconds: float, began: float | None = None) -> Fit:
    """Fix the steps of a training such that it ends, validated and saved, within a time.

    Steps at the beginning of the training are timed, and at its end if other phases are active
    then. Afterwards the set-up is restarted: it has forgotten them and plans the steps that fit.

    Args:
        setup: the set-up of the training.
        seconds: the time.
        began: when the time began, on the clock of ``time.monotonic``; None for now.

    Raises:
        UsageError: not even one step fits.
    """
    from accelerate.utils import broadcast_object_list

    began = time.monotonic() if began is None else began
    training = setup.training
    early, late = _step_seconds(setup, 0), 0.0
    if _active(setup, training.steps - 1, training.steps) != _active(setup, 0, training.steps):
        late = _step_seconds(setup, training.steps - 1)
    started = time.monotonic()
    timed = setup.validation.run(setup.shipping, limit=_PICTURES) if setup.validation.sets else None
    validation = 0.0
    if timed is not None:
        share = sum(timed.images.values()) / sum(len(s.pairs) for s in setup.validation.sets)
        validation = (time.monotonic() - started) / max(share, 1e-9)
    rest = MARGIN * seconds - (time.monotonic() - began)

    def needed(steps: int) -> float:
        every = training.epoch_steps * setup.request.settings.validate_every
        moments = [steps * part // 100 for part in range(101)]
        slow = sum(
            end - start
            for start, end in pairwise(moments)
            if late and _active(setup, start, steps) != _active(setup, 0, steps)
        )
        return (steps - slow) * early + slow * late + (1 + (steps - 1) // every) * validation

    most = max(1, int(rest / min(t for t in (early, late) if t)) + 1)
    steps = bisect_right(range(1, most + 1), rest, key=needed)
    agreed = [steps]
    broadcast_object_list(agreed)
    if agreed[0] < 1:
        raise UsageError(
            f"--max-time: a step takes {max(early, late):.3g} s and a validation "
            f"{validation:.3g} s, so that not one fits in {seconds:.0f} s"
        )
    setup.restart(agreed[0])
    return Fit(
        steps=agreed[0],
        step_seconds=max(early, late),
        validation_seconds=validation,
        seconds=time.monotonic() - began,
    )


def _active(setup: Setup, step: int, steps: int) -> tuple[str, ...]:
    progress = Progress(step, steps, step / setup.training.epoch_steps)
    return setup.phases.objective.active(progress)


def _step_seconds(setup: Setup, step: int) -> float:
    """Return the mean time of a step like step number ``step``, including loading."""
    began = started = time.monotonic()
    done = 0
    for done, parts in enumerate(setup.feed.steps(0, _WARM_UP + _STEPS), 1):
        try:
            setup.phases.step(parts, step, Plateau())
        except DivergedError:
            break  # the objective judges a training that has come as far as this step
        if setup.average is not None:
            setup.average.update(setup.network, step=step)
        if setup.runtime.device.type == "cuda":
            torch.cuda.synchronize(setup.runtime.device)
        if done == _WARM_UP:
            started = time.monotonic()
        if done >= _WARM_UP + 2 and time.monotonic() - began > _LONGEST:
            break
    timed = max(1, done - _WARM_UP)
    return (time.monotonic() - (started if done > _WARM_UP else began)) / timed


_MOMENTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Plan of a training.

    Attributes:
        request: the resolved request.
        timed: how the steps follow from the time, in one line; None if they do not.
        summary: method, size, machine and data in one line.
        parameters: number of trained numbers of each module: network, critic...
        steps: number of optimiser steps.
        epoch_steps: number of optimiser steps of an epoch.
        part: shape of the pictures that are computed at a time.
        phases: name, trained module, optimiser and first step of each phase, and its learning rates
            at the start, after each quarter and at the end.
        validation: number of pictures of each validation set.
        memory_mib: estimated memory of weights, gradients, optimisers, average, activations and
            teacher.
    """

    request: TrainRequest
    timed: str | None
    summary: str
    parameters: dict[str, int]
    steps: int
    epoch_steps: int
    part: tuple[int, int, int, int]
    phases: tuple[dict[str, Any], ...]
    validation: dict[str, int]
    memory_mib: dict[str, float]

    def to_data(self) -> dict[str, Any]:
        """Return the plan as JSON-able data."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["request"]
        return fields | {"run": str(self.request.run)}


def plan(request: TrainRequest) -> Plan:
    """Build everything that a training needs, run the network once, and write nothing.

    If the request has a time instead of a number of steps, the steps that fit are measured first.

    Raises:
        UsageError, WeightsError, TrainingError: a training would raise it, too.
    """
    setup, timed = Setup(request), None
    if request.max_seconds is not None:
        timed = fit(setup, request.max_seconds)
        request = setup.request
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
    count, _, _, side = setup.part
    # Muon keeps one moment of a matrix, and two of a vector, which is small.
    slots = 1 if training.optimiser in ("rmsprop", "muon") else 2
    memory = {
        "weights": everything,
        "gradients": 4 * trained,
        "optimisers": 4 * slots * trained,
        "average": _bytes(setup.network) if setup.average is not None else 0,
        "activations": count * _saved_bytes(setup, side),
    }
    if setup.teacher is not None:
        memory["teacher"] = setup.teacher.size
    return Plan(
        request=request,
        timed=None if timed is None else timed.line(),
        summary=setup.describe(),
        parameters=sizes,
        steps=training.steps,
        epoch_steps=training.epoch_steps,
        part=setup.part,
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
    """Return how many bytes one picture's forward pass keeps for the backward pass."""
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
    for module in networks.keeping_statistics(setup.network):
        module.eval()  # statistics of one small picture may not exist
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value),
        setup.runtime.autocast(),
    ):
        # Outputs are held until the count is complete, so that no address is used twice.
        of_frames = setup.request.method.training_data == "frames"
        batch = (Frames if of_frames else Pair)(picture, picture)
        outputs = setup.phases.objective.outputs(setup.network, batch)
    total = sum(seen.values())
    del outputs
    return total
