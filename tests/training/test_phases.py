"""One step of objectives that plugins may write, on networks with few parameters."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rainkit.api import Training
from rainkit.errors import MethodError
from rainkit.losses import ssim
from rainkit.objective import Derained, Loss, Objective, Pair, Phase
from rainkit.precision import choose_runtime
from rainkit.training.phases import Phases
from rainkit.training.schedules import Plateau

CPU = choose_runtime("cpu", "fp32")
TRAINING = Training(lr=0.1, schedule="constant", ema=0.0, optimiser="adam", steps=10)
BATCH = Pair(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)

    def forward(self, rainy: Tensor) -> Derained:
        return Derained(self.frozen(self.conv(rainy)), {})


class _Objective(Objective[Pair]):
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
    return Phases(_Network(), objective, training, CPU, Accelerator(cpu=True), seed=0)


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
    norms = {}

    def watch(phase: str) -> None:
        gradients = phases.gradients(phase).values()
        norms[phase] = torch.stack([gradient.norm() for gradient in gradients]).norm().item()

    phases.seen = watch
    phases.step([BATCH], 0, Plateau())
    assert norms["generator"] == pytest.approx(1e-3, rel=1e-3)
    assert norms["critic"] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "muon", "rmsprop"])
def test_weights_decay_and_biases_do_not(optimiser: str) -> None:
    """A loss without a graph leaves the decay alone to move parameters."""
    training = Training(lr=1e-4, schedule="constant", optimiser=optimiser, weight_decay=0.1)
    nothing = {"none": Loss(torch.tensor(0.0))}
    phases = _phases(_Objective(losses=lambda *_: nothing), training)
    before = _snapshot(phases.network)
    for parameter in phases.network.conv.parameters():
        parameter.grad = torch.zeros_like(parameter)
    phases.step([BATCH], 0, Plateau())
    after = phases.network.state_dict()
    assert (after["conv.weight"].abs() < before["conv.weight"].abs()).all()
    for same in ("conv.bias", "frozen.weight", "frozen.bias"):
        torch.testing.assert_close(after[same], before[same], rtol=0, atol=0)


def test_muon_steps_a_kernel_by_an_orthogonal_matrix_as_far_as_adam_would() -> None:
    """Adam's steps have a root mean square of about 0.2 of its rate, but for its first one."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3, padding=1), nn.Tanh(), nn.Conv2d(16, 3, 3, padding=1)
    network = nn.Sequential(*layers)
    network.forward = lambda rainy: Derained(nn.Sequential.forward(network, rainy), {})
    training = Training(lr=0.01, schedule="constant", optimiser="muon")
    objective = _Objective(active=("generator",))
    phases = Phases(network, objective, training, CPU, Accelerator(cpu=True), seed=0)
    before = _snapshot(network)
    batch = Pair(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))  # of the seed above
    phases.step([batch], 0, Plateau())
    moved = {name: (after - before[name]) for name, after in network.state_dict().items()}
    size = torch.linalg.svdvals(moved["0.weight"].flatten(1)) / (0.01 * 0.2 * 27**0.5)
    assert size.min() > 0.5, "a gradient has weak directions, and its step has none"
    assert size.max() < 1.5
    for name in ("0.bias", "2.weight", "2.bias"):  # a matrix of three rows is too small
        assert moved[name].abs().median().item() == pytest.approx(0.019, rel=1e-3)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "muon", "rmsprop"])
def test_the_schedule_holds_for_kernels_and_biases(optimiser: str) -> None:
    """Before 1.0.27 timm gave Muon's biases the first rate for ever."""
    training = Training(lr=0.1, schedule="cosine", steps=10, optimiser=optimiser)
    phases = _phases(_Objective(active=("generator",)), training)
    before = _snapshot(phases.network)
    _, rates = phases.step([BATCH], 10, Plateau())
    assert rates["generator/lr"] == 0
    torch.testing.assert_close(dict(phases.network.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_decaying_optimisers_are_restored_exactly(optimiser: str) -> None:
    training = Training(lr=0.1, schedule="constant", weight_decay=0.1, optimiser=optimiser)
    first, second = _phases(_Objective(), training), _phases(_Objective(), training)
    first.step([BATCH], 0, Plateau())
    second.restore(copy.deepcopy(first.state()))
    second.network.load_state_dict(first.network.state_dict())
    for phases in (first, second):
        phases.step([BATCH], 1, Plateau())
    for (name, one), other in zip(
        first.network.state_dict().items(), second.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


def test_dry_pixels_count_more_if_asked() -> None:
    clean = torch.full((2, 3, 8, 8), 0.5)
    rainy = clean.clone()
    rainy[0, 1, :4] += 0.2  # rain in one channel makes a pixel wet
    rainy[1, :, 0] += 2 / 255  # two levels are noise
    batch = Pair(rainy, clean)
    objective = _Objective()
    twin = copy.deepcopy(objective)
    phases = _phases(objective, dataclasses.replace(TRAINING, dry_weight=3.0))
    with torch.no_grad():
        off = (phases.network(rainy).image - clean).abs()
    expected = torch.cat([off[0, :, 4:].flatten(), off[1].flatten()]).mean()
    losses, rates = phases.step([batch], 0, Plateau())
    torch.testing.assert_close(losses["generator/dry"], expected)
    assert rates["generator/dry/weight"] == 3.0
    plain = _phases(twin).step([batch], 0, Plateau())[0]
    assert "generator/dry" not in plain
    torch.testing.assert_close(
        losses["generator/total"], plain["generator/total"] + 3.0 * losses["generator/dry"]
    )
    soaked = Pair(clean + 0.2, clean)
    assert phases.step([soaked], 1, Plateau())[0]["generator/dry"] == 0


def test_structure_counts_beside_the_methods_own_losses_if_asked() -> None:
    objective = _Objective()
    twin = copy.deepcopy(objective)
    phases = _phases(objective, dataclasses.replace(TRAINING, ssim_weight=0.5))
    with torch.no_grad():
        derained = phases.network(BATCH.rainy).image
        expected = 1 - ssim(derained, BATCH.clean).mean()
    losses, rates = phases.step([BATCH], 0, Plateau())
    torch.testing.assert_close(losses["generator/dissimilarity"], expected)
    assert rates["generator/dissimilarity/weight"] == 0.5
    plain = _phases(twin).step([BATCH], 0, Plateau())[0]
    torch.testing.assert_close(losses["generator/total"], plain["generator/total"] + 0.5 * expected)


def test_an_objective_of_one_phase_has_a_loss_without_a_phase() -> None:
    class Simple(Objective[Pair]):
        def loss(self, outputs, batch, progress):
            return {"l2": Loss((outputs.image - batch.clean).square().mean())}

    losses, rates = _phases(Simple()).step([BATCH], 0, Plateau())
    assert set(losses) == {"network/l2", "network/total"}
    assert rates == {"network/lr": 0.1}


def test_an_objective_without_a_loss_is_named() -> None:
    class Empty(Objective[Pair]):
        pass

    with pytest.raises(MethodError, match=r"Empty has no loss: implement loss\(outputs, batch"):
        _phases(Empty()).step([BATCH], 0, Plateau())


def test_a_network_that_forgets_derained_is_named() -> None:
    class Bare(_Network):
        def forward(self, rainy: Tensor) -> Tensor:
            return self.conv(rainy)

    objective = _Objective()
    phases = Phases(Bare(), objective, TRAINING, CPU, Accelerator(cpu=True), seed=0)
    with pytest.raises(MethodError, match=r"Bare returns a Tensor: .*return Derained\("):
        phases.step([BATCH], 0, Plateau())


def test_two_phases_that_train_one_module_are_refused() -> None:
    objective = _Objective()
    objective.phases = (Phase("one"), Phase("two"))
    with pytest.raises(MethodError, match="train one module"):
        _phases(objective)
