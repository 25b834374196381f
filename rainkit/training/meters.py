"""Small measurements of a run: a mean over steps, steps per second, and memory."""

from __future__ import annotations

import math
import time
from typing import Self

import psutil
import torch
from torch import Tensor

__all__ = ["Clock", "Mean", "memory_mib"]


class Mean:
    """Mean of scalar tensors without waiting for the device at every step."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0

    @classmethod
    def of(cls, total: Tensor, count: int) -> Self:
        """The mean of ``count`` values whose sum is ``total``."""
        mean = cls()
        mean._sum, mean._count = (total, count) if count else (None, 0)
        return mean

    def parts(self) -> tuple[float, int]:
        """Sum and count; exact, so that :meth:`of` goes on with the same bits."""
        return 0.0 if self._sum is None else float(self._sum), self._count

    def add(self, value: Tensor) -> None:
        """Take in one value."""
        self._sum = value if self._sum is None else self._sum + value
        self._count += 1

    @property
    def known(self) -> bool:
        """Whether anything was added."""
        return self._count > 0

    def tensor(self, device: torch.device) -> Tensor:
        """The mean on a device, for processes to compare."""
        return torch.tensor(self.value(), device=device)

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


def memory_mib(device: torch.device) -> float:
    """Peak memory of tensors on CUDA, else what this process holds, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    held: int = psutil.Process().memory_info().rss
    return held / 2**20
