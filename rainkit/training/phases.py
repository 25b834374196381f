"""One training step: every active phase of an objective, each with its own optimiser."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rainkit.api import Training
from rainkit.errors import MethodError
from rainkit.objective import Derained, Loss, Objective, Phase, Progress, weighted_sum
from rainkit.training.schedules import Plateau, learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Phases"]


class Phases:
    """A network, its objective and one optimiser per phase.

    Batch statistics, SSIM and means over the batch are those of each process's share, and of each
    part of it where ``training.accumulate`` splits it.

    Attributes:
        timed: called with the name of a part of a step; what it gives surrounds that part.
        seen: called with a phase's name before its optimiser steps, while its gradients are there.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        training: Training,
        accelerator: Accelerator,
        seed: int,
    ) -> None:
        self.network = network
        self.objective = objective
        self._training = training
        self._accelerator = accelerator
        self._seed = seed
        self.timed: Callable[[str], AbstractContextManager[Any]] = lambda _: nullcontext()
        self.seen: Callable[[str], None] | None = None
        self._still = _fully_frozen(network)
        _refuse_shared(network, objective)
        # What a plugin froze on purpose stays frozen.
        self._own = {
            phase.name: [p for p in self._module(phase).parameters() if p.requires_grad]
            for phase in objective.phases
        }
        self._optimisers = {
            phase.name: accelerator.prepare_optimizer(
                _optimiser(self._settings(phase), self._own[phase.name])
            )
            for phase in objective.phases
        }

    @property
    def main(self) -> str:
        """The log's name of the loss that plateaus are judged by: the network's."""
        return f"{self._network_phase.name}/total"

    @property
    def _network_phase(self) -> Phase:
        return next(phase for phase in self.objective.phases if phase.trains == "network")

    def step(
        self, parts: Sequence[Any], step: int, plateau: Plateau
    ) -> tuple[dict[str, Tensor], Rates]:
        """Train on one batch: critics first, on detached outputs, then the network.

        Args:
            parts: the batch, whole or in equal parts whose gradients are added up. The network's
                loss of all but the last part is judged by critics as they were before the step.
            step: optimiser steps done.
            plateau: for the schedule of that name.

        Returns:
            Losses by ``<phase>/<term>``, means over the parts, detached and on the device; and
            learning rates and the weights of losses that are not 1.
        """
        progress = Progress(step, self._training.steps, step / self._training.epoch_steps)
        # A layer that draws random numbers draws the same ones again after a resume.
        torch.manual_seed(hash((self._seed, step, self._accelerator.process_index)) % 2**63)
        self.network.train()
        for module in self._still:
            module.eval()  # its running statistics stay, too
        self.objective.train()
        active = self.objective.active(progress)
        stepping = [phase for phase in self.objective.phases if phase.name in active]
        shown: dict[str, Tensor] = {}
        rates: Rates = {}
        for place, part in enumerate(parts):
            with (
                self.timed("forward"),
                self._only(self._network_phase),
                self._accelerator.autocast(),
            ):
                outputs = self.objective.outputs(self.network, part)
            for phase in stepping:
                seen = outputs if phase.trains == "network" else _detached(outputs)
                with self.timed(f"{phase.name}: losses"):
                    with self._only(phase), self._accelerator.autocast():
                        losses = self.objective.losses(phase.name, seen, part, progress)
                    total = weighted_sum(losses)
                with self.timed(f"{phase.name}: backward"):
                    self._backward(total / len(parts))
                for name, value in _named(phase, losses, total / len(parts), len(parts)).items():
                    shown[name] = shown[name] + value if name in shown else value
                if place == len(parts) - 1:
                    with self.timed(f"{phase.name}: optimiser"):
                        rates[f"{phase.name}/lr"] = self._descend(phase, step, plateau)
                    rates |= _weights(phase, losses)
        return shown, rates

    def loss_scale(self) -> Rates:
        """What float16 losses are multiplied by, where they are; asking waits for the device."""
        scaler = self._accelerator.scaler
        return {} if scaler is None else {"loss scale": scaler.get_scale()}

    def gradients(self, phase: str) -> dict[str, Tensor]:
        """The gradients that a phase has at present, by the names of its parameters."""
        module = self._module(next(p for p in self.objective.phases if p.name == phase))
        named = module.named_parameters()
        return {f"{phase}/{name}": p.grad for name, p in named if p.grad is not None}

    def state(self) -> dict[str, Any]:
        """Optimisers and helper networks, for a checkpoint."""
        optimisers = {name: o.optimizer.state_dict() for name, o in self._optimisers.items()}
        state = {"objective": self.objective.state_dict(), "optimisers": optimisers}
        scaler = self._accelerator.scaler
        return state if scaler is None else {**state, "scaler": scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take in what :meth:`state` gave."""
        self.objective.load_state_dict(state["objective"])
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        if self._accelerator.scaler is not None and "scaler" in state:
            self._accelerator.scaler.load_state_dict(state["scaler"])

    def _backward(self, total: Tensor) -> None:
        if total.requires_grad:  # a loss may have no graph on this process, or in a warm-up
            self._accelerator.backward(total)

    def _descend(self, phase: Phase, step: int, plateau: Plateau) -> float:
        """One optimiser step of a phase, along its gradients; returns its learning rate."""
        training = self._settings(phase)
        optimiser, own = self._optimisers[phase.name], self._own[phase.name]
        rate = learning_rate(training, step, plateau)
        for group in optimiser.param_groups:
            group["lr"] = rate
        self._average_gradients(own)
        if training.clip_norm:
            self._accelerator.unscale_gradients(optimiser)
            nn.utils.clip_grad_norm_(own, training.clip_norm)
        if self.seen is not None:
            self.seen(phase.name)
        optimiser.step()
        optimiser.zero_grad()
        return rate

    def _average_gradients(self, own: list[nn.Parameter]) -> None:
        """All-reduce one phase's gradients as one flat tensor, missing ones as zeros.

        Wrapping in DDP would miss parameters held by the objective, and hangs when the loss of one
        process has no graph.
        """
        if self._accelerator.num_processes == 1:
            return
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in own]
        )
        flat = self._accelerator.reduce(flat, reduction="mean")
        parts = flat.split([p.numel() for p in own])
        for parameter, part in zip(own, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    @contextmanager
    def _only(self, phase: Phase) -> Iterator[None]:
        """Only the phase's own parameters collect gradients.

        Otherwise the generator's step would leave some in the critic.
        """
        others = [p for name, own in self._own.items() if name != phase.name for p in own]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _module(self, phase: Phase) -> nn.Module:
        helper = phase.trains != "network"
        return self.objective.get_submodule(phase.trains) if helper else self.network

    def _settings(self, phase: Phase) -> Training:
        return dataclasses.replace(self._training, **phase.training)


def _refuse_shared(network: nn.Module, objective: Objective) -> None:
    """Two phases that train one module would undo each other's gradients."""
    trained = [
        objective.get_submodule(p.trains) if p.trains != "network" else network
        for p in objective.phases
    ]
    seen: set[int] = set()
    for module in trained:
        own = {id(parameter) for parameter in module.parameters()}
        if seen & own:
            names = ", ".join(phase.trains for phase in objective.phases)
            raise MethodError(f"phases of {type(objective).__name__} train one module: {names}")
        seen |= own


Rates = dict[str, float]
"""Learning rates by ``<phase>/lr``, and other numbers that the loop sets."""


def _optimiser(training: Training, own: list[nn.Parameter]) -> torch.optim.Optimizer:
    decay = training.weight_decay
    if training.optimiser == "rmsprop":
        return torch.optim.RMSprop(own, training.lr, alpha=training.beta2, weight_decay=decay)
    kind = torch.optim.AdamW if training.optimiser == "adamw" else torch.optim.Adam
    return kind(own, training.lr, (training.beta1, training.beta2), weight_decay=decay)


def _detached(outputs: Derained) -> Derained:
    parts = {name: part.detach() for name, part in outputs.parts.items()}
    return Derained(outputs.image.detach(), parts)


def _named(phase: Phase, losses: dict[str, Loss], total: Tensor, parts: int) -> dict[str, Tensor]:
    terms = {f"{phase.name}/{name}": loss.value.detach() / parts for name, loss in losses.items()}
    return {**terms, f"{phase.name}/total": total.detach()}


def _weights(phase: Phase, losses: dict[str, Loss]) -> Rates:
    """How much each term counts, where that is not 1; of adversarial terms it may change."""
    weights = {f"{phase.name}/{name}/weight": float(loss.weight) for name, loss in losses.items()}
    return {name: weight for name, weight in weights.items() if weight != 1}


def _fully_frozen(network: nn.Module) -> list[nn.Module]:
    """Modules that hold parameters, none of which is trained."""
    return [
        module
        for module in network.modules()
        if (own := list(module.parameters())) and not any(p.requires_grad for p in own)
    ]
