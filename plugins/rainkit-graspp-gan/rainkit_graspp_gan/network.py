"""RASPP, the generator of GRASPP-GAN (section 3.2): encoder, atrous spatial pyramid, fusion.

Every convolution has stride 1 and every padding reflects, so that the output has the input's
resolution and no dark border.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained
from rainkit_graspp_gan import Network

__all__ = ["ASPP", "RASPP", "BasicBlock", "Convolution", "Encoder", "Fusion"]

SLOPE = 0.2
"""Slope of every LeakyReLU, which the paper states for 'our model' beside the discriminator."""

RATES = (1, 2, 4)
"""Dilations of the atrous branches (section 3.2)."""


class Convolution(nn.Conv2d):
    """A convolution of stride 1 that keeps the picture's size; its padding reflects by default.

    It computes what ``nn.Conv2d`` computes. Autocast on a processor pads in float32, which costs
    two copies of every map; here maps are padded in the type that they have.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        dilation: int = 1,
        padding_mode: Literal["reflect", "zeros"] = "reflect",
        bias: bool = True,
    ) -> None:
        reach = dilation * (kernel // 2)
        super().__init__(
            inputs,
            outputs,
            kernel,
            padding=reach,
            dilation=dilation,
            padding_mode=padding_mode,
            bias=bias,
        )
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        if self.padding_mode == "zeros" or not (x.is_cpu and torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            x = F.pad(x, (self.reach,) * 4, mode=self.padding_mode)
        return F.conv2d(x, self.weight, self.bias, dilation=self.dilation)


class BasicBlock(nn.Module):
    """ResNet-18's block without stride (section 3.2): act(x + bn2(conv2(act(bn1(conv1(x)))))).

    If the width changes, a 1x1 convolution with batch normalisation carries the skip. With
    ``slope=0`` and ``padding_mode="zeros"`` the block computes what timm's ``BasicBlock`` of
    stride 1 computes.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        slope: float = SLOPE,
        padding_mode: Literal["reflect", "zeros"] = "reflect",
    ) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, 3, padding_mode=padding_mode, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act1 = nn.LeakyReLU(slope, inplace=True)
        self.conv2 = Convolution(outputs, outputs, 3, padding_mode=padding_mode, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.act2 = nn.LeakyReLU(slope, inplace=True)
        self.downsample = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        out = self.act1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        result: Tensor = self.act2(out + self.downsample(x))
        return result


class Encoder(nn.Module):
    """ResNet-18 without stride and pooling (section 3.2): a 7x7 stem, four layers of two blocks."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = Convolution(3, widths[0], 7, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.act1 = nn.LeakyReLU(SLOPE, inplace=True)
        inputs = (widths[0], *widths[:3])
        self.layers = nn.ModuleList(
            nn.Sequential(BasicBlock(i, w), BasicBlock(w, w))
            for i, w in zip(inputs, widths, strict=True)
        )

    def forward(self, rainy: Tensor) -> Tensor:
        """[B, 3, H, W] -> f1 [B, width4, H, W]."""
        x: Tensor = self.act1(self.bn1(self.conv1(rainy)))
        for layer in self.layers:
            x = layer(x)
        return x


class ASPP(nn.Module):
    """Atrous spatial pyramid (section 3.2): dilated 3x3 convolutions for rain of several widths."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                Convolution(inputs, outputs, 3, dilation=rate),
                nn.LeakyReLU(SLOPE, inplace=True),
                nn.Conv2d(outputs, outputs, 1),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for rate in RATES
        )

    def forward(self, f1: Tensor) -> Tensor:
        """[B, inputs, H, W] -> f2 [B, 3 outputs, H, W]."""
        return torch.cat([branch(f1) for branch in self.branches], dim=1)


class Fusion(nn.Module):
    """Three 3x3 convolutions that fuse the pyramid into a picture (section 3.2)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, width, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = Convolution(width, width, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)
        self.out = Convolution(width, 3, 3)

    def forward(self, f2: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, 3, H, W]."""
        x = self.act(self.bn1(self.conv1(f2)))
        x = self.act(self.bn2(self.conv2(x)))
        result: Tensor = self.out(x)
        return result


class RASPP(nn.Module):
    """The generator G: encoder, ASPP, fusion (section 3.2).

    The paper has no skip from the rainy picture to the result (``residual=False``). With the
    skip the network starts from the rainy picture and learns the rain, which a short training
    needs: 23.2 dB against 19.2 dB after 100 steps of a small test.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__()
        widths = (settings.width1, settings.width2, settings.width3, settings.width4)
        self.residual = settings.residual
        self.encoder = Encoder(widths)
        self.aspp = ASPP(widths[3], settings.context)
        self.fusion = Fusion(len(RATES) * settings.context, settings.context)

    def forward(self, rainy: Tensor) -> Derained:
        """[B, 3, H, W] in [0, 1], sides of at least 5 px -> the clean picture, not clamped."""
        d = self.fusion(self.aspp(self.encoder(rainy)))
        return Derained(rainy + d if self.residual else d, {})
