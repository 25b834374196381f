"""FreqGAN's generator: its sizes, the guided filter, and the recurrence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from rainkit_freq_gan import METHOD, Network
from rainkit_freq_gan.network import (
    ConvLSTM,
    FreqGAN,
    SqueezeExcitation,
    decompose,
    guided_filter,
    means,
)
from rainkit_freq_gan.settings import RADIUS
from safetensors.torch import save_file
from torch import Tensor

from rainkit import hyperparameters, networks, weights


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        ("default", 172_587),
        ("freq-none", 171_723),
        ("freq-all", 173_451),
        ("t1", 172_587),
        ("blocks-state", 172_587),
        ("wide", 682_067),
    ],
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


def _conv(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)


def _blocks(h: Tensor, state: Mapping[str, Tensor], settings: Network) -> Tensor:
    z = h
    for k in range(settings.blocks):
        r = F.relu(_conv(z, state, f"f_res.{k}.conv1"))
        r = F.relu(_conv(r, state, f"f_res.{k}.conv2"))
        if settings.attention == "se":
            block = {key.removeprefix(f"f_res.{k}.attention."): v for key, v in state.items()}
            means = r.mean((2, 3), keepdim=True)
            means = F.relu(F.conv2d(means, block["squeeze.weight"], block["squeeze.bias"]))
            means = F.conv2d(means, block["excite.weight"], block["excite.bias"])
            r = r * torch.sigmoid(means)
        z = F.relu(z + r)
    return z


def _gated(f: Tensor, h: Tensor, c: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """PReNet's four convolutions, which our network holds as one."""
    gates = zip(
        state["f_recurrent.gates.weight"].chunk(4),
        state["f_recurrent.gates.bias"].chunk(4),
        strict=True,
    )
    i, forget, o, g = (F.conv2d(torch.cat([f, h], 1), *gate, padding=1) for gate in gates)
    c = torch.sigmoid(forget) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _made(settings: Network) -> FreqGAN:
    """A network whose state matters: with fresh weights the stages hardly differ."""
    torch.manual_seed(0)
    network = FreqGAN(settings).eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.data *= 2
    return network


@pytest.mark.parametrize("recurrence", ["lstm", "blocks"])
def test_two_stages_are_those_written_out(recurrence: str) -> None:
    """Equations 4 and 5 for t = 1 and 2, and the form in which the blocks' output is the state."""
    settings = replace(METHOD.default.network, stages=2, width=8, blocks=2, recurrence=recurrence)
    network = _made(settings)
    state = network.state_dict()
    y = torch.rand(2, 3, 19, 23)
    layers = decompose(y)
    seen = torch.cat([layers["base"], layers["detail"]], 1)
    zero = torch.zeros(2, 8, 19, 23)

    h1, c1 = _gated(F.relu(_conv(torch.cat([seen, y], 1), state, "f_in")), zero, zero, state)
    z1 = _blocks(h1, state, settings)
    x1 = _conv(z1, state, "f_out") + y
    memory = h1 if recurrence == "lstm" else z1
    h2, _ = _gated(F.relu(_conv(torch.cat([seen, x1], 1), state, "f_in")), memory, c1, state)
    x2 = _conv(_blocks(h2, state, settings), state, "f_out") + y

    with torch.no_grad():
        first, second = network.stages(y)
        whole = network(y)
    torch.testing.assert_close(first.image, x1)
    torch.testing.assert_close(second.image, x2)
    assert set(first.parts) == {"base", "detail", "stage1"}
    assert set(second.parts) == {"base", "detail", "stage1", "stage2"} == set(whole.parts)
    for name, expected in (layers | {"stage1": x1, "stage2": x2}).items():
        torch.testing.assert_close(whole.parts[name], expected)
    assert torch.equal(whole.image, second.image)


@pytest.mark.parametrize("recurrence", ["lstm", "blocks"])
def test_the_state_has_the_type_and_layout_of_the_features(recurrence: str) -> None:
    """Zeros of another type would make every later sum one of float32, at twice the time."""
    settings = replace(METHOD.default.network, stages=2, width=8, blocks=1, recurrence=recurrence)
    network = _made(settings).to(memory_format=torch.channels_last)
    seen: list[Tensor] = []
    network.f_recurrent.register_forward_hook(lambda _, given, got: seen.extend((*given, *got)))
    rainy = torch.rand(1, 3, 19, 23).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        network(rainy)
    assert len(seen) == 10
    assert {each.dtype for each in seen} == {torch.bfloat16}
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in seen)


def test_without_layers_and_attention_it_is_prenet() -> None:
    """PReNet (Ren et al., CVPR 2019): its equations, four stages, and its 168,963 parameters."""
    settings = replace(METHOD.variants["freq-none"].network, attention="none", stages=4)
    network = _made(settings)
    state = network.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 168_963
    y = torch.rand(1, 3, 16, 20)
    x, h, c = y, *torch.zeros(2, 1, 32, 16, 20)
    with torch.no_grad():
        for given in network.stages(y):
            f = F.relu(_conv(torch.cat([y, x], 1), state, "f_in"))
            h, c = _gated(f, h, c, state)
            x = _conv(_blocks(h, state, settings), state, "f_out") + y
            torch.testing.assert_close(given.image, x)


def test_one_stage_equals_the_first_of_six() -> None:
    """Stages share all weights, and with one stage it does not matter what the next one gets."""
    six = _made(METHOD.default.network)
    rainy = torch.rand(1, 3, 21, 18)
    with torch.no_grad():
        first, *_, last = [stage.image for stage in six.stages(rainy)]
        for recurrence in ("lstm", "blocks"):
            one = FreqGAN(replace(METHOD.default.network, stages=1, recurrence=recurrence)).eval()
            one.load_state_dict(six.state_dict())
            assert torch.equal(one(rainy).image, first)
    assert not torch.equal(first, last)


@pytest.mark.parametrize(
    ("tag", "variant", "recurrence"),
    [
        ("rain-v1", "blocks-state", "blocks"),
        ("rain-v2", "blocks-state", "blocks"),
        ("rain-v9", "blocks-state", "blocks"),
        ("rain-v11", "wide", "blocks"),
        ("rain-v6", "default", "lstm"),
    ],
)
def test_weights_run_in_their_own_recurrence(tag: str, variant: str, recurrence: str) -> None:
    """Their tensors fit both forms, but give other pictures in the other one."""
    file = weights.find(METHOD, tag)
    assert (file.variant, file.network.recurrence) == (variant, recurrence)
    network = weights.load(networks.build(METHOD, file.network), file).eval()
    state = network.state_dict()
    y = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    layers = decompose(y)
    x, h, c = y, *torch.zeros(2, 1, file.network.width, 24, 24)
    with torch.no_grad():
        for _ in range(6):
            seen = torch.cat([layers["base"], layers["detail"], x], 1)
            h, c = _gated(F.relu(_conv(seen, state, "f_in")), h, c, state)
            z = _blocks(h, state, file.network)
            x = _conv(z, state, "f_out") + y
            h = z if recurrence == "blocks" else h
        torch.testing.assert_close(network(y).image, x)
        other = {"lstm": "blocks", "blocks": "lstm"}[recurrence]
        others = FreqGAN(replace(file.network, recurrence=other)).eval()
        others.load_state_dict(state)
        assert (others(y).image - x).abs().max() > 1 / 255


def test_a_file_that_names_no_recurrence_is_of_the_old_one(tmp_path: Path) -> None:
    """Files from before there was a choice give the pictures that they always gave."""
    settings = hyperparameters.section_to_data(METHOD.default.network)
    assert settings.pop("recurrence") == "lstm"
    path = tmp_path / "old.safetensors"
    header = {"method": "freq-gan", "network": json.dumps(settings)}
    save_file(FreqGAN(METHOD.default.network).state_dict(), path, metadata=header)
    assert weights.open_file(METHOD, path).network == METHOD.variants["blocks-state"].network


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_means_of_maps_are_those_of_torch(dtype: torch.dtype) -> None:
    """Large maps of float16, too, whose sum is beyond its range."""
    x = (100 * torch.rand(2, 3, 64, 48)).to(dtype)
    expected = x.mean((2, 3), keepdim=True)
    assert torch.equal(means(x), expected)
    learning = means(x.requires_grad_())
    torch.testing.assert_close(learning, expected, rtol=1e-2, atol=0)
    (gradient,) = torch.autograd.grad(learning.sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 1 / (64 * 48)), rtol=1e-2, atol=0)


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
    assert METHOD.image(METHOD.default.network).tiling == "approximate"
