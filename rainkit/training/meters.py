"""Small measurements of a run: a mean over steps, and steps per second."""

from __future__ import annotations

import math
import time

from torch import Tensor

__all__ = ["Clock", "Mean"]


class Mean:
    """Mean of scalar tensors without waiting for the device at every step."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, value: Tensor) -> None:
        """Take in one value."""
        self._sum = value if self._sum is None else self._sum + value
        self._count += 1

    @property
    def known(self) -> bool:
        """Whether anything was added."""
        return self._count > 0

    def value(self) -> float:
        """The mean so far; NaN without values."""
        return math.nan if self._sum is None else float(self._sum) / self._count


class Clock:
    """Steps per second since the last question."""

    def __init__(self, step: int) -> None:
        self._then, self._step = time.monotonic(), step

    def rate(self, step: int) -> float:
        """Steps per second since the last call, at ``step``."""
        now = time.monotonic()
        pace = (step - self._step) / (now - self._then)
        self._then, self._step = now, step
        return pace
