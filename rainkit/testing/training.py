"""Tests of how a method is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from rainkit import networks, plugins
from rainkit.api import Hyperparameters, ImageSpec, Training
from rainkit.objective import (
    Derained,
    Frames,
    Loss,
    Objective,
    Pair,
    Phase,
    Progress,
    weighted_sum,
)
from rainkit.testing.shared import Contract, picture_of, seeded, side_of, streaks_of
from rainkit.training.schedules import ignored

__all__ = ["Learning"]

STEPS, LOWER = 12, 3
"""Most steps of a short training, and losses in succession that must be lower than the first."""


class Learning(Contract):
    """Tests of the objective, which is driven as the training loop drives it."""

    def test_phases_are_well_formed(self, objective_variant: str) -> None:
        """Phases have unique names, existing modules and valid settings, and none is idle."""
        objective, values = self._objective(objective_variant)
        names = [phase.name for phase in objective.phases]
        assert len(set(names)) == len(names), f"phases share a name: {names}"
        trains = [phase.trains for phase in objective.phases]
        assert "network" in trains, f"no phase trains the network: {trains}"
        several = len(objective.phases) > 1
        assert not several or type(objective).losses is not Objective.losses, (
            f"phases {', '.join(names)} share one loss(): implement losses(phase, ...) instead"
        )
        own = {field.name for field in dataclasses.fields(Training)}
        modules = dict(objective.named_modules())
        for phase in objective.phases:
            strange = set(phase.training) - own
            assert not strange, f"phase {phase.name} sets {strange}: Training has no such field"
            unread = ignored(dataclasses.replace(values.training, **phase.training), phase.training)
            assert not unread, (
                f"phase {phase.name} sets {', '.join(unread)}, which its schedule ignores"
            )
            there = phase.trains == "network" or phase.trains in modules
            assert there, (
                f"phase {phase.name} trains {phase.trains}: the objective has no such module"
            )
            moments = _moments(objective, phase, values.training)
            assert moments, f"phase {phase.name} is never active"
        idle = [
            name
            for name, parameter in objective.named_parameters()
            if parameter.requires_grad and not any(_inside(name, target) for target in trains)
        ]
        assert not idle, f"no phase trains {idle[:3]}: add a phase, or requires_grad_(False)"

    def test_every_parameter_learns_and_none_leaks(self, objective_variant: str) -> None:
        """Each phase gives every parameter that it trains a finite gradient, and others none."""
        network, objective, values = self._pair(objective_variant)
        batch = self._batch(self.spec_of(objective_variant))
        outputs = networks.checked(network, objective.outputs(network, batch))
        spent = False  # whether the gradients of the outputs were computed
        for phase in objective.phases:
            own = _parameters(network, objective, phase)
            known: dict[str, tuple[float, float]] | None = None
            # A term may join late, such as an adversarial one after a warm-up.
            for progress in _moments(objective, phase, values.training):
                losses = _losses(objective, phase, outputs, batch, progress)
                terms = {name: (loss.weight, loss.value.item()) for name, loss in losses.items()}
                if terms == known:
                    continue  # The gradients are those of the moment before.
                known = terms
                if spent and phase.trains == "network":
                    outputs = networks.checked(network, objective.outputs(network, batch))
                    losses = _losses(objective, phase, outputs, batch, progress)
                weighted_sum(losses).backward()  # type: ignore[no-untyped-call]
                spent = spent or phase.trains == "network"
                where = f"phase {phase.name} at step {progress.step}"
                for name, parameter in own.items():
                    gradient = parameter.grad
                    assert gradient is not None, f"{where} gives {name} no gradient"
                    assert gradient.isfinite().all(), f"{where}: gradient of {name} is nan"
                if phase.trains != "network":
                    leaks = [n for n, p in network.named_parameters() if p.grad is not None]
                    assert not leaks, (
                        f"{where} puts gradients into the network ({leaks[0]}): "
                        "use the detached outputs it is given"
                    )
                network.zero_grad()
                objective.zero_grad()

    def test_training_lowers_the_loss(self, training_variant: str) -> None:
        """A few steps on one fixed batch lower the loss, and it stays lower for some steps.

        Each distinct pair of objective and training settings is run, with the first of the networks
        that have it.
        """
        network, objective, values = self._pair(training_variant)
        batch = self._batch(self.spec_of(training_variant))
        phase = next(phase for phase in objective.phases if phase.trains == "network")
        progress = _moments(objective, phase, values.training)[0]
        own = [p for p in network.parameters() if p.requires_grad]
        rate = dataclasses.replace(values.training, **phase.training).lr
        optimiser = torch.optim.Adam(own, lr=rate, fused=True)
        losses: list[float] = []
        while True:
            outputs = networks.checked(network, objective.outputs(network, batch))
            loss = weighted_sum(_losses(objective, phase, outputs, batch, progress))
            losses.append(loss.item())
            if len(losses) > LOWER and max(losses[-LOWER:]) < losses[0]:
                break
            assert len(losses) <= STEPS, (
                f"{STEPS} steps at lr {rate:g} take the loss from {losses[0]:.4g} to "
                f"{losses[-1]:.4g}, and it is never lower than at first {LOWER} times in succession"
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def _pair(self, variant: str) -> tuple[nn.Module, Objective[Any], Hyperparameters[Any, Any]]:
        objective, values = self._objective(variant)
        return seeded(self.described(), values.network, 0).train(), objective, values

    def _objective(self, variant: str) -> tuple[Objective[Any], Hyperparameters[Any, Any]]:
        method = self.described()
        if method.objective is None:
            pytest.skip("Method.objective is None: rainkit does not train the method")
        values = method.variants[variant]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            objective = plugins.resolve(method.objective)(values.objective)
        assert isinstance(objective, Objective), (
            f"{method.objective} gives a {type(objective).__name__}, not a rainkit Objective"
        )
        return objective.train(), values

    def _batch(self, spec: ImageSpec) -> Pair | Frames:
        side = side_of(spec)
        clean, rain = picture_of(2, side, side), streaks_of(2, side)
        rainy = (clean + rain).clamp(0, 1)
        if self.described().training_data == "pairs":
            return Pair(rainy, clean)
        return Frames(rainy, (clean + rain.roll(5, dims=-1)).clamp(0, 1))


def _moments(objective: Objective[Any], phase: Phase, training: Training) -> list[Progress]:
    """Return the first and the last of a hundred moments of a training at which a phase steps."""
    steps = [min(training.steps * part // 100, training.steps - 1) for part in range(101)]
    moments = [Progress(step, training.steps, step / training.epoch_steps) for step in steps]
    active = [moment for moment in moments if phase.name in objective.active(moment)]
    return active if len(active) < 2 else [active[0], active[-1]]


def _losses(
    objective: Objective[Any],
    phase: Phase,
    outputs: Derained,
    batch: Pair | Frames,
    progress: Progress,
) -> Mapping[str, Loss]:
    """Return what a phase minimises, scalars, with outputs detached as the loop does it."""
    if phase.trains != "network":
        outputs = Derained(
            outputs.image.detach(), {name: part.detach() for name, part in outputs.parts.items()}
        )
    losses = objective.losses(phase.name, outputs, batch, progress)
    assert losses, f"phase {phase.name} gives no loss at step {progress.step}"
    for name, loss in losses.items():
        assert loss.value.ndim == 0, f"loss {name} is {tuple(loss.value.shape)}: give a scalar"
        value = float(loss.value.detach())
        assert math.isfinite(value), f"loss {name} is {value}"
    return losses


def _parameters(
    network: nn.Module, objective: Objective[Any], phase: Phase
) -> dict[str, nn.Parameter]:
    module = network if phase.trains == "network" else objective.get_submodule(phase.trains)
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _inside(name: str, module: str) -> bool:
    return name.startswith(f"{module}.")
