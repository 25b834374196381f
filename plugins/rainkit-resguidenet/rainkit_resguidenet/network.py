"""ResGuideNet (section 3): blocks in a row, each guided by all residuals before it.

``X`` is the rainy picture, ``r_k`` the residual of block k (negative where rain is brighter than
the scene) and ``y_k = X + r_k`` its result (equation 1). Block k sees ``y_{k-1}`` and ``g_k``, the
residuals of the blocks before it (equation 2; equation 5 with recursion), but nothing of later
blocks: the first k blocks are a network of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained
from rainkit_resguidenet import Network

__all__ = ["Block", "ResGuideNet"]

SLOPE = 0.2
"""Slope of LeakyReLU. The paper names none; this is the default of its framework, TensorFlow."""


class Block(nn.Module):
    """Block k: features x0, a recursive unit with shared weights, a residual.

    The unit is that of section 3.3: each pass ends with the sum with x0 (equation 4).

    Attributes:
        guidance: number of channels of g_k, which enters once in each of the three stages.
        recursion: T, the number of passes through the recursive unit.
    """

    def __init__(self, width: int, guidance: int, recursion: int) -> None:
        super().__init__()
        self.guidance = guidance
        self.recursion = recursion
        self.conv_in = nn.Conv2d(3 + guidance, width, 3, padding=1)
        self.rec1 = nn.Conv2d(width + guidance, width, 3, padding=1)
        self.rec2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width + guidance, 3, 3, padding=1)

    def forward(self, before: Tensor, g: Tensor) -> Tensor:
        """y_{k-1} [B,3,H,W] and g_k [B,guidance,H,W] -> r_k [B,3,H,W]."""
        # In place where the backward pass allows it, which saves time and memory.
        x0 = F.leaky_relu(self.conv_in(_beside(before, g)), SLOPE, inplace=True)
        h = x0
        first = self._first_of_a_pass(g)
        for _ in range(self.recursion):
            h = F.leaky_relu(first(h), SLOPE, inplace=True)
            h = F.leaky_relu(self.rec2(h), SLOPE).add_(x0)
        residual: Tensor = self.conv_out(_beside(h, g))
        return residual

    def _first_of_a_pass(self, g: Tensor) -> Callable[[Tensor], Tensor]:
        """Return rec1 of [h, g] as a function of h.

        g is the same in every pass. A convolution is linear, so that the share of g is computed
        once.
        """
        if not self.guidance or self.recursion == 1:
            return lambda h: self.rec1(_beside(h, g))
        width = self.rec1.out_channels
        of_h, of_g = torch.split(self.rec1.weight, [width, self.guidance], 1)
        guided = F.conv2d(g.to(self.rec1.weight.dtype), of_g, self.rec1.bias, padding=1)
        return lambda h: F.conv2d(h, of_h, padding=1).add_(guided)


class ResGuideNet(nn.Module):
    """The cascade, with the 1x1 merge of section 3.5 if ``settings.merge`` is true.

    The merge takes the residuals, and its result is added to X. That is the paper's "compressed
    into the final rain-streak residual"; another sentence merges the pictures y_k, which differs
    only by a multiple of X.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__()
        self.guide = settings.guide
        self.blocks = nn.ModuleList(
            Block(settings.width, 3 * k if settings.guide else 0, settings.recursion)
            for k in range(settings.blocks)
        )
        self.merge = nn.Conv2d(3 * settings.blocks, 3, 1) if settings.merge else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)  # section 4.1
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.merge is not None:
            # The merge starts as the last block's residual. The residuals are so alike that from
            # random weights it had not become better than this after 4,500 steps.
            with torch.no_grad():
                self.merge.weight.zero_()
                self.merge.weight[:, -3:, 0, 0] = torch.eye(3)

    def forward(self, rainy: Tensor) -> Derained:
        """[B,3,H,W] in [0,1] -> the clean picture, not clamped; parts ``block1``, ``block2``..."""
        *_, last = self.stages(rainy)
        return last

    def stages(self, rainy: Tensor) -> Iterator[Derained]:
        """Yield the result after each block and, if there is a merge, the merged result.

        Blocks whose results are not requested are not run.
        """
        residuals: list[Tensor] = []
        parts: dict[str, Tensor] = {}
        y = rainy
        for k, block in enumerate(self.blocks, 1):
            g = torch.cat(residuals, 1) if self.guide and residuals else rainy[:, :0]
            residual = block(y, g)
            residuals.append(residual)
            y = rainy + residual
            parts[f"block{k}"] = y
            yield Derained(y, dict(parts))
        if self.merge is not None:
            yield Derained(rainy + self.merge(torch.cat(residuals, 1)), dict(parts))


def _beside(features: Tensor, g: Tensor) -> Tensor:
    return torch.cat([features, g.to(features.dtype)], 1) if g.shape[1] else features
