"""Why a training ends before its last step: it was told to, time is up, or nothing improves."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Reason", "Stop"]

Reason = Literal["signal", "time", "no gain"]

AGREE_EVERY = 10
"""Steps between the moments at which several processes agree to stop."""


class Stop:
    """Watches for Ctrl-C and SIGTERM, and for a deadline, while used as a context.

    The first signal lets the running step end, so that a checkpoint can be written; the second one
    acts as it does elsewhere.

    Args:
        accelerator: all processes stop at the same step.
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
        """Whether to stop after ``step`` steps, and why; alike in every process."""
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
