"""A training that ends in a given time: how many steps fit is measured before the first one."""

from __future__ import annotations

import dataclasses
import re
import time
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import torch

from rainkit.errors import UsageError
from rainkit.objective import DivergedError, Progress
from rainkit.training.request import TrainRequest
from rainkit.training.schedules import Plateau
from rainkit.training.setup import Setup

__all__ = ["Fit", "fit", "parse_time"]

MARGIN = 0.95
"""Share of the time that is planned for; the rest is for what was not measured."""

_WARM_UP, _STEPS, _LONGEST = 3, 20, 20.0
"""Steps that are not timed, most that are, and seconds after which two will do."""

_PICTURES = 4
"""Pictures of each validation set that are timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What was found.

    Attributes:
        request: the request with its steps fixed.
        step_seconds: the longest of a step.
        validation_seconds: of a validation of all sets.
        seconds: what the measuring took.
    """

    request: TrainRequest
    step_seconds: float
    validation_seconds: float
    seconds: float

    def line(self) -> str:
        """For the log."""
        steps = self.request.hyperparameters.training.steps
        return (
            f"{steps} steps fit: {self.step_seconds:.3g} s each, "
            f"{self.validation_seconds:.3g} s a validation"
        )


def parse_time(text: str) -> float:
    """``90m``, ``1h30m``, ``45s`` or ``2h`` in seconds.

    Raises:
        UsageError: anything else, or no time at all.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if not total:
        raise UsageError(f"--max-time {text}: write a time such as 90m, 1h30m or 45s")
    return float(total)


def fit(request: TrainRequest, seconds: float) -> Fit:
    """Fix the steps of a training such that it ends, validated and saved, within ``seconds``.

    Steps at the beginning and at the end of the training are timed, where other phases are active
    then; what they change is thrown away.

    Raises:
        UsageError: not even one step fits, or what :class:`Setup` raises.
    """
    from accelerate.utils import broadcast_object_list

    began = time.monotonic()
    setup = Setup(request)
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
        every = training.epoch_steps * request.validate_every
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
    hyperparameters = dataclasses.replace(
        request.hyperparameters, training=dataclasses.replace(training, steps=agreed[0])
    )
    return Fit(
        request=dataclasses.replace(request, hyperparameters=hyperparameters),
        step_seconds=max(early, late),
        validation_seconds=validation,
        seconds=time.monotonic() - began,
    )


def _active(setup: Setup, step: int, steps: int) -> tuple[str, ...]:
    progress = Progress(step, steps, step / setup.training.epoch_steps)
    return setup.phases.objective.active(progress)


def _step_seconds(setup: Setup, step: int) -> float:
    """Mean time of a step like step number ``step``, loading included."""
    began = started = time.monotonic()
    done = 0
    for done, parts in enumerate(setup.feed.steps(0, _WARM_UP + _STEPS), 1):
        try:
            setup.phases.step(parts, step, Plateau())
        except DivergedError:
            break  # it judges a training that has come as far as this step
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
