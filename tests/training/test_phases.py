"""One step of objectives that plugins may write, on networks of a few numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rainkit.api import Training
from rainkit.errors import MethodError
from rainkit.objective import Derained, Loss, Objective, Pair, Phase
from rainkit.training.phases import Phases
from rainkit.training.schedules import Plateau

TRAINING = Training(lr=0.1, schedule="constant", ema=0.0, optimiser="adam", steps=10)
BATCH = Pair(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)

    def forward(self, rainy: Tensor) -> Derained:
        return Derained(self.frozen(self.conv(rainy)), {})


class _Objective(Objective):
    phases = (Phase("critic", trains="critic", training={"lr": 0.01}), Phase("generator"))

    def __init__(self, losses: Callable | None = None, active: tuple[str, ...] | None = None):
        super().__init__()
        self.critic = nn.Linear(3, 1)
        self._losses, self._active = losses, active

    def active(self, progress):
        return self._active or super().active(progress)

    def losses(self, phase, outputs, batch, progress):
        if self._losses is not None:
            return self._losses(phase, outputs, batch)
        score = self.critic(outputs.image.mean(dim=(2, 3))).mean()
        if phase == "critic":
            return {"score": Loss(score)}
        error = (outputs.image - batch.clean).square().mean()
        return {"l2": Loss(error), "score": Loss(-score, 0.5)}


def _phases(objective: Objective, training: Training = TRAINING) -> Phases:
    torch.manual_seed(0)
    return Phases(_Network(), objective, training, Accelerator(cpu=True), seed=0)


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_each_phase_moves_its_own_parameters_at_its_own_rate() -> None:
    phases = _phases(_Objective())
    before, critic = _snapshot(phases.network), _snapshot(phases.objective)
    losses, rates = phases.step([BATCH], 0, Plateau())
    assert rates == {"critic/lr": 0.01, "generator/lr": 0.1, "generator/score/weight": 0.5}
    after = phases.network.state_dict()
    # Adam's first step is the learning rate, whatever the gradient's size.
    moved = (after["conv.bias"] - before["conv.bias"]).abs()
    torch.testing.assert_close(moved, torch.full((3,), 0.1), rtol=1e-3, atol=0)
    step = (phases.objective.critic.bias - critic["critic.bias"]).abs()
    torch.testing.assert_close(step.detach(), torch.full((1,), 0.01), rtol=1e-3, atol=0)
    torch.testing.assert_close(
        losses["generator/total"], losses["generator/l2"] + 0.5 * losses["generator/score"]
    )


def test_what_a_plugin_froze_stays_frozen() -> None:
    phases = _phases(_Objective())
    before = _snapshot(phases.network)
    for step in range(2):
        phases.step([BATCH], step, Plateau())
    assert not phases.network.frozen.weight.requires_grad
    assert phases.network.conv.weight.requires_grad
    torch.testing.assert_close(phases.network.frozen.weight, before["frozen.weight"])


def test_the_generators_step_leaves_no_gradient_in_the_critic() -> None:
    phases = _phases(_Objective(active=("generator",)))
    critic = _snapshot(phases.objective)
    phases.step([BATCH], 0, Plateau())
    assert all(p.grad is None for p in phases.objective.critic.parameters())
    torch.testing.assert_close(dict(phases.objective.state_dict()), critic)


def test_a_warm_up_of_the_critic_alone_leaves_the_network() -> None:
    phases = _phases(_Objective(active=("critic",)))
    before = _snapshot(phases.network)
    losses, _ = phases.step([BATCH], 0, Plateau())
    assert phases.main not in losses
    torch.testing.assert_close(dict(phases.network.state_dict()), before)


def test_a_loss_without_a_graph_changes_nothing() -> None:
    phases = _phases(_Objective(losses=lambda *_: {"none": Loss(torch.tensor(0.0))}))
    before = _snapshot(phases.network)
    phases.step([BATCH], 0, Plateau())
    torch.testing.assert_close(dict(phases.network.state_dict()), before)


def test_clipping_bounds_the_gradient() -> None:
    training = Training(lr=1.0, schedule="constant", clip_norm=1e-3, optimiser="adamw")
    phases = _phases(_Objective(), training)
    norms = []
    own = [p for p in phases.network.parameters() if p.requires_grad]
    real = phases._optimisers["generator"].step  # the public result of a step has no gradients

    def spy(*arguments):
        norms.append(torch.stack([p.grad.norm() for p in own]).norm().item())
        return real(*arguments)

    phases._optimisers["generator"].step = spy
    phases.step([BATCH], 0, Plateau())
    assert norms == [pytest.approx(1e-3, rel=1e-3)]


def test_two_phases_that_train_one_module_are_refused() -> None:
    objective = _Objective()
    objective.phases = (Phase("one"), Phase("two"))
    with pytest.raises(MethodError, match="train one module"):
        _phases(objective)
