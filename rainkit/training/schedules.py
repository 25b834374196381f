"""Learning rates: pure functions of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rainkit.api import Training

__all__ = ["Plateau", "learning_rate"]


@dataclass(slots=True)
class Plateau:
    """Counts how often the loss stopped improving; the one schedule that must remember."""

    best: float = math.inf
    waited: int = 0
    falls: int = 0

    def observe(self, loss: float, patience: int) -> None:
        """Take in the mean loss of an epoch; ``patience`` epochs without a better one are a fall.

        An improvement is at least 1e-4 of the best, as PyTorch's ReduceLROnPlateau has it.
        """
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > patience:
            self.falls, self.waited = self.falls + 1, 0


def learning_rate(training: Training, step: int, plateau: Plateau) -> float:
    """The learning rate of a step (0-based).

    Args:
        training: the phase's settings.
        step: optimiser steps done.
        plateau: its ``falls`` matter for the plateau schedule alone.
    """
    if step < training.warmup_steps:
        return training.lr * (step + 1) / training.warmup_steps
    if training.schedule == "plateau":
        return training.lr * training.factor**plateau.falls
    if training.schedule == "milestones":
        epoch = step / training.epoch_steps
        return training.lr * training.factor ** sum(epoch >= m for m in training.milestones)
    if training.schedule == "cosine":
        done = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
        fall = (1 + math.cos(math.pi * min(1.0, done))) / 2
        return training.lr * (training.lr_floor + (1 - training.lr_floor) * fall)
    return training.lr
