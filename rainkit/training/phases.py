"""One training step: every active phase of an objective, each with its own optimiser."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from rainkit import networks
from rainkit.api import Training
from rainkit.errors import MethodError
from rainkit.losses import ssim
from rainkit.objective import Derained, Loss, Objective, Pair, Phase, Progress, weighted_sum
from rainkit.precision import Runtime
from rainkit.training.distillation import Teacher
from rainkit.training.schedules import Plateau, learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["Phases", "build_optimiser"]


class Phases:
    """A network, its objective and one optimiser per phase.

    Batch statistics, SSIM and means over the batch are computed for each process's share of the
    batch, and for each part of that share if ``training.accumulate`` splits it.

    If there is a teacher, the network's loss has one more term, ``teacher``: the mean absolute
    difference between the network's picture and the teacher's. If ``training.dry_weight`` is not 0,
    it has the term ``dry``: the mean absolute error over the pixels without rain, which keeps white
    white and scenes without rain as they are. If ``training.ssim_weight`` is not 0, it has the term
    ``dissimilarity``: 1 - SSIM of the picture and the clean one.

    Attributes:
        timed: called with the name of each part of a step; returns a context that surrounds it.
        seen: called with a phase's name before its optimiser steps, while its gradients exist.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective[Any],
        training: Training,
        runtime: Runtime,
        accelerator: Accelerator,
        seed: int,
        teacher: Teacher | None = None,
    ) -> None:
        self.network = network
        self.objective = objective
        self._training = training
        self._runtime = runtime
        self._accelerator = accelerator
        fp16 = runtime.precision == "fp16"
        self._scaler = torch.amp.GradScaler(runtime.device.type) if fp16 else None
        self._seed = seed
        self._teacher = teacher
        self.timed: Callable[[str], AbstractContextManager[Any]] = lambda _: nullcontext()
        self.seen: Callable[[str], None] | None = None
        self._still = _fully_frozen(network)
        if training.freeze_statistics:
            self._still += networks.keeping_statistics(network)
        _refuse_shared(network, objective)
        # Parameters that a plugin froze on purpose stay frozen.
        self._own = {
            phase.name: [p for p in self._module(phase).parameters() if p.requires_grad]
            for phase in objective.phases
        }
        self._optimisers = {
            phase.name: build_optimiser(
                self._settings(phase), self._module(phase), self._own[phase.name]
            )
            for phase in objective.phases
        }

    @property
    def main(self) -> str:
        """Name in the log of the network's loss, by which plateaus are judged."""
        return f"{self._network_phase.name}/total"

    @property
    def _network_phase(self) -> Phase:
        return next(phase for phase in self.objective.phases if phase.trains == "network")

    def step(
        self, parts: Sequence[Any], step: int, plateau: Plateau
    ) -> tuple[dict[str, Tensor], Rates]:
        """Train on one batch: critics first, on detached outputs, then the network.

        Args:
            parts: the batch, whole or in equal parts whose gradients are added up. Critics judge
                all but the last part as they were before the step.
            step: number of optimiser steps done.
            plateau: state of the plateau schedule.

        Returns:
            Losses by ``<phase>/<term>``, which are means over the parts, detached and on the
            device; and the learning rates and the weights of losses that are not 1.

        Raises:
            MethodError: the network does not return a Derained.
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
                self._runtime.autocast(),
            ):
                outputs = networks.checked(self.network, self.objective.outputs(self.network, part))
            target = None
            if self._teacher is not None and self._network_phase in stepping:
                with self.timed("teacher"):
                    target = self._teacher.targets(part, outputs.image)
            for phase in stepping:
                own = phase.trains == "network"
                seen = outputs if own else _detached(outputs)
                with self.timed(f"{phase.name}: losses"):
                    with self._only(phase), self._runtime.autocast():
                        losses = self.objective.losses(phase.name, seen, part, progress)
                        if own and target is not None:
                            off = (outputs.image.float() - target).abs().mean()
                            losses = {**losses, "teacher": Loss(off, self._training.distill_weight)}
                        if own and self._training.dry_weight:
                            off = _dry_error(outputs.image.float(), part)
                            losses = {**losses, "dry": Loss(off, self._training.dry_weight)}
                        if own and self._training.ssim_weight:
                            off = 1 - ssim(outputs.image, part.clean).mean()
                            weight = self._training.ssim_weight
                            losses = {**losses, "dissimilarity": Loss(off, weight)}
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
        """Return the factor of float16 losses, if there is one; this waits for the device."""
        return {} if self._scaler is None else {"loss scale": self._scaler.get_scale()}

    def gradients(self, phase: str) -> dict[str, Tensor]:
        """Return the gradients that a phase has at present, by the names of its parameters."""
        module = self._module(next(p for p in self.objective.phases if p.name == phase))
        named = module.named_parameters()
        return {f"{phase}/{name}": p.grad for name, p in named if p.grad is not None}

    def state(self) -> dict[str, Any]:
        """Return the state of optimisers and helper networks, for a checkpoint."""
        optimisers = {name: o.state_dict() for name, o in self._optimisers.items()}
        state = {"objective": self.objective.state_dict(), "optimisers": optimisers}
        return state if self._scaler is None else {**state, "scaler": self._scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.objective.load_state_dict(state["objective"])
        for name, optimiser in self._optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        if self._scaler is not None and "scaler" in state:
            self._scaler.load_state_dict(state["scaler"])

    def _backward(self, total: Tensor) -> None:
        if total.requires_grad:  # a loss may have no graph on this process, or in a warm-up
            (total if self._scaler is None else self._scaler.scale(total)).backward()  # type: ignore[no-untyped-call]

    def _descend(self, phase: Phase, step: int, plateau: Plateau) -> float:
        """Do one optimiser step of a phase and return its learning rate."""
        training = self._settings(phase)
        optimiser, own = self._optimisers[phase.name], self._own[phase.name]
        rate = learning_rate(training, step, plateau)
        for group in optimiser.param_groups:
            group["lr"] = rate
        self._average_gradients(own)
        if training.clip_norm:
            if self._scaler is not None:
                self._scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(own, training.clip_norm)
        if self.seen is not None:
            self.seen(phase.name)
        if self._scaler is None:
            optimiser.step()
        else:
            self._scaler.step(optimiser)
            self._scaler.update()
        optimiser.zero_grad()
        return rate

    def _average_gradients(self, own: list[nn.Parameter]) -> None:
        """All-reduce one phase's gradients as one flat tensor, with missing ones as zeros.

        DDP would miss parameters that the objective holds, and would hang if the loss of one
        process had no graph.
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
        """Let only the phase's own parameters collect gradients.

        Otherwise the generator's step would leave gradients in the critic.
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


def _dry_error(image: Tensor, pair: Pair) -> Tensor:
    """Return the mean absolute error [] over the pixels whose rainy and clean values agree."""
    off = (pair.rainy - pair.clean).abs().amax(dim=1, keepdim=True)
    dry = (off <= _DRY).to(image.dtype)
    return ((image - pair.clean).abs().mean(dim=1, keepdim=True) * dry).sum() / dry.sum().clamp_(1)


_DRY = 2.5 / 255
"""Largest difference of a dry pixel: two grey levels, and half of one for rounding."""


def _refuse_shared(network: nn.Module, objective: Objective[Any]) -> None:
    """Refuse phases that train one module: they would undo each other's gradients."""
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


def build_optimiser(
    training: Training, module: nn.Module, own: list[nn.Parameter]
) -> torch.optim.Optimizer:
    """Return the optimiser of a module's own parameters; its biases and vectors do not decay.

    Muon makes the momentum of each kernel, as a matrix of (out, in * height * width), orthogonal
    before it steps, and scales the step as Adam's would be, so that a rate for Adam suits it (Liu
    et al., Muon is scalable for LLM training, 2025, section 2.2). Vectors, and kernels of less than
    four rows, step by Adam with Nesterov's momentum.
    """
    decay, groups = training.weight_decay, cast("Any", own)
    if decay:
        from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

        groups = param_groups_weight_decay(module, decay)
    if training.optimiser == "rmsprop":
        return torch.optim.RMSprop(groups, training.lr, alpha=training.beta2, weight_decay=decay)
    if training.optimiser == "muon":
        from timm.optim import Muon  # type: ignore[attr-defined]

        betas = training.beta1, training.beta2
        return Muon(
            groups,
            training.lr,
            weight_decay=decay,
            betas=betas,
            nesterov=True,
            adjust_lr_fn="match_rms_adamw",
        )
    kind = torch.optim.AdamW if training.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, training.lr, (training.beta1, training.beta2), weight_decay=decay)


def _detached(outputs: Derained) -> Derained:
    parts = {name: part.detach() for name, part in outputs.parts.items()}
    return Derained(outputs.image.detach(), parts)


def _named(
    phase: Phase, losses: Mapping[str, Loss], total: Tensor, parts: int
) -> dict[str, Tensor]:
    terms = {f"{phase.name}/{name}": loss.value.detach() / parts for name, loss in losses.items()}
    return {**terms, f"{phase.name}/total": total.detach()}


def _weights(phase: Phase, losses: Mapping[str, Loss]) -> Rates:
    """Return the weights of terms that are not 1; those of adversarial terms may change."""
    weights = {f"{phase.name}/{name}/weight": float(loss.weight) for name, loss in losses.items()}
    return {name: weight for name, weight in weights.items() if weight != 1}


def _fully_frozen(network: nn.Module) -> list[nn.Module]:
    """Return the modules that hold parameters of which none is trained."""
    return [
        module
        for module in network.modules()
        if (own := list(module.parameters())) and not any(p.requires_grad for p in own)
    ]
