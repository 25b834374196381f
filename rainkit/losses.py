"""Losses that several papers' objectives share: structural similarity and a conditional critic.

Plugins may import this module inside ``objective.py``. For scores there is piq, through
``rainkit.evaluation``: it refuses values outside [0,1], which networks that are still learning
give, and drops a border that a loss should see.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ConditionalCritic", "cross_entropy", "ssim"]

WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of the SSIM window, in pixels."""

LARGEST_PRODUCT = 512
"""Side in pixels up to which means in the window are products of matrices on a processor."""

C1, C2 = 0.01**2, 0.03**2
"""Constants of the SSIM formula for values in [0,1]."""

WIDTHS = (64, 128, 256, 512)
"""Feature maps of the critic's convolutions."""


def ssim(pictures: Tensor, reference: Tensor) -> Tensor:
    """Return the mean structural similarity of each picture to the reference.

    The window is an 11x11 Gaussian of sigma 1.5 over each channel; borders are padded with zeros
    (Wang et al., IEEE TIP 13(4), 2004, with the padding that is common in deraining code). The
    values may leave [0,1]. Everything is computed in float32 even under autocast: a variance as the
    difference of two means would cancel in half precision.

    Args:
        pictures: [..., B, C, H, W] with values around [0,1]; leading dimensions hold several
            results for one reference, whose own statistics are computed once.
        reference: [B, C, H, W].

    Returns:
        [..., B], at most 1; negative where a picture's structure is the inverse.

    Raises:
        ValueError: the pictures have another shape than the reference.
    """
    if reference.dim() != 4 or pictures.shape[-4:] != reference.shape:
        raise ValueError(
            f"pictures of {list(pictures.shape)} cannot be compared with a reference of "
            f"{list(reference.shape)}: give [..., B, C, H, W] and [B, C, H, W]"
        )
    with torch.autocast(pictures.device.type, enabled=False):
        x = pictures.float().flatten(0, -5) if pictures.dim() > 4 else pictures.float()[None]
        x = x.reshape(-1, *reference.shape)
        y = reference.float()
        count = x.shape[0]
        stacked = torch.cat([x, x.square(), x * y, y[None], y.square()[None]])
        means = _window_means(stacked.flatten(0, 1)).reshape(-1, *y.shape)
        # At once: the gradient of each slice alone would be an array of zeros as large as all.
        mean_x, square_x, product, mean_y, square_y = torch.split(
            means, [count, count, count, 1, 1]
        )
        luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
        variances = square_x - mean_x.square() + square_y - mean_y.square()
        structure = (2 * (product - mean_x * mean_y) + C2) / (variances + C2)
        similarity: Tensor = (luminance * structure).mean(dim=(-3, -2, -1))
        return similarity.reshape(pictures.shape[:-3])


def _window_means(pictures: Tensor) -> Tensor:
    """Return Gaussian means [N, C, H, W], computed along one dimension after the other."""
    height, width = pictures.shape[2:]
    places = torch.arange(WINDOW, device=pictures.device, dtype=torch.float32) - WINDOW // 2
    weights = torch.exp(-places.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    # A convolution of one map at a time leaves a processor waiting for memory; the product with a
    # matrix that is mostly zeros does more, in less than half of the time, unless it is large.
    if pictures.device.type == "cpu" and max(height, width) <= LARGEST_PRODUCT:
        return _band(height, weights) @ (pictures @ _band(width, weights))
    channels = pictures.shape[1]
    weights = weights.expand(channels, 1, 1, WINDOW)
    across = F.conv2d(pictures, weights, padding=(0, WINDOW // 2), groups=channels)
    down = weights.transpose(2, 3)
    return F.conv2d(across, down, padding=(WINDOW // 2, 0), groups=channels)


def _band(side: int, weights: Tensor) -> Tensor:
    """Return the symmetric matrix [side, side] with ``weights`` around its diagonal."""
    places = torch.arange(side)
    apart = places[:, None] - places + WINDOW // 2
    inside = (apart >= 0) & (apart < WINDOW)
    return torch.where(inside, weights[apart.clamp(0, WINDOW - 1)], 0.0)


_SMALLEST = 32


class ConditionalCritic(nn.Module):
    """A network that judges a picture beside the rainy picture that it is said to belong to.

    It has four 4x4 convolutions of stride 2, all but the first with batch normalisation, global
    average pooling and one logit; 2,761,025 parameters. It follows pix2pix (Isola et al., CVPR
    2017), which judges patches where this one judges the whole picture. Smaller pictures than 32 px
    are continued by their border: a single value in a map would have no statistics.
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
        """Take two batches [B,3,H,W] and return logits [B,1]; positive means real."""
        both = torch.cat([candidate, rainy], dim=1)
        down, right = (max(0, _SMALLEST - side) for side in both.shape[-2:])
        if down or right:
            both = F.pad(both, (0, right, 0, down), mode="replicate")
        features = self.features(both)
        logits: Tensor = self.score(features.mean(dim=(2, 3)))
        return logits


def cross_entropy(logits: Tensor, label: float) -> Tensor:
    """Return the mean binary cross-entropy of a critic's logits and one label for all of them.

    Args:
        logits: [B,1]; the loss is computed in float32 even under autocast.
        label: 1 for real, 0 for fake.
    """
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
