"""Padding, precision and devices: chosen in one place for every command."""

from __future__ import annotations

import pytest
import torch
from rainkit_graspp_gan import METHOD, Network
from torch import Tensor, nn

from rainkit import networks
from rainkit.api import ImageSpec
from rainkit.errors import UsageError
from rainkit.objective import Derained

CPU32 = networks.choose("cpu", "fp32")


class _Echo(nn.Module):
    """Gives back what it was given, and remembers its size."""

    def forward(self, rainy: Tensor) -> Derained:
        self.seen = tuple(rainy.shape[-2:])
        return Derained(rainy, {"mask": rainy[:, :1], "small": rainy[..., ::2, ::2]})


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (17, 33), (3, 200), (31, 47)])
def test_any_size_goes_in_and_comes_out_unchanged(size: tuple[int, int]) -> None:
    spec = ImageSpec(multiple_of=8, min_size=16)
    echo = _Echo()
    network = networks.prepare(echo, spec, CPU32)
    rainy = torch.rand(2, 3, *size)
    torch.testing.assert_close(network(rainy), rainy)
    assert all(side % 8 == 0 and side >= 16 for side in echo.seen)
    parts = network.derained(rainy).parts
    assert parts["mask"].shape == (2, 1, *size)


def test_padding_reflects_as_far_as_it_can_then_repeats_the_edge() -> None:
    ramp = torch.tensor([1.0, 2.0, 3.0]).expand(1, 3, 3, 3)
    padded = networks.pad(ramp, ImageSpec(min_size=7))
    assert padded[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 1, 1]


def test_a_size_that_fits_is_not_copied() -> None:
    pictures = torch.rand(1, 3, 16, 24)
    assert networks.pad(pictures, ImageSpec(multiple_of=8, min_size=16)) is pictures


@pytest.mark.parametrize(
    ("device", "precision", "named"),
    [
        ("tpu9", "auto", "--device tpu9"),
        ("meta", "auto", "--device meta"),
        ("cuda:97", "auto", "--device cuda:97"),
        ("cpu", "int8", "--precision int8"),
    ],
)
def test_a_device_or_precision_that_cannot_be_is_named(
    device: str, precision: str, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        networks.choose(device, precision)


def test_a_precision_the_method_does_not_declare_is_refused() -> None:
    with pytest.raises(UsageError, match="choose fp32"):
        networks.choose("cpu", "fp16", ImageSpec(half=("bf16",)))


def test_auto_precision_is_fp32_unless_the_method_allows_less() -> None:
    assert networks.choose("cpu", "auto", ImageSpec()).precision == "fp32"


def test_named_modules_stay_fp32_in_half_precision() -> None:
    spec = METHOD.image(METHOD.default.network)
    # Without the skip: a float32 picture added at the end would hide what the last layer gives.
    small = Network(width1=8, width2=8, width3=8, width4=8, context=8, residual=False)
    torch.manual_seed(0)
    network = networks.build(METHOD, small)
    rainy = torch.rand(1, 3, 24, 24)
    with torch.inference_mode():
        whole = networks.prepare(network, spec, CPU32)(rainy)
        half = networks.prepare(network, spec, networks.choose("cpu", "bf16", spec))(rainy)
    assert half.dtype == torch.float32
    assert 0 < (whole - half).abs().max() < 1 / 255
    # A picture that was ever bfloat16 has steps of 1/256 above one half.
    assert (half.bfloat16().float() != half).any()
