"""The time-lapse paper's network (section III-B): three encoders, a fusion and one decoder.

The network gives the streak layer S of a picture I; the clean picture is B = max(I - S, 0).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained
from rainkit_timelapse import Network

__all__ = [
    "Concat",
    "Decoder",
    "DynFull",
    "DynLowRank",
    "Encoder",
    "Product",
    "Sum",
    "TimeLapse",
    "Upsample",
]

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luma, BT.601."""


class Encoder(nn.Module):
    """E_k: seven k x k convolutions with ReLU and three 2x2 max-poolings (III-B, Table I)."""

    def __init__(self, kernel: int, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        inputs = channels
        for width, count in zip(widths, (2, 2, 3), strict=True):
            self.levels.append(_convolutions(kernel, [inputs, *[width] * count]))
            inputs = width

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B,c,H,W] -> [B,w3,H/8,W/8], and s1, s2, s3 at H, H/2 and H/4."""
        skips: list[Tensor] = []
        for level in self.levels:
            skips.append(level(x))
            x = F.max_pool2d(skips[-1], 2)
        return x, skips


class Sum(nn.Module):
    """E_a + E_b + E_c (III-B, Table VII)."""

    def forward(self, z: Tensor) -> Tensor:
        """[B,3w,h,w] -> [B,w,h,w]."""
        a, b, c = z.chunk(3, 1)
        return a + b + c


class Product(nn.Module):
    """E_a x E_b x E_c (III-B, Table VII)."""

    def forward(self, z: Tensor) -> Tensor:
        """[B,3w,h,w] -> [B,w,h,w]."""
        a, b, c = z.chunk(3, 1)
        return a * b * c


class Concat(nn.Module):
    """A 1x1 convolution that is the same for every picture (III-B, Table VII)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w0 = nn.Conv2d(3 * width, width, 1)

    def forward(self, z: Tensor) -> Tensor:
        """[B,3w,h,w] -> [B,w,h,w]."""
        fused: Tensor = self.w0(z)
        return fused


class DynFull(nn.Module):
    """A filter W* that is generated as a whole from the picture's mean features (III-B)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.generator = nn.Conv2d(3 * width, 3 * width * width, 1)

    def forward(self, z: Tensor) -> Tensor:
        """[B,3w,h,w] -> [B,w,h,w]: f = W* z with W* of [w,3w] for each picture."""
        fused: Tensor = self.filters(z) @ z.flatten(2)
        return fused.reshape(z.shape[0], self.width, *z.shape[2:])

    def filters(self, z: Tensor) -> Tensor:
        """Return W* of each picture, [B,w,3w]."""
        generated: Tensor = self.generator(z.mean((2, 3), keepdim=True))
        return generated.reshape(z.shape[0], self.width, 3 * self.width)


class DynLowRank(nn.Module):
    """Generated filters that differ by a matrix of low rank: W* = W0 + U diag(g(mean of z)) V.

    It has a five-hundredth of the parameters of :class:`DynFull`.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.w0 = nn.Conv2d(3 * width, width, 1)
        self.v = nn.Conv2d(3 * width, rank, 1, bias=False)
        self.g = nn.Conv2d(3 * width, rank, 1)
        self.u = nn.Conv2d(rank, width, 1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        """[B,3w,h,w] -> [B,w,h,w]."""
        gains = self.g(z.mean((2, 3), keepdim=True))
        fused: Tensor = self.w0(z) + self.u(gains * self.v(z))
        return fused


class Upsample(nn.Module):
    """Bilinear upsampling to twice the size by a fixed transposed convolution (III-B, Table II).

    Pixel 2i is pixel i, and pixel 2i+1 is the mean of its neighbours. Beyond the border the last
    pixel is repeated. With zeros, as the paper pads, the last row and column have half their value.
    """

    kernel: Tensor

    def __init__(self, border: str = "repeat") -> None:
        super().__init__()
        self.border = border
        ramp = torch.tensor([0.5, 1.0, 0.5])
        self.register_buffer("kernel", torch.outer(ramp, ramp)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,C,2H,2W]."""
        if self.border == "zero":
            padded = F.pad(x, (0, 1, 0, 1))
        else:
            padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
        channels = int(x.shape[1])  # an exported file needs a number
        kernel = self.kernel.to(x.dtype).expand(channels, -1, -1, -1)
        wide = F.conv_transpose2d(padded, kernel, stride=2, padding=1, groups=channels)
        return wide[..., : 2 * x.shape[2], : 2 * x.shape[3]]


class Decoder(nn.Module):
    """Three levels that upsample, join the encoders' skips, and convolve (III-B, Table II)."""

    def __init__(
        self, encoders: int, channels: int, widths: tuple[int, ...], border: str = "repeat"
    ) -> None:
        super().__init__()
        w1, w2, w3 = widths
        joined = 1 + encoders
        self.up = Upsample(border)
        self.level3 = _convolutions(3, [joined * w3, w3, w3, w3, w2])
        self.level2 = _convolutions(3, [joined * w2, w2, w2, w1])
        self.level1 = _convolutions(3, [joined * w1, w1, w1])
        self.out = nn.Conv2d(w1, channels, 3, padding=1)

    def forward(self, f: Tensor, skips: list[list[Tensor]]) -> Tensor:
        """[B,w3,H/8,W/8] and s1, s2, s3 of each encoder -> [B,c,H,W], of either sign."""
        s1, s2, s3 = zip(*skips, strict=True)
        x = self.level3(torch.cat([self.up(f), *s3], 1))
        x = self.level2(torch.cat([self.up(x), *s2], 1))
        x = self.level1(torch.cat([self.up(x), *s1], 1))
        result: Tensor = self.out(x)
        return result


class TimeLapse(nn.Module):
    """The encoders, the fusion, the decoder, and the subtraction of the streaks (III-B)."""

    def __init__(self, settings: Network) -> None:
        super().__init__()
        self.channels = settings.channels
        self.rectify = settings.rectify
        widths = settings.widths
        self.encoders = nn.ModuleList(
            Encoder(kernel, settings.channels, widths) for kernel in settings.kernels
        )
        self.fusion = _fusion(settings)
        self.decoder = Decoder(len(settings.kernels), settings.channels, widths, settings.border)

    def forward(self, rainy: Tensor) -> Derained:
        """[B,3,H,W] in [0,1], sides multiples of 8 -> B, at least 0; the part is S."""
        x = rainy
        if self.channels == 1:
            x = (rainy * rainy.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        answers = [encoder(x) for encoder in self.encoders]
        f = F.relu(self.fusion(torch.cat([features for features, _ in answers], 1)))
        streaks = self.decoder(f, [skips for _, skips in answers]).float()
        # In training a rectified S has no gradient where it is 0, and soon it is 0 everywhere.
        if self.rectify or not self.training:
            streaks = streaks.clamp(min=0)
        return Derained((rainy - streaks).clamp(min=0), {"streaks": streaks})


def _convolutions(kernel: int, widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _fusion(settings: Network) -> nn.Module:
    width = settings.widths[-1]
    match settings.fusion:
        case "sum":
            return Sum()
        case "prod":
            return Product()
        case "concat":
            return Concat(width)
        case "dyn_full":
            return DynFull(width)
        case "dyn_lowrank":
            return DynLowRank(width, settings.rank)
