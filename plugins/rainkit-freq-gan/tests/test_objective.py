"""FreqGAN's losses: squared error, SSIM and the relativistic critic."""

from __future__ import annotations

import math

import pytest
import torch
from rainkit_freq_gan import METHOD, Objective
from rainkit_freq_gan.objective import FreqGanObjective, relativistic

from rainkit.losses import ssim
from rainkit.objective import Derained, Pair, Progress

EARLY = Progress(step=10, steps=100, epoch=1.9)
LATE = Progress(step=100, steps=100, epoch=99.0)


def _batch() -> tuple[Derained, Pair]:
    torch.manual_seed(0)
    rainy, clean, derained = (torch.rand(2, 3, 32, 32) for _ in range(3))
    return Derained(derained.requires_grad_(), {}), Pair(rainy, clean)


def test_judged_alike_every_side_costs_log_two() -> None:
    logits = torch.full((4, 1), 0.3)
    for label in (0.0, 1.0):
        assert relativistic(logits, logits, label).item() == pytest.approx(2 * math.log(2))


def test_only_differences_of_logits_count() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(4, 1), torch.randn(4, 1)
    for label in (0.0, 1.0):
        moved = relativistic(real + 7, fake + 7, label)
        torch.testing.assert_close(moved, relativistic(real, fake, label))


def test_critic_and_generator_pull_apart() -> None:
    good, bad = torch.full((4, 1), 3.0), torch.full((4, 1), -3.0)
    assert relativistic(good, bad, 1.0) < relativistic(bad, good, 1.0)
    torch.testing.assert_close(relativistic(good, bad, 0.0), relativistic(bad, good, 1.0))


def test_a_step_down_the_adversarial_loss_raises_what_the_critic_thinks() -> None:
    objective = FreqGanObjective(Objective(adversarial=1.0)).eval()
    outputs, pair = _batch()
    loss = objective.losses("generator", outputs, pair, LATE)["adversarial"].value
    (slope,) = torch.autograd.grad(loss, outputs.image)
    before = objective.critic(outputs.image.detach(), pair.rainy).mean()
    better = outputs.image.detach() - 10 * slope
    assert objective.critic(better, pair.rainy).mean() > before


def test_terms_are_squared_error_and_negative_ssim() -> None:
    objective = FreqGanObjective(METHOD.variants["no-gan"].objective)
    outputs, pair = _batch()
    terms = objective.losses("generator", outputs, pair, LATE)
    assert set(terms) == {"l2", "ssim"}
    torch.testing.assert_close(terms["l2"].value, (outputs.image - pair.clean).square().mean())
    torch.testing.assert_close(terms["ssim"].value, -ssim(outputs.image, pair.clean).mean())
    perfect = objective.losses("generator", Derained(pair.clean, {}), pair, LATE)
    assert perfect["ssim"].value.item() == pytest.approx(-1)


def test_the_generator_trains_alone_first() -> None:
    objective = FreqGanObjective(Objective(alone_epochs=2.0))
    outputs, pair = _batch()
    assert objective.active(EARLY) == ("generator",)
    assert set(objective.active(LATE)) == {"critic", "generator"}
    assert "adversarial" not in objective.losses("generator", outputs, pair, EARLY)
    assert "adversarial" in objective.losses("generator", outputs, pair, LATE)
    assert not hasattr(FreqGanObjective(METHOD.variants["no-gan"].objective), "critic")
