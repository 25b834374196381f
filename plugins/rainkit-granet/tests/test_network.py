"""GraNet: its parameters, attention, pooling, both stages, and odd sizes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from rainkit_granet import METHOD, Network
from rainkit_granet.network import (
    CoarseStage,
    DenseBlock,
    FineStage,
    GraNet,
    RegionAware,
    merge,
    unpool,
)
from torch import Tensor, nn

from rainkit import networks
from rainkit.backends import decibels
from rainkit.precision import choose_runtime

LAYERS = 2

COUNTS = {
    "default": 1_059_558,
    "paper": 1_059_558,
    "coarse-no-ra": 464_963,
    "coarse": 490_019,
    "no-context": 493_542,
}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _trained(network: nn.Module) -> nn.Module:
    """Attention that does something, as after a training: its last layer starts as zero."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, RegionAware):
            for layer, scale in ((module.theta, 2.0), (module.phi, 2.0), (module.w, 0.5)):
                nn.init.normal_(layer.weight, std=scale, generator=generator)
                assert layer.bias is not None
                nn.init.normal_(layer.bias, std=0.1, generator=generator)
    return network.eval().requires_grad_(False)


def _small(**switches: bool) -> Network:
    return Network(width=8, growth=4, layers=LAYERS, **switches)


def _network(**switches: bool) -> GraNet:
    torch.manual_seed(0)
    network = GraNet(_small(**switches))
    _trained(network)
    return network


def _picture(height: int, width: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(2, channels, height, width, generator=generator)


@pytest.mark.parametrize("variant", METHOD.variants)
def test_parameter_counts(variant: str) -> None:
    assert _count(GraNet(METHOD.variants[variant].network)) == COUNTS[variant]


def test_parameter_counts_of_the_blocks() -> None:
    assert _count(DenseBlock(64, 32, 4)) == 141_504
    assert _count(RegionAware(64, 1)) == 8_352


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_region_aware_blocks_start_as_the_identity(grid: int) -> None:
    x = _picture(9, 14, 8)
    assert torch.equal(RegionAware(8, grid)(x), x)


@pytest.mark.parametrize("grid", [1, 2, 4])
@pytest.mark.parametrize(
    "size", [(8, 8), (16, 12), (10, 7), (5, 9), (3, 5), (4, 4), (2, 11), (1, 1)]
)
def test_attention_is_the_explicit_softmax_of_each_region(grid: int, size: tuple[int, int]) -> None:
    """Also where regions are one pixel wide, uneven, or fewer than the grid asks for."""
    torch.manual_seed(0)
    block, x = _trained(RegionAware(8, grid)), _picture(*size, 8)
    found, wanted = block(x), _attended(block.state_dict(), x, grid)
    assert (found - wanted).abs().max() <= 1e-5
    assert (found - x).abs().max() > 1e-2


def _attended(state: dict[str, Tensor], x: Tensor, grid: int) -> Tensor:
    """X + W softmax(theta^T phi) g, one region after the other; nothing is divided by sqrt(d)."""

    def point(name: str, maps: Tensor) -> Tensor:
        weight, bias = state[f"{name}.weight"][..., 0, 0], state[f"{name}.bias"]
        return torch.einsum("oc,bchw->bohw", weight, maps) + bias[:, None, None]

    answer = torch.full_like(x, torch.nan)
    for rows in _regions(x.shape[2], grid):
        for columns in _regions(x.shape[3], grid):
            region = x[..., rows, columns]
            query = point("theta", region)
            key = _pooled(point("phi", region)).flatten(2)
            value = _pooled(point("g", region)).flatten(2)
            affinity = torch.einsum("bcq,bck->bqk", query.flatten(2), key)
            shares = affinity.exp() / affinity.exp().sum(2, keepdim=True)
            attended = torch.einsum("bqk,bck->bcq", shares, value)
            answer[..., rows, columns] = region + point("w", attended.reshape(query.shape))
    return answer


def _regions(size: int, grid: int) -> list[slice]:
    """Regions of ceil(size / grid); the last may be smaller."""
    step = -(-size // grid)
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _pooled(maps: Tensor) -> Tensor:
    """Largest of 2x2, or of what there is where a side is one pixel."""
    for dimension in (2, 3):
        size = maps.shape[dimension]
        if size > 1:
            lines = maps.movedim(dimension, 0)[: size // 2 * 2]
            maps = torch.maximum(lines[0::2], lines[1::2]).movedim(0, dimension)
    return maps


def test_regions_do_not_see_each_other() -> None:
    block, x = _trained(RegionAware(8, 2)), _picture(10, 10, 8)
    changed = x.clone()
    changed[..., 5:, 5:] += 1
    difference = (block(changed) - block(x)).abs().amax((0, 1)) > 0
    assert difference[5:, 5:].all()
    assert difference.sum() == 25


def test_pooled_values_return_to_where_they_were_largest() -> None:
    """With blocks that do nothing, every level doubles what is largest in its cell."""
    stage = CoarseStage(_small(region_aware=False)).requires_grad_(False)
    stage.head = nn.Identity()  # type: ignore[assignment]
    stage.local_blocks = nn.ModuleList(nn.Identity() for _ in range(3))
    x = _picture(17, 25, 8)
    times = torch.ones_like(x)
    for side in (2, 4, 8):
        rows, columns = 17 // side * side, 25 // side * side
        part = x[..., :rows, :columns]
        largest = F.max_pool2d(part, side).repeat_interleave(side, 2).repeat_interleave(side, 3)
        times[..., :rows, :columns] += part == largest
    torch.testing.assert_close(stage(x), x * times)
    assert set(times.flatten().tolist()) == {1, 2, 3, 4}


def test_a_dense_block_joins_maps_in_the_type_of_its_convolutions() -> None:
    torch.manual_seed(0)
    block = DenseBlock(8, 4, 3)
    x = torch.randn(1, 8, 9, 11)
    seen: list[Tensor] = []
    for layer in (*block.layers, block.fuse):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = block(x)
        grown = x
        for layer in block.layers:
            grown = torch.cat([grown, layer(grown).relu()], 1)  # in float32
        expected = block.fuse(grown) + x
    assert [each.dtype for each in seen[:4]] == [torch.float32, *[torch.bfloat16] * 3]
    assert torch.equal(found, expected)


def test_merging_is_the_mean_of_the_levels() -> None:
    levels = [_picture(5, 7, 8) + k for k in range(4)]
    torch.testing.assert_close(merge(levels), sum(levels, torch.zeros(())) / 4)


@pytest.mark.parametrize("size", [(17, 33), (8, 8), (20, 20), (31, 40)])
@pytest.mark.parametrize("region_aware", [True, False])
def test_the_network_equals_the_formulas(size: tuple[int, int], region_aware: bool) -> None:
    network, rainy = _network(region_aware=region_aware), _picture(*size)
    mask, coarse, image = _by_the_formulas(network.state_dict(), rainy, region_aware)
    answer = network(rainy)
    torch.testing.assert_close(answer.parts["mask"], mask, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(answer.parts["coarse"], coarse, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(answer.image, image, atol=1e-5, rtol=1e-4)


def _by_the_formulas(
    state: dict[str, Tensor], rainy: Tensor, region_aware: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the mask, the coarse picture and the result from the paper's formulas."""

    def conv(name: str, x: Tensor) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def dense(name: str, x: Tensor) -> Tensor:
        seen = [x]
        for i in range(LAYERS):
            seen.append(conv(f"{name}.layers.{i}", torch.cat(seen, 1)).clamp(min=0))
        return conv(f"{name}.fuse", torch.cat(seen, 1)) + x

    def attend(level: int, x: Tensor) -> Tensor:
        name = f"coarse.global_blocks.{level}."
        own = {key.removeprefix(name): value for key, value in state.items() if name in key}
        return _attended(own, x, 2**level) if region_aware else x

    def unpool(x: Tensor, before: Tensor) -> Tensor:
        """To where each 2x2 cell of ``before`` is largest; zeros elsewhere."""
        height, width = x.shape[2] * 2, x.shape[3] * 2
        odd = (0, before.shape[3] - width, 0, before.shape[2] - height)
        largest = _pooled(before).repeat_interleave(2, 2).repeat_interleave(2, 3)
        spread = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return F.pad(spread * (before[..., :height, :width] == largest), odd)

    f = conv("coarse.head.1", conv("coarse.head.0", rainy))
    l0 = dense("coarse.local_blocks.0", f)
    l1 = dense("coarse.local_blocks.1", _pooled(l0))
    l2 = dense("coarse.local_blocks.2", _pooled(l1))
    g1 = unpool(attend(0, _pooled(l2)), l2) + l2
    g2 = unpool(attend(1, g1), l1) + l1
    g3 = unpool(attend(2, g2), l0) + l0
    mask = conv("mask", g3).tanh()
    coarse = rainy - mask
    d1 = dense("fine.blocks.0", conv("fine.head", coarse))
    d2 = dense("fine.blocks.1", d1)
    d3 = dense("fine.blocks.2", d2)
    d4 = dense("fine.blocks.3", d3)
    return mask, coarse, conv("fine.out", (d1 + d2 + d3 + d4) / 4)


@pytest.mark.parametrize("size", [(481, 321), (17, 33), (8, 8), (20, 20), (8, 200)])
def test_odd_sizes_come_back_finite_at_their_size(size: tuple[int, int]) -> None:
    rainy = _picture(*size)[:1]
    answer = _network()(rainy)
    for picture in (answer.image, *answer.parts.values()):
        assert picture.shape == rainy.shape
        assert picture.isfinite().all()


@pytest.mark.parametrize("variant", METHOD.variants)
def test_the_coarse_picture_is_the_rainy_one_minus_the_mask(variant: str) -> None:
    rainy = _picture(17, 33)[:1]
    network = _trained(GraNet(METHOD.variants[variant].network))
    parts = network(rainy).parts
    assert torch.equal(rainy - parts["mask"], parts["coarse"])
    assert parts["mask"].abs().max() > 1e-3


def test_the_mask_stays_between_minus_one_and_one() -> None:
    network = _network()
    network.mask.weight *= 1000
    mask = network(_picture(16, 16)).parts["mask"]
    assert mask.abs().max() <= 1
    assert mask.min() < -0.9
    assert mask.max() > 0.9


def test_the_fine_stage_draws_anew_or_corrects_the_coarse_picture() -> None:
    rainy, anew, correcting = _picture(16, 20), _network(), _network(fine_residual=True)
    correcting.load_state_dict(anew.state_dict())
    drawn, corrected = anew(rainy), correcting(rainy)
    assert torch.equal(corrected.parts["coarse"], drawn.parts["coarse"])
    torch.testing.assert_close(corrected.image, drawn.parts["coarse"] + drawn.image)
    assert METHOD.default.network.fine_residual
    assert not METHOD.variants["paper"].network.fine_residual


def test_without_context_two_convolutions_remain_of_the_fine_stage() -> None:
    torch.manual_seed(0)
    stage = FineStage(_small(context=False))
    assert {name.split(".")[0] for name, _ in stage.named_parameters()} == {"head", "out"}
    coarse = _picture(9, 9)
    torch.testing.assert_close(stage(coarse), stage.out(stage.head(coarse)))


def test_without_a_fine_stage_the_coarse_picture_is_the_result() -> None:
    answer = _network(fine=False)(_picture(9, 16))
    assert torch.equal(answer.image, answer.parts["coarse"])


def test_attention_maps_are_the_weights_that_attention_takes():
    """Of one point: softmax(theta phi^T); of all: its mean; 1 is even within a region."""
    block, x = RegionAware(8, 2), torch.rand(1, 8, 12, 20, generator=torch.Generator())
    _trained(nn.ModuleList([block]))
    region = x[..., :6, 10:]  # of the grid of 2 x 2: upper right
    query = block.theta(region)[0].flatten(1)
    key = F.max_pool2d(block.phi(region), 2)[0].flatten(1)
    weights = (query.T @ key).softmax(1)  # [60,15]
    one = block.attention_map(x, (2.5 / 12, 13.5 / 20))  # row 2, column 13: 3 in the region
    wanted = 15 * weights[2 * 10 + 3].reshape(3, 5)
    torch.testing.assert_close(one[0, 0, :6:2, 10::2], wanted)
    assert one[..., 6:, :].abs().max() == one[..., :10].abs().max() == 0
    every = block.attention_map(x)
    torch.testing.assert_close(every[0, 0, :6:2, 10::2], 15 * weights.mean(0).reshape(3, 5))
    torch.testing.assert_close(every.mean(), torch.tensor(1.0))
    assert wanted.std() > 0.01


@pytest.mark.parametrize("exporting", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (9, 7), (2, 13)])
def test_unpooling_by_comparison_equals_that_by_indices(
    size: tuple[int, int], exporting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exporting)
    # Rounded, so that windows hold equal values.
    local = (_picture(*size, channels=4) * 3).round()
    maxima, indices = F.max_pool2d(local, 2, return_indices=True)
    values = torch.randn(maxima.shape, generator=torch.Generator().manual_seed(1))
    wanted = F.max_unpool2d(values, indices, [2, 2], output_size=local.shape[-2:])
    assert torch.equal(unpool(values, local, maxima), wanted)


def test_the_operations_of_exported_files_give_the_same_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = _network()
    rainy = _picture(45, 70)[:1]
    with torch.no_grad():
        wanted = network(rainy).image
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
        assert torch.allclose(network(rainy).image, wanted, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_traced_network_is_the_same_network() -> None:
    network = _network()

    class Whole(nn.Module):
        def forward(self, rainy: Tensor) -> Tensor:
            return network(rainy).image

    rainy = _picture(45, 70)[:1]
    with torch.no_grad():
        traced = torch.jit.trace_module(Whole(), {"forward": rainy}, check_trace=False)
        for picture in (rainy, _picture(64, 64)[:1], _picture(33, 90)[:1]):
            assert torch.allclose(traced(picture), network(picture).image, atol=1e-5)


def test_attention_may_be_rounded_and_what_is_pooled_is_not() -> None:
    settings = Network(width=8, growth=4, layers=2)
    torch.manual_seed(0)
    network = networks.build(METHOD, settings)
    for block in network.coarse.global_blocks:
        nn.init.normal_(block.w.weight, std=0.1)  # they start as the identity
    spec = METHOD.image(settings)
    rainy = torch.rand(1, 3, 41, 38)
    exact, rounded = (
        networks.prepare(copy.deepcopy(network), spec, choose_runtime("cpu", precision, spec))
        for precision in ("fp32", "bf16")
    )
    kinds: dict[str, torch.dtype] = {}
    for name in ("local_blocks.0", "local_blocks.2.layers.1", "global_blocks.0.theta"):
        rounded.network.coarse.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: kinds.update({name: output.dtype})
        )
    with torch.inference_mode():
        assert decibels(rounded(rainy), exact(rainy)) > 60
    assert [*kinds.values()] == [torch.float32, torch.float32, torch.bfloat16]
