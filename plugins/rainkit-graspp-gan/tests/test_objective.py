"""GRASPP-GAN's losses and its critic."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from rainkit_graspp_gan import METHOD, Objective
from rainkit_graspp_gan.objective import GrasppGanObjective, Sobel

from rainkit.objective import Derained, Pair, Progress, weighted_sum

LATE = Progress(step=100, steps=100, epoch=99.0)


def _batch(side: int = 32) -> tuple[Derained, Pair]:
    torch.manual_seed(0)
    rainy, clean, derained = (torch.rand(2, 3, side, side) for _ in range(3))
    return Derained(derained.requires_grad_(), {}), Pair(rainy, clean)


def test_the_critic_has_the_papers_size_and_gives_one_logit() -> None:
    critic = GrasppGanObjective(Objective()).critic
    assert sum(p.numel() for p in critic.parameters()) == 2_761_025
    pictures = torch.rand(2, 3, 128, 128)
    assert critic(pictures, pictures).shape == (2, 1)


def test_sobel_of_a_constant_is_zero_up_to_the_border() -> None:
    assert Sobel()(torch.full((1, 3, 9, 7), 0.7)).abs().max() < 1e-6


def test_sobel_of_a_ramp_is_eight_times_its_slope() -> None:
    ramp = torch.arange(9.0).expand(1, 3, 9, 9)
    slopes = Sobel()(ramp)[..., 1:-1, 1:-1]
    torch.testing.assert_close(slopes[:, 0::2], torch.full_like(slopes[:, 0::2], 8.0))
    torch.testing.assert_close(slopes[:, 1::2], torch.zeros_like(slopes[:, 1::2]))


def test_a_step_down_the_adversarial_loss_raises_the_critics_belief() -> None:
    objective = GrasppGanObjective(Objective(alpha=0.0, beta=1.0)).eval()
    outputs, batch = _batch()
    believed = objective.losses("generator", outputs, batch, LATE)["adversarial"].value
    (slope,) = torch.autograd.grad(believed, outputs.image)
    better = outputs.image.detach() - 10 * slope
    before = objective.critic(outputs.image.detach(), batch.rainy).mean()
    assert objective.critic(better, batch.rainy).mean() > before


def test_critic_losses_are_binary_cross_entropies_of_real_and_fake() -> None:
    objective = GrasppGanObjective(Objective()).eval()
    outputs, batch = _batch()
    losses = objective.losses("critic", outputs, batch, LATE)
    real = objective.critic(batch.clean, batch.rainy)
    fake = objective.critic(outputs.image, batch.rainy)
    torch.testing.assert_close(losses["real"].value, F.softplus(-real).mean())
    torch.testing.assert_close(losses["fake"].value, F.softplus(fake).mean())


def test_the_generator_trains_alone_first() -> None:
    objective = GrasppGanObjective(Objective(alone_epochs=2.0))
    early = Progress(step=10, steps=100, epoch=1.9)
    outputs, batch = _batch()
    assert objective.active(early) == ("generator",)
    assert set(objective.active(LATE)) == {"critic", "generator"}
    assert "adversarial" not in objective.losses("generator", outputs, batch, early)
    assert "adversarial" in objective.losses("generator", outputs, batch, LATE)


def test_the_ablations_leave_their_terms_out() -> None:
    outputs, batch = _batch()
    terms = {
        name: set(
            GrasppGanObjective(METHOD.variants[name].objective).losses(
                "generator", outputs, batch, LATE
            )
        )
        for name in ("raspp", "graspp", "default")
    }
    assert terms == {
        "raspp": {"l2"},
        "graspp": {"l2", "gradient"},
        "default": {"l2", "gradient", "adversarial"},
    }
    assert not hasattr(GrasppGanObjective(METHOD.variants["graspp"].objective), "critic")


def test_terms_have_the_magnitudes_that_the_weights_assume() -> None:
    """At RMSE 0.03 on 128 px patches: l2 0.0009, gradient 0.022, weighted adversarial 0.0007."""
    torch.manual_seed(0)
    clean = torch.full((4, 3, 128, 128), 0.5)
    noisy = Derained(clean + 0.03 * torch.randn_like(clean), {})
    losses = GrasppGanObjective(Objective()).losses("generator", noisy, Pair(clean, clean), LATE)
    assert math.isclose(losses["l2"].value, 0.0009, rel_tol=0.05)
    assert math.isclose(losses["gradient"].value, 0.0216, rel_tol=0.05)
    assert math.isclose(losses["adversarial"].value.detach() * 1e-3, 0.0007, rel_tol=0.3)


def test_the_printed_norms_drown_the_adversarial_term() -> None:
    torch.manual_seed(0)
    clean = torch.full((4, 3, 128, 128), 0.5)
    noisy = Derained(clean + 0.03 * torch.randn_like(clean), {})
    objective = GrasppGanObjective(Objective(norm="l2"))
    losses = objective.losses("generator", noisy, Pair(clean, clean), LATE)
    assert math.isclose(losses["l2"].value, 6.65, rel_tol=0.05)
    share = (losses["adversarial"].value * 1e-3 / weighted_sum(losses)).detach()
    assert share < 1e-4
