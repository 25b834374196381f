"""Structural similarity as a loss: differentiable, in float32, for any range of values.

For scores there is piq, through ``rainkit.evaluation``. It refuses values outside [0,1], which
networks that are still learning give, and drops a border that a loss should see.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ssim"]

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def ssim(pictures: Tensor, reference: Tensor) -> Tensor:
    """Mean structural similarity of each picture and the reference.

    An 11x11 Gaussian window of sigma 1.5 over each channel, borders padded with zeros (Wang et
    al., IEEE TIP 13(4), 2004, with the padding common in deraining code). Computed in float32 even
    under autocast: a variance as the difference of two means would cancel in half precision.

    Args:
        pictures: [..., B, C, H, W] with values around [0,1]; leading dimensions hold several
            answers to one reference, whose own statistics are computed once.
        reference: [B, C, H, W].

    Returns:
        [..., B], at most 1; negative where a picture's structure is the inverse.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        x = pictures.float().flatten(0, -5) if pictures.dim() > 4 else pictures.float()[None]
        x = x.reshape(-1, *reference.shape)
        y = reference.float()
        count = x.shape[0]
        stacked = torch.cat([x, x.square(), x * y, y[None], y.square()[None]])
        means = _window_means(stacked.flatten(0, 1)).reshape(-1, *y.shape)
        mean_x, square_x, product = means[:count], means[count : 2 * count], means[2 * count : -2]
        mean_y, square_y = means[-2], means[-1]
        luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
        variances = square_x - mean_x.square() + square_y - mean_y.square()
        structure = (2 * (product - mean_x * mean_y) + C2) / (variances + C2)
        similarity: Tensor = (luminance * structure).mean(dim=(-3, -2, -1))
        return similarity.reshape(pictures.shape[:-3])


def _window_means(pictures: Tensor) -> Tensor:
    """Gaussian means [N, C, H, W], one dimension after the other."""
    channels = pictures.shape[1]
    places = torch.arange(WINDOW, device=pictures.device, dtype=torch.float32) - WINDOW // 2
    weights = torch.exp(-places.square() / (2 * SIGMA**2))
    weights = (weights / weights.sum()).expand(channels, 1, 1, WINDOW)
    across = F.conv2d(pictures, weights, padding=(0, WINDOW // 2), groups=channels)
    down = weights.transpose(2, 3)
    return F.conv2d(across, down, padding=(WINDOW // 2, 0), groups=channels)
