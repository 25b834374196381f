"""Critics for adversarial losses: networks that tell real clean pictures from derained ones."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["ConditionalCritic"]

WIDTHS = (64, 128, 256, 512)


class ConditionalCritic(nn.Module):
    """Judges a picture beside the rainy one it is said to belong to.

    Four 4x4 convolutions of stride 2, all but the first with batch normalisation, global average
    pooling and one logit; 2,761,025 parameters. After pix2pix (Isola et al., CVPR 2017), which
    judges patches where this one judges the picture. Sides of at least 16 px.
    """

    def __init__(self, slope: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(6, WIDTHS[0], 4, 2, 1), nn.LeakyReLU(slope, True)]
        for inputs, outputs in pairwise(WIDTHS):
            layers += [
                nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(slope, True),
            ]
        self.features = nn.Sequential(*layers)
        self.score = nn.Linear(WIDTHS[-1], 1)

    def forward(self, candidate: Tensor, rainy: Tensor) -> Tensor:
        """Two [B,3,H,W] -> logits [B,1]; positive means real."""
        features = self.features(torch.cat([candidate, rainy], dim=1))
        logits: Tensor = self.score(features.mean(dim=(2, 3)))
        return logits
