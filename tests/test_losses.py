"""Losses that plugins share: SSIM against its definition and against piq, and the critic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from rainkit.errors import MethodError
from rainkit.losses import ConditionalCritic, cross_entropy, ssim
from rainkit.objective import weighted_sum


def _pair(height: int = 15, width: int = 22, low: float = 0.0, high: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = F.interpolate(torch.rand(3, 3, 4, 4, generator=generator), (height, width))
    noisy = clean + 0.2 * torch.randn(3, 3, height, width, generator=generator)
    return [(low + (high - low) * picture) for picture in (noisy, clean)]


def _by_definition(x: Tensor, y: Tensor) -> Tensor:
    """Wang et al.'s formula in float64, borders padded with zeros."""
    places = np.arange(11) - 5
    gauss = np.exp(-(places**2) / (2 * 1.5**2))
    window = np.outer(gauss, gauss) / gauss.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((0, 0), (0, 0), (5, 5), (5, 5)))
        views = sliding_window_view(padded, (11, 11), (2, 3))
        return np.asarray(np.einsum("bchwij,ij->bchw", views, window))

    a, b = x.double().numpy(), y.double().numpy()
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    together = mean(a * b) - mean_a * mean_b
    similar = (2 * mean_a * mean_b + 1e-4) * (2 * together + 9e-4)
    similar /= (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
    return torch.from_numpy(similar.mean((1, 2, 3))).float()


@pytest.mark.parametrize("size", [(15, 22), (40, 11), (3, 5), (1, 1), (512, 5), (5, 513)])
def test_it_is_the_definition(size: tuple[int, int]) -> None:
    noisy, clean = _pair(*size)
    torch.testing.assert_close(ssim(noisy, clean), _by_definition(noisy, clean), atol=1e-5, rtol=0)


def test_it_is_piqs_on_pictures_with_a_black_border() -> None:
    """Piq drops as much border as we pad."""
    import piq

    noisy, clean = (picture.clamp(0, 1) for picture in _pair(30, 25))
    bordered = [F.pad(picture, (5, 5, 5, 5)) for picture in (noisy, clean)]
    theirs = piq.ssim(*bordered, downsample=False, reduction="none")
    torch.testing.assert_close(ssim(noisy, clean), theirs, atol=1e-5, rtol=0)


def test_values_may_leave_the_range() -> None:
    noisy, clean = _pair(low=-1.5, high=2.5)
    assert noisy.min() < -1
    assert noisy.max() > 2
    torch.testing.assert_close(ssim(noisy, clean), _by_definition(noisy, clean), atol=1e-5, rtol=0)


def test_a_picture_is_like_itself_and_unlike_its_inverse() -> None:
    _, clean = _pair()
    torch.testing.assert_close(ssim(clean, clean), torch.ones(3))
    assert ssim(1 - clean, clean).max() < 0


def test_leading_dimensions_are_several_answers_to_one_reference() -> None:
    noisy, clean = _pair()
    answers = torch.stack([noisy, clean, noisy / 2, clean.flip(3), 1 - clean, noisy * 0])
    each = torch.stack([ssim(answer, clean) for answer in answers])
    torch.testing.assert_close(ssim(answers, clean), each)
    stacked = ssim(answers.reshape(2, 3, *answers.shape[1:]), clean)
    assert stacked.shape == (2, 3, 3)
    torch.testing.assert_close(stacked.flatten(0, 1), each)


def test_pictures_of_another_shape_are_refused() -> None:
    _, clean = _pair()
    for wrong in (clean[..., 1:], clean[:1], clean.transpose(2, 3), clean[0]):
        with pytest.raises(ValueError, match="cannot be compared with a reference of"):
            ssim(wrong, clean)
    with pytest.raises(ValueError, match="cannot be compared"):
        ssim(clean[0], clean[0])


def test_autocast_does_not_lower_its_precision() -> None:
    noisy, clean = _pair()
    exact = ssim(noisy, clean)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ssim(noisy, clean), exact)
        rounded = ssim(noisy.bfloat16(), clean)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, ssim(noisy.bfloat16().float(), clean))


@pytest.mark.parametrize("answer", ["same", "noisy", "black", "flat", "inverse"])
def test_gradients_are_finite(answer: str) -> None:
    noisy, clean = _pair()
    pictures = {
        "same": clean,
        "noisy": noisy,
        "black": torch.zeros_like(clean),
        "flat": torch.full_like(clean, 0.5),
        "inverse": 1 - clean,
    }[answer].clone()
    pictures.requires_grad_()
    reference = torch.zeros_like(clean) if answer == "black" else clean
    (slope,) = torch.autograd.grad(ssim(pictures, reference).sum(), pictures)
    assert slope.isfinite().all()


def test_a_step_up_its_gradient_makes_pictures_more_alike() -> None:
    noisy, clean = _pair()
    noisy.requires_grad_()
    before = ssim(noisy, clean)
    (slope,) = torch.autograd.grad(before.sum(), noisy)
    assert (ssim(noisy.detach() + slope, clean) > before).all()


def test_the_conditional_critic_gives_one_logit_for_any_size() -> None:
    critic = ConditionalCritic()
    assert sum(p.numel() for p in critic.parameters()) == 2_761_025
    for batch, size in ((2, (16, 16)), (2, (33, 70)), (1, (16, 31)), (1, (3, 90))):
        pictures = torch.rand(batch, 3, *size)
        assert critic(pictures, pictures).shape == (batch, 1)


def test_an_objective_without_a_loss_says_so() -> None:
    with pytest.raises(MethodError, match="all of its weights are 0"):
        weighted_sum({})


def test_the_critic_looks_at_both_pictures() -> None:
    torch.manual_seed(0)
    critic = ConditionalCritic().eval()
    candidate, rainy, other = torch.rand(3, 1, 3, 32, 32)
    judged = critic(candidate, rainy)
    assert not torch.equal(judged, critic(other, rainy))
    assert not torch.equal(judged, critic(candidate, other))


def test_cross_entropy_has_one_label_for_all_logits_and_is_float32() -> None:
    logits = torch.tensor([[-1.5], [0.5], [2.0]])
    torch.testing.assert_close(cross_entropy(logits, 1.0), F.softplus(-logits).mean())
    torch.testing.assert_close(cross_entropy(logits, 0.0), F.softplus(logits).mean())
    assert cross_entropy(logits.bfloat16(), 1.0).dtype == torch.float32
