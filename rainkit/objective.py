"""The torch side of the contract: what networks return and how plugins train them.

Plugins import this module inside ``network.py`` and ``objective.py`` only. The training loop drives
an objective; the objective never touches optimisers, devices, precision or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from rainkit.errors import MethodError

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
    """Raised by an objective if the training will not recover; gives the reason and the remedy."""


class Derained(NamedTuple):
    """A network's result: the clean picture [B,3,H,W] and the named parts (rain layer, mask...)."""

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


BatchT = TypeVar("BatchT", bound=Pair | Frames)


class Loss(NamedTuple):
    """One term: a scalar tensor and its weight in the phase's sum."""

    value: Tensor
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a training.

    Attributes:
        step: number of optimiser steps done.
        steps: number of optimiser steps of the whole training.
        epoch: number of epochs done, with fraction, of ``training.epoch_steps`` steps each.
    """

    step: int
    steps: int
    epoch: float

    @property
    def fraction(self) -> float:
        """Share of all steps that is done, from 0 to 1."""
        return self.step / self.steps


@dataclass(frozen=True, slots=True)
class Phase:
    """One optimiser: what it trains and how its settings differ from the run's ``Training``.

    Attributes:
        name: name in logs and checkpoints.
        trains: ``"network"``, or the name of a sub-module of the objective such as ``"critic"``.
        training: fields of :class:`rainkit.api.Training` that differ for this phase.
    """

    name: str
    trains: str = "network"
    training: Mapping[str, Any] = field(default_factory=dict)


class Objective(nn.Module, Generic[BatchT]):
    """Objective that a network is trained with, on batches of one type, such as ``Pair``.

    An objective with one phase implements :meth:`loss`. An objective with several phases sets
    ``phases``, holds its helper networks (such as a critic) as sub-modules, and implements
    :meth:`losses`. The phases are static: every optimiser exists from the first step on. They step
    in the given order; put critics first.
    """

    phases: tuple[Phase, ...] = (Phase("network"),)

    def active(self, progress: Progress) -> tuple[str, ...]:
        """Return the names of the phases that step now; a warm-up leaves some out."""
        return tuple(phase.name for phase in self.phases)

    def outputs(self, network: nn.Module, batch: BatchT) -> Derained:
        """Do the one forward pass of a step: a second would update BatchNorm's statistics twice.

        The result holds one picture for each of ``batch[0]``, or of ``Frames`` one for each first
        frame and then one for each second one, so that a teacher can derain the same pictures.
        """
        answer: Derained = network(batch[0])
        return answer

    def loss(self, outputs: Derained, batch: BatchT, progress: Progress) -> Mapping[str, Loss]:
        """Return the named terms of the only phase; the loop minimises their weighted sum.

        Raises:
            DivergedError: the training will not recover; the loop stops it.
        """
        raise MethodError(
            f"{type(self).__module__}.{type(self).__name__} has no loss: implement "
            "loss(outputs, batch, progress), or losses(phase, outputs, batch, progress) if it has "
            "several phases"
        )

    def losses(
        self, phase: str, outputs: Derained, batch: BatchT, progress: Progress
    ) -> Mapping[str, Loss]:
        """Return the named terms of one phase; the loop minimises their weighted sum.

        For a phase that does not train the network, ``outputs`` are detached.

        Raises:
            DivergedError: the training will not recover; the loop stops it.
        """
        return self.loss(outputs, batch, progress)


def weighted_sum(losses: Mapping[str, Loss]) -> Tensor:
    """Return the scalar that a phase minimises.

    Raises:
        MethodError: there is no loss.
    """
    if not losses:
        raise MethodError(
            "the objective has no loss, since all of its weights are 0: there is nothing to train"
        )
    return torch.stack([loss.value.float() * loss.weight for loss in losses.values()]).sum()
