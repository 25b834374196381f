"""Deep supervision and the log-SSIM loss."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from rainkit_resguidenet import METHOD, Objective
from rainkit_resguidenet.network import ResGuideNet
from rainkit_resguidenet.objective import DeepSupervision, log_ssim

from rainkit.losses import ssim
from rainkit.objective import Derained, Pair, Progress, weighted_sum

NOW = Progress(step=0, steps=100, epoch=0.0)


def _batch(side: int = 24) -> tuple[Derained, Pair]:
    """A merged answer with three blocks: noise that every block lessens."""
    torch.manual_seed(0)
    clean = F.interpolate(torch.rand(2, 3, 4, 4), side, mode="bilinear")
    noise = torch.randn(2, 3, side, side)
    parts = {f"block{k}": clean + 0.1 / k * noise for k in (1, 2, 3)}
    return Derained(clean + 0.02 * noise, parts), Pair(clean + 0.2 * noise, clean)


def test_log_ssim_at_identity_and_where_similarity_is_not_positive() -> None:
    _, pair = _batch()
    inverse = 1 - pair.clean
    assert ssim(inverse, pair.clean).max() < 0
    same = log_ssim(pair.clean[None], pair.clean)
    assert same.item() == pytest.approx(-math.log(1 + 1e-4), rel=1e-2)
    assert log_ssim(inverse[None], pair.clean).item() == pytest.approx(9.2103, abs=1e-4)


@pytest.mark.parametrize("kind", ["same", "inverse", "noisy", "far outside"])
def test_log_ssim_has_finite_gradients(kind: str) -> None:
    outputs, pair = _batch()
    answer = {
        "same": pair.clean,
        "inverse": 1 - pair.clean,
        "noisy": outputs.image,
        "far outside": 9 * outputs.image - 4,
    }[kind]
    answer = answer.clone().requires_grad_()
    loss = log_ssim(answer[None], pair.clean)
    (slope,) = torch.autograd.grad(loss, answer)
    assert loss.isfinite()
    assert slope.isfinite().all()
    assert slope.any() == (kind != "inverse"), "below zero the loss is constant, above it teaches"


def test_similarity_is_averaged_over_a_patch_before_the_logarithm() -> None:
    outputs, pair = _batch()
    similar = ssim(outputs.image, pair.clean)
    wanted = -torch.log(similar + 1e-4).mean()
    torch.testing.assert_close(log_ssim(outputs.image[None], pair.clean), wanted)
    assert similar[0] != similar[1]


def test_the_merged_result_counts_as_much_as_each_block() -> None:
    """(L_1 + L_2 + L_3 + L_merge) / 4 here, and / 6 with the paper's five blocks."""
    outputs, pair = _batch()
    supervised = [*outputs.parts.values(), outputs.image]
    losses = DeepSupervision(Objective()).loss(outputs, pair, NOW)
    errors = torch.stack([F.mse_loss(result, pair.clean) for result in supervised])
    similar = torch.stack([log_ssim(result[None], pair.clean) for result in supervised])
    torch.testing.assert_close(losses["l2"].value, errors.sum() / 4)
    torch.testing.assert_close(losses["ssim"].value, similar.sum() / 4)
    torch.testing.assert_close(weighted_sum(losses), (errors + similar).sum() / 4)


@pytest.mark.parametrize(
    ("variant", "answers"),
    [("default", 6), ("nrecur", 6), ("baseline-rr", 5)] + [(f"block{k}", k) for k in range(1, 6)],
)
def test_every_answer_of_a_network_is_supervised_once(variant: str, answers: int) -> None:
    """Without a merge the last block's result is the network's: it must not count twice."""
    torch.manual_seed(0)
    values = METHOD.variants[variant]
    rainy, clean = torch.rand(2, 2, 3, 12, 12)
    network, objective = ResGuideNet(values.network), DeepSupervision(values.objective)
    outputs = objective.outputs(network, Pair(rainy, clean))
    error = objective.loss(outputs, Pair(rainy, clean), NOW)["l2"].value
    stages = [F.mse_loss(stage.image, clean) for stage in network.stages(rainy)]
    assert len(stages) == answers
    torch.testing.assert_close(error, sum(stages, torch.tensor(0.0)) / answers)


def test_intermediate_results_can_go_unsupervised() -> None:
    outputs, pair = _batch()
    objective = DeepSupervision(METHOD.variants["last-only"].objective)
    losses = objective.loss(outputs, pair, NOW)
    torch.testing.assert_close(losses["l2"].value, F.mse_loss(outputs.image, pair.clean))
    torch.testing.assert_close(losses["ssim"].value, log_ssim(outputs.image[None], pair.clean))


def test_the_printed_sum_is_the_mean_times_the_size_of_a_patch() -> None:
    outputs, pair = _batch(side=24)
    mean, summed = (
        DeepSupervision(METHOD.variants[variant].objective).loss(outputs, pair, NOW)
        for variant in ("default", "paper")
    )
    torch.testing.assert_close(summed["l2"].value, mean["l2"].value * 3 * 24 * 24)
    assert summed["ssim"].value == mean["ssim"].value


def test_the_weight_of_similarity() -> None:
    outputs, pair = _batch()
    plain = DeepSupervision(METHOD.variants["l2"].objective)
    assert set(plain.loss(outputs, pair, NOW)) == {"l2"}
    doubled = DeepSupervision(Objective(ssim=2.0)).loss(outputs, pair, NOW)
    assert (doubled["l2"].weight, doubled["ssim"].weight) == (1.0, 2.0)


def test_losses_are_float32_whatever_the_network_gives() -> None:
    outputs, pair = _batch()
    rounded = Derained(
        outputs.image.bfloat16(), {k: p.bfloat16() for k, p in outputs.parts.items()}
    )
    for name, loss in DeepSupervision(Objective()).loss(rounded, pair, NOW).items():
        assert loss.value.dtype == torch.float32, name
