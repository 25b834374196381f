"""Learning rates: pure functions of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

from rainkit.api import Training

__all__ = ["Plateau", "at_floor", "ignored", "learning_rate"]

_SETTINGS: dict[str, frozenset[str]] = {
    "constant": frozenset(),
    "cosine": frozenset({"lr_floor"}),
    "plateau": frozenset({"lr_floor", "factor", "patience", "plateau_on", "stop_at_floor"}),
    "milestones": frozenset({"lr_floor", "factor", "milestones"}),
}
"""Settings that each schedule reads, beside ``lr`` and ``warmup_steps``, which all of them read."""


@dataclass(slots=True)
class Plateau:
    """Counts how often a value stopped falling. It is the only state of any schedule.

    The value is the mean loss of an epoch, or the negative PSNR of a validation.
    """

    best: float = math.inf
    waited: int = 0
    falls: int = 0

    def observe(self, value: float, patience: int) -> bool:
        """Count a fall of the rate if more than ``patience`` epochs brought no lower value.

        An improvement is at least 1e-4 of the best value, as in PyTorch's ReduceLROnPlateau.

        Args:
            value: value of the epoch that has ended.
            patience: number of epochs without improvement that are tolerated.

        Returns:
            Whether the rate falls.
        """
        margin = 1e-4 * abs(self.best) if math.isfinite(self.best) else 0.0
        if value < self.best - margin:
            self.best, self.waited = value, 0
            return False
        self.waited += 1
        if self.waited <= patience:
            return False
        self.falls, self.waited = self.falls + 1, 0
        return True


def at_floor(training: Training, plateau: Plateau) -> bool:
    """Return whether the rate of the plateau schedule has fallen to its floor."""
    return training.factor**plateau.falls <= training.lr_floor


def learning_rate(training: Training, step: int, plateau: Plateau) -> float:
    """Return the learning rate of a step.

    After the warm-up it never falls below ``lr_floor`` times ``lr``.

    Args:
        training: settings of the phase.
        step: number of optimiser steps done.
        plateau: state of the plateau schedule; other schedules do not read it.
    """
    if step < training.warmup_steps:
        return training.lr * (step + 1) / training.warmup_steps
    if training.schedule == "plateau":
        return training.lr * max(training.factor**plateau.falls, training.lr_floor)
    if training.schedule == "milestones":
        epoch = step / training.epoch_steps
        falls = sum(epoch >= milestone for milestone in training.milestones)
        return training.lr * max(training.factor**falls, training.lr_floor)
    if training.schedule == "cosine":
        done = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
        fall = (1 + math.cos(math.pi * min(1.0, done))) / 2
        return training.lr * (training.lr_floor + (1 - training.lr_floor) * fall)
    return training.lr


def ignored(training: Training, names: Iterable[str] | None = None) -> list[str]:
    """Return the settings that the chosen schedule does not read although they were changed.

    Args:
        training: settings of a training or of one of its phases.
        names: settings that were changed; None for all that differ from their defaults.
    """
    if names is None:
        fields = dataclasses.fields(Training)
        names = [f.name for f in fields if getattr(training, f.name) != f.default]
    of_schedules = frozenset().union(*_SETTINGS.values())
    return sorted(of_schedules.intersection(names) - _SETTINGS[training.schedule])
