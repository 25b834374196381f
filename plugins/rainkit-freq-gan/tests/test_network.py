"""FreqGAN's generator: its sizes, the guided filter, and the recurrence."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from rainkit_freq_gan import METHOD, RADIUS, Network
from rainkit_freq_gan.network import (
    ConvLSTM,
    FreqGAN,
    SqueezeExcitation,
    decompose,
    guided_filter,
)


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [("default", 172_587), ("freq-none", 171_723), ("freq-all", 173_451), ("t1", 172_587)],
)
def test_parameter_counts(variant: str, parameters: int) -> None:
    network = FreqGAN(METHOD.variants[variant].network)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (31, 9), (40, 50)])
def test_filtering_a_constant_gives_it_back_up_to_the_border(size: tuple[int, int]) -> None:
    constant = torch.full((1, 3, *size), 0.7)
    torch.testing.assert_close(guided_filter(constant), constant)


def test_the_filter_is_that_of_its_definition() -> None:
    """Windows cut off at the border, straight from the formulas."""
    torch.manual_seed(0)
    picture = torch.rand(1, 1, 12, 9, dtype=torch.float64)
    radius, epsilon = 3, 0.05

    def box(x: torch.Tensor) -> torch.Tensor:
        kernel = torch.ones(1, 1, 2 * radius + 1, 2 * radius + 1, dtype=x.dtype)
        inside = F.conv2d(torch.ones_like(x), kernel, padding=radius)
        return F.conv2d(x, kernel, padding=radius) / inside

    mean = box(picture)
    variance = box(picture**2) - mean**2
    a = variance / (variance + epsilon)
    expected = box(a) * picture + box((1 - a) * mean)
    torch.testing.assert_close(guided_filter(picture, radius, epsilon), expected)


def test_base_and_detail_add_up_in_float32() -> None:
    torch.manual_seed(0)
    picture = torch.rand(2, 3, 40, 33)
    with torch.autocast("cpu", torch.bfloat16):
        parts = decompose(picture)
    assert {part.dtype for part in parts.values()} == {torch.float32}
    torch.testing.assert_close(parts["base"] + parts["detail"], picture)


def test_streaks_end_up_in_the_detail() -> None:
    """With epsilon 1 it should be about 86.5 % of their energy."""
    scene = torch.linspace(0.2, 0.6, 96).expand(1, 3, 96, 96).clone()
    streaks = torch.zeros_like(scene)
    streaks[..., 10:70, 20::17] = 0.3
    lost = decompose(scene + streaks)["detail"] - decompose(scene)["detail"]
    share = lost.square().sum() / streaks.square().sum()
    assert 0.75 < share <= 1


def test_one_stage_equals_the_first_of_six() -> None:
    """Stages share all weights: the six-stage network, stopped after its first answer."""
    torch.manual_seed(0)
    six = FreqGAN(METHOD.default.network).eval()
    one = FreqGAN(METHOD.variants["t1"].network).eval()
    one.load_state_dict(six.state_dict())
    answers: list[torch.Tensor] = []
    six.f_out.register_forward_hook(lambda *given: answers.append(given[-1]))
    rainy = torch.rand(1, 3, 21, 18)
    with torch.no_grad():
        six(rainy)
        first = one(rainy).image
    assert len(answers) == 6
    torch.testing.assert_close(rainy + answers[0], first, rtol=0, atol=0)
    assert not torch.equal(answers[0], answers[-1])


def test_the_memory_gates_as_an_lstm() -> None:
    """Against torch's LSTMCell, which orders its gates i, f, g, o, on a single pixel."""
    torch.manual_seed(0)
    width = 4
    ours, theirs = ConvLSTM(width), torch.nn.LSTMCell(width, width, bias=True)
    centre = ours.gates.weight[..., 1, 1]
    i, f, o, g = centre.chunk(4)
    order = torch.cat([i, f, g, o])
    bias = torch.cat([ours.gates.bias.chunk(4)[k] for k in (0, 1, 3, 2)])  # type: ignore[union-attr]
    with torch.no_grad():
        theirs.weight_ih.copy_(order[:, :width])
        theirs.weight_hh.copy_(order[:, width:])
        theirs.bias_ih.copy_(bias)
        theirs.bias_hh.zero_()
        x, h, c = torch.randn(3, 2, width)
        expected = theirs(x, (h, c))
        given = ours(*(each[..., None, None] for each in (x, h, c)))
    for mine, wanted in zip(given, expected, strict=True):
        torch.testing.assert_close(mine[..., 0, 0], wanted)


def test_attention_scales_whole_maps() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 8, 5, 6) + 0.1
    scale = SqueezeExcitation(8)(x) / x
    assert scale.min() > 0
    assert scale.max() < 1
    torch.testing.assert_close(scale, scale[..., :1, :1].expand_as(scale))


def test_without_attention_the_reach_is_that_of_the_convolutions() -> None:
    spec = METHOD.image(METHOD.variants["no-attention"].network)
    assert (spec.tiling, spec.receptive_radius) == ("exact", 6 * 13 + 2 * RADIUS)
    assert METHOD.image(Network()).tiling == "approximate"
