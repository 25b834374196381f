"""PReNet (section 3): f_in, f_recurrent, f_res and f_out, unfolded over T stages.

All stages share their weights. ``y`` is the rainy picture, ``x_t`` the result of stage t (``x_0``
is ``y``) and ``s_t`` the state of the recurrent layer. The state does not pass through the residual
blocks: they serve the picture of their own stage alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained
from rainkit_prenet import Network

__all__ = ["ConvGRU", "ConvLSTM", "PReNet", "ResBlock"]


class ConvLSTM(nn.Module):
    """A convolutional LSTM without peepholes; its state is h and c."""

    states = 2

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, padding=1)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Features x and the state h, c, all [B,width,H,W] -> the next state."""
        h, c = state
        sigmoids, g = self.gates(torch.cat([x, h], 1)).split([3 * c.shape[1], c.shape[1]], 1)
        # torch is slow on thin slices of maps in channels_last; cat makes a map of its own of one.
        i, f, o = torch.sigmoid(sigmoids).chunk(3, 1)
        c = f * c + i * torch.tanh(torch.cat([g], 1))
        return o * torch.tanh(c), c


class ConvGRU(nn.Module):
    """A convolutional GRU; its state is h, and z is the share of h that is replaced."""

    states = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.candidate = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Features x and the state h, both [B,width,H,W] -> the next state."""
        (h,) = state
        z, r = torch.sigmoid(self.gates(torch.cat([x, h], 1))).chunk(2, 1)
        g = torch.tanh(self.candidate(torch.cat([r * h, x], 1)))
        return ((1 - z) * h + z * g,)


class ResBlock(nn.Module):
    """Two convolutions with ReLU, a skip, and a ReLU after it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,H,W] -> the same shape."""
        return F.relu(x + F.relu(self.conv2(F.relu(self.conv1(x)))))


class PReNet(nn.Module):
    """PReNet, PRN without a recurrent layer, and PReNet_r and PRN_r with one recursive block."""

    def __init__(self, settings: Network) -> None:
        super().__init__()
        width = settings.width
        self.passes = settings.stages
        self.rainy_input = settings.rainy_input
        self.residual = settings.residual
        self.repeats = settings.blocks if settings.recursive else 1
        self.f_in = nn.Conv2d(6 if settings.rainy_input else 3, width, 3, padding=1)
        self.f_recurrent: ConvLSTM | ConvGRU | None = None
        if settings.recurrence == "lstm":
            self.f_recurrent = ConvLSTM(width)
        elif settings.recurrence == "gru":
            self.f_recurrent = ConvGRU(width)
        own = 1 if settings.recursive else settings.blocks
        self.f_res = nn.Sequential(*(ResBlock(width) for _ in range(own)))
        self.f_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, rainy: Tensor) -> Derained:
        """[B,3,H,W] in [0,1] -> x_T, not clamped; parts ``stage1``, ``stage2``..."""
        *_, last = self.stages(rainy)
        return last

    def stages(self, rainy: Tensor) -> Iterator[Derained]:
        """Yield the result after each stage; stages whose results are not requested are not run."""
        x = rainy
        state: tuple[Tensor, ...] = ()
        parts: dict[str, Tensor] = {}
        for t in range(1, self.passes + 1):
            s = F.relu(self.f_in(torch.cat([rainy, x], 1) if self.rainy_input else x))
            if self.f_recurrent is not None:
                state = self.f_recurrent(
                    s, state or (torch.zeros_like(s),) * self.f_recurrent.states
                )
                s = state[0]
            for _ in range(self.repeats):
                s = self.f_res(s)
            x = self.f_out(s)
            if self.residual:
                x = x + rainy
            parts[f"stage{t}"] = x
            yield Derained(x, dict(parts))
