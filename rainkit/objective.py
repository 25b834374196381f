"""What plugins learn with: the torch side of the contract.

Plugins import this inside ``network.py`` and ``objective.py`` only. The training loop drives an
objective; the objective never touches optimisers, devices, precision or files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = [
    "Derained",
    "DivergedError",
    "Frames",
    "Loss",
    "Objective",
    "Pair",
    "Phase",
    "Progress",
    "weighted_sum",
]


class DivergedError(Exception):
    """Raised by an objective when the training will not recover; says why, and the remedy."""


class Derained(NamedTuple):
    """A network's answer: the clean picture [B,3,H,W] and named parts (rain layer, mask...)."""

    image: Tensor
    parts: dict[str, Tensor]


class Pair(NamedTuple):
    """A supervised batch: rainy and clean pictures, both [B,3,H,W] in [0,1]."""

    rainy: Tensor
    clean: Tensor


class Frames(NamedTuple):
    """A time-lapse batch: two different frames of each static scene, both [B,3,H,W] in [0,1]."""

    first: Tensor
    second: Tensor


class Loss(NamedTuple):
    """One term: a scalar tensor and its weight in the phase's sum."""

    value: Tensor
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training stands. ``epoch`` counts ``training.epoch_steps``, with fraction."""

    step: int
    steps: int
    epoch: float

    @property
    def fraction(self) -> float:
        """Done share of all steps, 0 to 1."""
        return self.step / self.steps


@dataclass(frozen=True, slots=True)
class Phase:
    """One optimiser: what it trains and how that differs from the run's ``Training``.

    Attributes:
        name: appears in logs and checkpoints.
        trains: ``"network"``, or the name of a sub-module of the objective (``"critic"``).
        training: fields of :class:`rainkit.api.Training` that differ for this phase.
    """

    name: str
    trains: str = "network"
    training: Mapping[str, Any] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """How a network is trained; owns helper networks such as a critic.

    Subclasses set ``phases`` (static: every optimiser exists from the first step on, in the order
    in which they step; critics first) and implement :meth:`losses`.
    """

    phases: tuple[Phase, ...] = (Phase("network"),)

    def active(self, progress: Progress) -> tuple[str, ...]:
        """Names of the phases that step now; warm-ups leave some out."""
        return tuple(phase.name for phase in self.phases)

    def outputs(self, network: nn.Module, batch: Any) -> Derained:
        """The one forward pass of a step: a second would update BatchNorm statistics twice."""
        answer: Derained = network(batch[0])
        return answer

    @abstractmethod
    def losses(
        self, phase: str, outputs: Derained, batch: Any, progress: Progress
    ) -> dict[str, Loss]:
        """Named terms of one phase; the loop minimises their weighted sum.

        For a phase that does not train the network, ``outputs`` come detached.

        Raises:
            DivergedError: the training will not recover; the loop stops it.
        """


def weighted_sum(losses: Mapping[str, Loss]) -> Tensor:
    """The scalar a phase minimises."""
    return torch.stack([loss.value.float() * loss.weight for loss in losses.values()]).sum()
