"""Training samples and batches of them, some with rain that is still to be painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rainkit.errors import RainkitError
from rainkit.rain.batched import Shower, paint_batch

__all__ = ["Batch", "Redrawn", "Sample", "collate"]

Sample = tuple[Tensor | Shower, Tensor]
"""Degraded and clean picture, or two frames of one scene, uint8 [3, H, W]; or the rain to paint
over a clean picture, and that picture. Crops are of one size, whole pictures of many."""


class Redrawn(NamedTuple):
    """A sample that stands for pictures which could not be read, and why each could not.

    ``skipped`` holds a line for each, which begins with the picture's name.
    """

    sample: Sample
    skipped: tuple[str, ...]


class Batch(NamedTuple):
    """Samples stacked, uint8 [B, 3, H, W] twice, and the rain that ``first`` still lacks.

    ``showers`` has an entry for each sample, or none at all; so has ``uncut``: the whole clean
    pictures, [3, h, w], where those of the batch differ in size and rain is to be painted on.
    ``skipped`` tells of each picture that could not be read, and in whose place another was drawn.
    """

    first: Tensor
    second: Tensor
    showers: tuple[Shower | None, ...] = ()
    uncut: tuple[Tensor, ...] = ()
    skipped: tuple[str, ...] = ()

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Both stacks on a device, with all rain painted there."""
        first = self.first.to(device, non_blocking=True)
        second = self.second.to(device, non_blocking=True)
        wet = {n: shower for n, shower in enumerate(self.showers) if shower is not None}
        if wet and not self.uncut:
            first[list(wet)] = paint_batch(second[list(wet)], list(wet.values()))
        elif wet:
            # Rain was drawn for the whole picture: it is painted there, and cut with it.
            for n, shower in wet.items():
                whole = self.uncut[n].to(device, non_blocking=True)
                rainy = paint_batch(whole.unsqueeze(0), [shower])[0]
                first[n] = _middle(rainy, first.shape[2], first.shape[3])
        return first, second


def collate(samples: Sequence[Sample | Redrawn | RainkitError]) -> Batch | RainkitError:
    """Samples as one batch, or the first error among them.

    Pictures of several sizes are cut to the middle that all of them have.
    """
    whole: list[Sample] = []
    skipped: list[str] = []
    for sample in samples:
        if isinstance(sample, RainkitError):
            return sample
        if isinstance(sample, Redrawn):
            skipped += sample.skipped
            sample = sample.sample
        whole.append(sample)
    clean = [second for _, second in whole]
    height, width = (min(each.shape[axis] for each in clean) for axis in (1, 2))
    showers = tuple(first if isinstance(first, Shower) else None for first, _ in whole)
    wet = any(showers)
    several = len({each.shape for each in clean}) > 1
    return Batch(
        torch.stack([_middle(_picture(sample), height, width) for sample in whole]),
        torch.stack([_middle(each, height, width) for each in clean]),
        showers if wet else (),
        tuple(clean) if wet and several else (),
        tuple(skipped),
    )


def _picture(sample: Sample) -> Tensor:
    """The degraded picture or, where its rain is still to be painted, the clean one."""
    first, second = sample
    return second if isinstance(first, Shower) else first


def _middle(picture: Tensor, height: int, width: int) -> Tensor:
    """The middle of [3, H, W], of that height and width."""
    top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
    return picture[:, top : top + height, left : left + width]
