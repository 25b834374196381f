"""Profiling: where the time of a training goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity
from torch.profiler import profile as watch_operators

from rainkit.training.data import Parts
from rainkit.training.run_config import TrainRequest
from rainkit.training.schedules import Plateau
from rainkit.training.setup import Setup

__all__ = ["Operator", "Profile", "profile"]

_WARM_UP, _OPERATOR_STEPS, _OPERATORS = 5, 3, 10


@dataclass(frozen=True, slots=True)
class Operator:
    """One kind of tensor operation, with its own time per step, without the operations it calls."""

    name: str
    milliseconds: float
    calls: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Result of a profile.

    Attributes:
        summary: method, size, machine and data in one line.
        steps: number of steps that each figure is a mean of.
        loading: steps per second with real loading.
        fixed: steps per second on one batch that is loaded already.
        parts: milliseconds of each part of a step; they add up to the whole step.
        operators: the most expensive operations.
    """

    summary: str
    steps: int
    loading: float
    fixed: float
    parts: dict[str, float]
    operators: tuple[Operator, ...]

    @property
    def ratio(self) -> float:
        """Pace with loading divided by pace without; 1 if loading costs nothing."""
        return self.loading / self.fixed

    def to_data(self) -> dict[str, Any]:
        """Return the profile as JSON-able data."""
        return asdict(self) | {"ratio": self.ratio}


def profile(request: TrainRequest, steps: int = 30) -> Profile:
    """Train for a moment, write nothing, and say what took how long.

    The pace with loading is measured between two measurements on a fixed batch.

    Raises:
        UsageError, WeightsError, TrainingError, ImageError: a training would raise it, too.
    """
    setup = Setup(request)
    clock = _Stopwatch(setup)
    with closing(setup.feed.steps(0, 1)) as few:
        fixed = next(iter(few))
    for _ in range(_WARM_UP):
        _step(setup, fixed, clock)
    before = _pace(setup, fixed, steps, clock)
    with closing(setup.feed.steps(0, _WARM_UP + steps)) as batches:
        for _ in range(_WARM_UP):
            _step(setup, next(batches), clock)
        clock.start()
        for _ in range(steps):
            with clock("waiting for data"):
                parts = next(batches)
            _step(setup, parts, clock)
        whole, found = clock.stop()
    after = _pace(setup, fixed, steps, clock)
    spent = {name: 1e3 * seconds / steps for name, seconds in found.items()}
    spent["everything else"] = max(0.0, 1e3 * whole / steps - sum(spent.values()))
    return Profile(
        summary=setup.describe(),
        steps=steps,
        loading=steps / whole,
        fixed=statistics.mean([before, after]),
        parts=spent,
        operators=_operators(setup, fixed, clock),
    )


class _Stopwatch:
    """Measures seconds by name; on CUDA it waits for the device."""

    def __init__(self, setup: Setup) -> None:
        self._device = setup.runtime.device
        self._seconds: dict[str, float] = {}
        self._started = 0.0
        setup.phases.timed = self

    def start(self) -> None:
        self._seconds = {}
        self._started = self._now()

    def stop(self) -> tuple[float, dict[str, float]]:
        return self._now() - self._started, self._seconds

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = self._now()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + self._now() - began

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _step(setup: Setup, parts: Parts, clock: _Stopwatch) -> None:
    # All phases are active at the end of a training, but not always at its beginning.
    last = setup.training.steps - 1
    setup.phases.step(parts, last, Plateau())
    if setup.average is not None:
        with clock("averaging weights"):
            setup.average.update(setup.network, step=last)


def _pace(setup: Setup, parts: Parts, steps: int, clock: _Stopwatch) -> float:
    clock.start()
    for _ in range(steps):
        _step(setup, parts, clock)
    return steps / clock.stop()[0]


def _operators(setup: Setup, parts: Parts, clock: _Stopwatch) -> tuple[Operator, ...]:
    cuda = setup.runtime.device.type == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with watch_operators(activities=kinds) as watched:
        for _ in range(_OPERATOR_STEPS):
            _step(setup, parts, clock)
    own = "self_device_time_total" if cuda else "self_cpu_time_total"
    events = sorted(watched.key_averages(), key=lambda e: getattr(e, own), reverse=True)
    return tuple(
        Operator(
            name=event.key,
            milliseconds=getattr(event, own) / 1e3 / _OPERATOR_STEPS,
            calls=event.count // _OPERATOR_STEPS,
        )
        for event in events[:_OPERATORS]
    )
