"""Training samples and batches of them, some with rain that is still to be painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rainkit.errors import RainkitError
from rainkit.rain.batched import Shower, paint_batch

__all__ = ["Batch", "Sample", "collate"]

Sample = tuple[Tensor | Shower, Tensor]
"""Degraded and clean picture, or two frames of one scene, uint8 [3, patch, patch]; or the rain to
paint over a clean picture, and that picture."""


class Batch(NamedTuple):
    """Samples stacked, uint8 [B, 3, patch, patch] twice, and the rain that ``first`` still lacks.

    ``showers`` has an entry for each sample, or none at all.
    """

    first: Tensor
    second: Tensor
    showers: tuple[Shower | None, ...] = ()

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Both stacks on a device, with all rain painted there."""
        first = self.first.to(device, non_blocking=True)
        second = self.second.to(device, non_blocking=True)
        wet = [n for n, shower in enumerate(self.showers) if shower is not None]
        if wet:
            rain = [shower for shower in self.showers if shower is not None]
            first[wet] = paint_batch(second[wet], rain)
        return first, second


def collate(samples: Sequence[Sample | RainkitError]) -> Batch | RainkitError:
    """Samples as one batch, or the first error among them."""
    whole: list[Sample] = []
    for sample in samples:
        if isinstance(sample, RainkitError):
            return sample
        whole.append(sample)
    second = torch.stack([clean for _, clean in whole])
    showers = tuple(first if isinstance(first, Shower) else None for first, _ in whole)
    first = torch.stack([clean if isinstance(wet, Shower) else wet for wet, clean in whole])
    return Batch(first, second, showers if any(showers) else ())
