"""The time-lapse network: its sizes, its fusions, and the subtraction of streaks."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from rainkit_timelapse import METHOD, Network
from rainkit_timelapse.network import DynFull, DynLowRank, TimeLapse, Upsample

from rainkit import hyperparameters
from rainkit.errors import UsageError

PAPER = METHOD.variants["paper"].network
LIGHT = Network(fusion="dyn_full")


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        (PAPER, 172_009_921),
        (dataclasses.replace(PAPER, fusion="dyn_lowrank"), 21_129_985),
        (dataclasses.replace(PAPER, fusion="concat"), 21_015_233),
        (dataclasses.replace(PAPER, fusion="sum"), 20_818_369),
        (dataclasses.replace(PAPER, fusion="prod"), 20_818_369),
        (dataclasses.replace(LIGHT, widths=(32, 64, 128)), 21_819_105),
        (LIGHT, 3_096_433),
    ],
)
def test_parameter_counts(settings: Network, parameters: int) -> None:
    with torch.device("meta"):
        network = TimeLapse(settings)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_papers_filter_has_its_shape() -> None:
    """W* in R^(256x768), section III-B; here a quarter of the width."""
    fusion, z = DynFull(64), torch.rand(2, 192, 3, 4)
    filters = fusion.filters(z)
    assert filters.shape == (2, 64, 192)
    expected = torch.einsum("boi,bihw->bohw", filters, z)
    torch.testing.assert_close(fusion(z), expected)


def test_the_low_rank_filter_is_a_fixed_one_plus_a_generated_one() -> None:
    torch.manual_seed(0)
    fusion, z = DynLowRank(8, rank=3), torch.rand(2, 24, 5, 4)
    u, v = fusion.u.weight.flatten(1), fusion.v.weight.flatten(1)
    gains = F.linear(z.mean((2, 3)), fusion.g.weight.flatten(1), fusion.g.bias)
    filters = fusion.w0.weight.flatten(1) + u @ torch.diag_embed(gains) @ v
    expected = torch.einsum("boi,bihw->bohw", filters, z)
    expected = expected + fusion.w0.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
    torch.testing.assert_close(fusion(z), expected)


def test_upsampling_ones_gives_ones_up_to_the_border() -> None:
    torch.testing.assert_close(Upsample()(torch.ones(1, 2, 3, 5)), torch.ones(1, 2, 6, 10))


def test_upsampling_keeps_pixels_and_puts_means_between() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 4, 5)
    wide = Upsample()(x)
    torch.testing.assert_close(wide[..., ::2, ::2], x)
    torch.testing.assert_close(wide[..., ::2, 1:-1:2], (x[..., :-1] + x[..., 1:]) / 2)
    torch.testing.assert_close(wide[..., -1, ::2], x[..., -1, :])


def test_zeros_beyond_the_border_halve_the_last_row_and_column() -> None:
    """As printed: the plain transposed convolution of the fixed kernel."""
    assert PAPER.border == "zero"
    torch.manual_seed(0)
    x, up = torch.rand(1, 2, 3, 4), Upsample("zero")
    wide, repeated = up(x), Upsample()(x)
    kernel = up.kernel.expand(2, -1, -1, -1)
    printed = F.conv_transpose2d(x, kernel, stride=2, padding=1, output_padding=1, groups=2)
    torch.testing.assert_close(wide, printed)
    torch.testing.assert_close(wide[..., :-1, :-1], repeated[..., :-1, :-1])
    torch.testing.assert_close(wide[..., :-1, -1], repeated[..., :-1, -1] / 2)
    torch.testing.assert_close(wide[..., -1, -1], repeated[..., -1, -1] / 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_streaks_are_subtracted_and_nothing_goes_below_black(channels: int) -> None:
    torch.manual_seed(0)
    network = TimeLapse(Network(channels=channels)).eval()  # type: ignore[arg-type]
    rainy = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        network.decoder.out.bias.fill_(0.4)
        answer = network(rainy)
    streaks = answer.parts["streaks"]
    assert streaks.shape[1] == channels
    assert streaks.min() >= 0
    assert (streaks > rainy).any()  # beyond the picture
    torch.testing.assert_close(answer.image, (rainy - streaks).clamp(min=0))


def test_streaks_may_be_negative_while_training_but_in_the_papers_form() -> None:
    rainy = torch.rand(1, 3, 16, 16)
    for rectify in (False, True):
        torch.manual_seed(0)
        network = TimeLapse(Network(rectify=rectify)).train()
        with torch.no_grad():
            network.decoder.out.bias.fill_(-1)
            streaks = network(rainy).parts["streaks"]
        assert bool((streaks < 0).any()) is not rectify


def test_one_channel_sees_luma_alone() -> None:
    torch.manual_seed(0)
    network = TimeLapse(Network()).eval()
    colour = torch.rand(1, 3, 16, 16)
    luma = (colour * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.no_grad():
        coloured = network(colour).parts["streaks"]
        grey = network(luma.expand(-1, 3, -1, -1)).parts["streaks"]
    torch.testing.assert_close(coloured, grey)


@pytest.mark.parametrize("kernels", ["2,4,6", "0,1,3"])
def test_kernels_without_a_middle_are_refused(kernels: str) -> None:
    with pytest.raises(UsageError, match=r"network\.kernels"):
        hyperparameters.resolve(METHOD, settings=(f"network.kernels={kernels}",))
