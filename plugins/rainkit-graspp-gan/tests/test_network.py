"""RASPP against the paper's figures, and its residual block against timm's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from rainkit_graspp_gan import METHOD
from rainkit_graspp_gan.network import ASPP, RASPP, BasicBlock, Convolution
from torch import Tensor, nn


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        ("default", 222_019),
        ("paper", 222_019),
        ("graspp", 222_019),
        ("wide", 874_115),
        ("resnet18", 17_280_835),
    ],
)
def test_parameter_counts(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        assert _count(RASPP(METHOD.variants[variant].network)) == parameters


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (16, 24)])
def test_basic_block_equals_timms_before_the_papers_changes(inputs: int, outputs: int) -> None:
    from timm.models.resnet import BasicBlock as TimmBlock

    torch.manual_seed(0)
    skip = None
    if inputs != outputs:
        skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
    theirs = TimmBlock(inputs, outputs, downsample=skip)
    ours = BasicBlock(inputs, outputs, slope=0.0, padding_mode="zeros")
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, inputs, 9, 11)
    for train in (True, False):
        torch.testing.assert_close(ours.train(train)(x), theirs.train(train)(x))


def test_the_blocks_reflect_and_leak_as_the_paper_changes_them() -> None:
    block = BasicBlock(8, 8)
    assert block.conv1.padding_mode == block.conv2.padding_mode == "reflect"
    assert block.act1.negative_slope == block.act2.negative_slope == 0.2
    assert all(m.stride == (1, 1) for m in block.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (7, 1), (3, 4)])
@pytest.mark.parametrize("half", [False, True])
def test_convolutions_are_those_of_torch_and_pad_what_they_get(
    kernel: int, dilation: int, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    ours = Convolution(4, 6, kernel, dilation=dilation)
    reach = dilation * (kernel // 2)
    theirs = nn.Conv2d(
        4, 6, kernel, padding=reach, dilation=dilation, padding_mode="reflect"
    )  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 4, 9, 11).to(torch.bfloat16 if half else torch.float32)
    padded: list[torch.dtype] = []
    pad = F.pad

    def told(maps: Tensor, *amounts: object, **options: object) -> Tensor:
        result: Tensor = pad(maps, *amounts, **options)  # type: ignore[arg-type]
        padded.append(result.dtype)
        return result

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        expected = theirs(x)
        monkeypatch.setattr(F, "pad", told)
        assert torch.equal(ours(x), expected)
    assert padded == [x.dtype]


def test_aspp_has_the_three_rates_and_keeps_the_size() -> None:
    aspp = ASPP(8, 6)
    dilations = [branch[0].dilation for branch in aspp.branches]  # type: ignore[index, union-attr]
    assert dilations == [(1, 1), (2, 2), (4, 4)]
    assert aspp(torch.rand(1, 8, 5, 7)).shape == (1, 18, 5, 7)


def test_without_the_skip_the_network_generates_the_picture_itself() -> None:
    torch.manual_seed(0)
    rainy = torch.rand(1, 3, 12, 12)
    direct = RASPP(METHOD.variants["paper"].network).eval()
    skipping = RASPP(METHOD.default.network).eval()
    skipping.load_state_dict(direct.state_dict())
    torch.testing.assert_close(skipping(rainy).image - rainy, direct(rainy).image)
