"""The cascade: its parameters, its formula, the guidance, and detached blocks."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import pytest
import torch
import torch.nn.functional as F
from rainkit_resguidenet import METHOD, Network
from rainkit_resguidenet.network import Block, ResGuideNet
from torch import Tensor, nn

COUNTS = {
    "default": 37_113,
    "paper": 37_113,
    "block1": 5_523,
    "block2": 11_991,
    "block3": 19_404,
    "block4": 27_762,
    "block5": 37_065,
    "nrecur": 37_113,
    "baseline-rr": 37_065,
    "baseline-rr-l2": 37_065,
    "baseline": 37_920,
    "l2": 37_113,
    "last-only": 37_113,
    "wide": 119_433,
}


def _count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _network(settings: Network) -> ResGuideNet:
    """Weights and biases that are all different from zero, as after a training."""
    torch.manual_seed(0)
    network = ResGuideNet(settings).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias") or name.startswith("merge"):
            nn.init.uniform_(parameter, -0.1, 0.1)
    return network


def _picture() -> Tensor:
    return torch.rand(2, 3, 13, 18, generator=torch.Generator().manual_seed(1))


def _refuse(*_: object) -> None:
    raise AssertionError("a block ran that nobody asked for")


@pytest.mark.parametrize("variant", METHOD.variants)
def test_parameter_counts(variant: str) -> None:
    assert _count(ResGuideNet(METHOD.variants[variant].network)) == COUNTS[variant]


def test_blocks_hold_the_published_parameters() -> None:
    blocks = ResGuideNet(METHOD.default.network).blocks
    assert _count(*blocks[:3]) == 19_404
    assert _count(*blocks[:5]) == 37_065
    grow = [_count(later) - _count(block) for block, later in pairwise(blocks)]
    assert grow == [945] * 4


@pytest.mark.parametrize("variant", METHOD.variants)
def test_weights_start_as_xavier_draws_them(variant: str) -> None:
    torch.manual_seed(0)
    layers = [
        layer
        for layer in ResGuideNet(METHOD.variants[variant].network).blocks.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    drawn = []
    for layer in layers:
        field = layer.kernel_size[0] * layer.kernel_size[1]
        bound = math.sqrt(6 / (field * (layer.in_channels + layer.out_channels)))
        drawn.append(layer.weight.detach().flatten() / bound)
        assert layer.bias is not None
        assert not layer.bias.any()
    relative = torch.cat(drawn)
    assert relative.abs().max() <= 1
    assert relative.std() == pytest.approx(1 / math.sqrt(3), rel=0.05)


def test_the_merge_starts_as_the_last_block() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        answer = ResGuideNet(METHOD.default.network)(_picture())
    torch.testing.assert_close(answer.image, answer.parts["block5"])


def test_the_recursive_unit_by_hand() -> None:
    """On one pixel a 3x3 convolution is its middle weight.

    x0 = leaky(-1) = -0.2; h = leaky(-leaky(2 x -0.2)) - 0.2 = -0.12, then -0.152, from which the
    last convolution takes 0.5 x -0.152 + 0.25.
    """
    block = Block(width=1, guidance=0, recursion=2).requires_grad_(False)
    for layer, weight, bias in (
        (block.conv_in, 0.0, -1.0),
        (block.rec1, 2.0, 0.0),
        (block.rec2, -1.0, 0.0),
        (block.conv_out, 0.5, 0.25),
    ):
        layer.weight.fill_(99.0)
        layer.weight[:, :, 1, 1] = weight
        assert layer.bias is not None
        layer.bias.fill_(bias)
    pixel = torch.rand(1, 3, 1, 1)
    torch.testing.assert_close(block(pixel, pixel[:, :0]), torch.full_like(pixel, 0.174))


@pytest.mark.parametrize("variant", ["default", "block3", "nrecur", "baseline-rr", "baseline"])
def test_every_stage_equals_the_formulas(variant: str) -> None:
    settings = METHOD.variants[variant].network
    network, rainy = _network(settings), _picture()
    wanted = _by_the_formulas(network.state_dict(), settings, rainy)
    found = [stage.image for stage in network.stages(rainy)]
    assert len(found) == len(wanted) == settings.blocks + settings.merge
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def _by_the_formulas(state: dict[str, Tensor], settings: Network, x: Tensor) -> list[Tensor]:
    """Compute y_1, y_2, ... and the merged result from the paper's formulas."""

    def conv(name: str, *inputs: Tensor) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv2d(torch.cat(inputs, 1), weight, bias, padding=weight.shape[-1] // 2)

    def leaky(values: Tensor) -> Tensor:
        return torch.where(values > 0, values, 0.2 * values)

    results: list[Tensor] = []
    residuals: list[Tensor] = []
    for k in range(settings.blocks):
        g = residuals if settings.guide else []
        y = results[-1] if results else x
        x0 = h = leaky(conv(f"blocks.{k}.conv_in", y, *g))
        for _ in range(settings.recursion):
            inner = leaky(conv(f"blocks.{k}.rec1", h, *g))
            h = leaky(conv(f"blocks.{k}.rec2", inner)) + x0
        residuals.append(conv(f"blocks.{k}.conv_out", h, *g))
        results.append(x + residuals[-1])
    return [*results, x + conv("merge", *residuals)] if settings.merge else results


@pytest.mark.parametrize("k", range(1, 6))
def test_a_detached_network_gives_the_bits_of_its_stage(k: int) -> None:
    whole, rainy = _network(METHOD.default.network), _picture()
    detached = ResGuideNet(METHOD.variants[f"block{k}"].network).eval()
    kept = {name: whole.state_dict()[name] for name in detached.state_dict()}
    detached.load_state_dict(kept)
    stages = list(whole.stages(rainy))
    assert len(stages) == 6
    assert torch.equal(detached(rainy).image, stages[k - 1].image)
    assert set(stages[k - 1].parts) == {f"block{i}" for i in range(1, k + 1)}


@pytest.mark.parametrize("k", range(1, 6))
def test_blocks_that_are_not_asked_for_do_not_run(k: int) -> None:
    network, rainy = _network(METHOD.default.network), _picture()
    assert network.merge is not None
    for module in (*network.blocks[k:], network.merge):
        module.register_forward_pre_hook(_refuse)
    assert len(list(islice(network.stages(rainy), k))) == k
    with pytest.raises(AssertionError, match="nobody asked for"):
        network(rainy)


def test_parts_are_the_results_of_the_blocks() -> None:
    network, rainy = _network(METHOD.default.network), _picture()
    answer, stages = network(rainy), list(network.stages(rainy))
    assert list(answer.parts) == [f"block{k}" for k in range(1, 6)]
    for part, stage in zip(answer.parts.values(), stages[:-1], strict=True):
        assert torch.equal(part, stage.image)
    assert torch.equal(answer.image, stages[-1].image)
    assert not torch.equal(answer.image, answer.parts["block5"])


class _Residual(nn.Module):
    """A block whose residual is the same everywhere, whatever it sees."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, before: Tensor, g: Tensor) -> Tensor:
        return torch.full_like(before, self.value)


@pytest.mark.parametrize("guide", [True, False])
def test_only_guidance_takes_residuals_past_the_next_block(guide: bool) -> None:
    """Block 2 is fixed, so that block 1 reaches block 3 through the guidance or not at all."""
    network, rainy = _network(Network(blocks=3, merge=False, guide=guide)), _picture()
    last = []
    network.blocks[1] = _Residual(-0.1)
    for first in (-0.3, 0.2):
        network.blocks[0] = _Residual(first)
        last.append(network(rainy).image)
    assert torch.equal(*last) is not guide


def test_without_guidance_a_block_still_sees_the_result_before_it() -> None:
    network, rainy = _network(Network(blocks=2, merge=False, guide=False)), _picture()
    last = []
    for first in (-0.3, 0.2):
        network.blocks[0] = _Residual(first)
        last.append(network(rainy).image)
    assert not torch.equal(*last)


@pytest.mark.parametrize(("variant", "passes"), [("default", 5), ("nrecur", 1), ("baseline-rr", 1)])
def test_the_recursive_unit_runs_as_often_as_its_mode_says(variant: str, passes: int) -> None:
    network = _network(METHOD.variants[variant].network)
    runs = []
    for block in network.blocks:
        block.rec2.register_forward_hook(lambda module, *_: runs.append(module))  # type: ignore[union-attr]
    network(_picture())
    assert len(runs) == 5 * passes
