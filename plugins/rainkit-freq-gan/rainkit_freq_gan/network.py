"""FreqGAN's generator: base and detail of a picture (section I.A), derained in stages (I.B).

The recurrence is that of PReNet. With the input y, the picture x_0 = y and a state s_0 of zeros,
stage t is::

    x_{t-0.5} = f_in(base, detail, x_{t-1})
    s_t = f_recurrent(s_{t-1}, x_{t-0.5})       (equation 4)
    x_t = f_out(f_res(s_t)) [+ y]               (equation 5; the paper prints no sum with y)

All stages share their weights. The residual blocks serve the picture of their own stage alone: the
next stage gets the state s_t, which is h and c of the LSTM, and not f_res(s_t).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained
from rainkit_freq_gan.settings import RADIUS, Network

__all__ = [
    "ECA",
    "ConvLSTM",
    "FreqGAN",
    "ResBlock",
    "SqueezeExcitation",
    "decompose",
    "guided_filter",
    "means",
]

State: TypeAlias = tuple[Tensor, Tensor]
"""h and c of the LSTM, each [B,width,H,W]."""

EPSILON = 1.0
"""Epsilon of the guided filter for values in [0,1], so large that streaks become detail."""


class SqueezeExcitation(nn.Module):
    """Channel attention: each map is weighted according to the means of all maps."""

    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, width // ratio, 1)
        self.excite = nn.Conv2d(width // ratio, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,H,W] -> the same shape."""
        weights = self.excite(F.relu(self.squeeze(means(x))))
        return x * torch.sigmoid(weights)


class ECA(nn.Module):
    """Channel attention by one kernel over neighbouring maps (Wang et al., CVPR 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,H,W] -> the same shape."""
        weights = self.conv(means(x).flatten(1).unsqueeze(1))
        return x * torch.sigmoid(weights).transpose(1, 2).unsqueeze(3)


class ConvLSTM(nn.Module):
    """f_recurrent of equation 4: a convolutional LSTM without peepholes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, padding=1)

    def forward(self, f: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Features f and the state h, c, all [B,width,H,W] -> the next h and c."""
        sigmoids, g = self.gates(torch.cat([f, h], 1)).split([3 * c.shape[1], c.shape[1]], 1)
        # torch is slow on thin slices of maps in channels_last, and in half precision on all; cat
        # makes a map of its own of one.
        if sigmoids.dtype != torch.float32:
            sigmoids = torch.cat([sigmoids], 1)
        i, forget, o = torch.sigmoid(sigmoids).chunk(3, 1)
        c = forget * c + i * torch.tanh(torch.cat([g], 1))
        return o * torch.tanh(c), c


class ResBlock(nn.Module):
    """A fifth of f_res: two convolutions with ReLU, channel attention, and a skip."""

    def __init__(self, width: int, attention: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.attention: nn.Module = nn.Identity()
        if attention == "se":
            self.attention = SqueezeExcitation(width)
        elif attention == "eca":
            self.attention = ECA()

    def forward(self, h: Tensor) -> Tensor:
        """[B,width,H,W] -> the same shape."""
        x = F.relu(self.conv1(h), inplace=True)
        x = F.relu(self.conv2(x), inplace=True)
        return F.relu(h + self.attention(x), inplace=True)


class FreqGAN(nn.Module):
    """T stages with one set of weights; each starts from the last picture and the state.

    Base and detail are an additional constraint: they enter every stage unchanged.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__()
        width = settings.width
        self.frequency = settings.frequency
        self.recurrence = settings.recurrence
        self.passes = settings.stages
        self.residual = settings.residual
        inputs = {"none": 6, "both": 9, "all": 12}[settings.frequency]
        self.f_in = nn.Conv2d(inputs, width, 3, padding=1)
        self.f_recurrent = ConvLSTM(width)
        self.f_res = nn.Sequential(
            *(ResBlock(width, settings.attention) for _ in range(settings.blocks))
        )
        self.f_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, rainy: Tensor) -> Derained:
        """[B,3,H,W] in [0,1] -> x_T [B,3,H,W], not clamped.

        Parts are the base and the detail, if the network sees them, and x_1 to x_T as ``stage1``,
        ``stage2``...
        """
        *_, last = self.stages(rainy)
        return last

    def stages(self, rainy: Tensor) -> Iterator[Derained]:
        """Yield x_1 to x_T. Stages whose results are not requested are not run."""
        parts = {} if self.frequency == "none" else decompose(rainy)
        whole = [] if self.frequency == "both" else [rainy]
        constraint = torch.cat([*whole, *parts.values()], 1)
        x, state = rainy, None
        for t in range(1, self.passes + 1):
            x, state = self._stage(torch.cat([constraint, x], 1), state)
            if self.residual:
                x = x + rainy
            parts[f"stage{t}"] = x
            yield Derained(x, dict(parts))

    def _stage(self, seen: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return f_out(f_res(s_t)) and the state that the next stage gets."""
        f = F.relu(self.f_in(seen), inplace=True)
        # Zeros of the features' own type and layout: others would make everything that follows
        # float32, and be rearranged by every sum.
        h, c = self.f_recurrent(f, *(state or (torch.zeros_like(f), torch.zeros_like(f))))
        z = self.f_res(h)
        return self.f_out(z), (z if self.recurrence == "blocks" else h, c)


def means(x: Tensor) -> Tensor:
    """Return the mean of each map, [B,C,H,W] -> [B,C,1,1].

    In a training it is a sum and a division: the gradient of a sum is one number for each map,
    where that of a mean is a map of its own, in NCHW, which takes twice the time to add.
    """
    if not x.requires_grad or x.dtype == torch.float16:  # whose range a sum may leave
        return x.mean((2, 3), keepdim=True)
    return x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])


def decompose(pictures: Tensor) -> dict[str, Tensor]:
    """Split X into base + detail by a guided filter, in float32 (section I.A)."""
    with torch.autocast(pictures.device.type, enabled=False):
        exact = pictures.float()
        base = guided_filter(exact)
        return {"base": base, "detail": exact - base}


def guided_filter(pictures: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """Smooth each channel by the guided filter (He et al., TPAMI 2013), guided by itself.

    Windows average only the pixels inside the picture, so that a constant picture does not change.

    Args:
        pictures: [B,C,H,W] of any size.
        radius: radius of the windows, which are 2 radius + 1 px wide.
        epsilon: variance far below which windows are smoothed, in squared units of the picture.
    """

    def box(x: Tensor) -> Tensor:
        # One axis at a time, and no wider than the picture: pooling refuses wider windows.
        for axis in (0, 1):
            reach = [0, 0]
            reach[axis] = min(radius, x.shape[2 + axis] - 1)
            window = [2 * r + 1 for r in reach]
            x = F.avg_pool2d(x, window, 1, reach, count_include_pad=False)
        return x

    def boxes(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return box(torch.cat([x, y], 1)).chunk(2, 1)  # at once, which is faster

    mean, squares = boxes(pictures, pictures.square())
    variance = (squares - mean.square()).clamp(min=0)
    a = variance / (variance + epsilon)
    slope, offset = boxes(a, (1 - a) * mean)
    return slope * pictures + offset
