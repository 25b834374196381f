"""Read the classes that a segmenter gives to pixels, and compute their accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rainkit.errors import MethodError, PairingError
from rainkit.evaluation.downstream.models import shown

__all__ = ["FIGURES", "Confusion", "class_map"]

FIGURES = ("mIoU", "accuracy")
"""Mean over classes of intersection over union; share of the pixels with the right class."""

ClassMap = NDArray[np.uint16]
"""[H,W] class ids."""

_MOST = 1024
"""Largest number of classes, more than any model has, which limits the confusion matrix."""


def class_map(answer: Any, shape: Sequence[int], model: str) -> ClassMap:
    """Read a segmenter's answer to one picture, whose shape begins with height and width.

    The answer consists of logits [1,K,H,W] or a class map [1,H,W], alone or as ``out`` of a dict.
    If it has another size than the picture, logits are resized bilinearly and class maps by the
    nearest neighbour.

    Raises:
        MethodError: the answer is something else; the message names ``model``.
    """
    import torch
    import torch.nn.functional as F

    height, width = shape[:2]
    found = answer.get("out") if isinstance(answer, Mapping) else answer
    wrong = MethodError(
        f"--model {model}: expected logits [1,K,H,W] of two classes or more (float), or a class"
        f" map [1,H,W] (int), alone or as 'out' of a dict; found {shown(answer)}"
    )
    if not isinstance(found, torch.Tensor) or found.shape[:1] != (1,) or not found.numel():
        raise wrong
    if found.dim() == 4 and found.is_floating_point() and 1 < found.shape[1] <= _MOST:
        if not torch.isfinite(found).all():
            raise MethodError(f"--model {model}: gives logits that are nan or infinite")
        if found.shape[2:] != (height, width):
            found = F.interpolate(found.float(), (height, width), mode="bilinear")
        found = found.argmax(1)
    elif found.dim() != 3 or found.is_floating_point() or found.is_complex():
        raise wrong
    elif found.shape[1:] != (height, width):
        ids = found[:, None].cpu().float()  # exact up to 2^24
        found = F.interpolate(ids, (height, width), mode="nearest-exact")[:, 0].long()
    classes = found[0].cpu().numpy()
    if classes.min() < 0 or classes.max() >= _MOST:
        raise MethodError(f"--model {model}: gives class ids beyond 0 to {_MOST - 1}")
    return classes.astype(np.uint16)


class Confusion:
    """The confusion matrix of a dataset, to which pictures are added one by one.

    Args:
        ignore: classes whose true pixels are not counted.
    """

    def __init__(self, ignore: Sequence[int] = ()) -> None:
        self._ignore = tuple(ignore)
        self._counts = np.zeros((0, 0), np.int64)  # [true, found]

    def add(self, truth: ClassMap, found: ClassMap) -> None:
        """Add a picture.

        Raises:
            PairingError: the maps differ in size.
        """
        if truth.shape != found.shape:
            (h, w), (fh, fw) = truth.shape, found.shape
            raise PairingError(f"sizes differ: classes of {w}x{h} px against {fw}x{fh}")
        counted = ~np.isin(truth, self._ignore)
        true, seen = truth[counted].astype(np.int64), found[counted].astype(np.int64)
        if not true.size:
            return
        side = max(len(self._counts), int(true.max()) + 1, int(seen.max()) + 1)
        more = side - len(self._counts)
        self._counts = np.pad(self._counts, (0, more))
        self._counts += np.bincount(true * side + seen, minlength=side * side).reshape(side, side)

    def figures(self) -> dict[str, float]:
        """Return :data:`FIGURES`, 0 to 1; NaN without pixels.

        The mean is over the classes that are true or found somewhere and are not ignored.
        """
        right = np.diag(self._counts)
        union = self._counts.sum(0) + self._counts.sum(1) - right
        there = (union > 0) & ~np.isin(np.arange(len(union)), self._ignore)
        if not there.any():
            return dict.fromkeys(FIGURES, math.nan)
        values = (float((right[there] / union[there]).mean()), right.sum() / self._counts.sum())
        return {name: float(value) for name, value in zip(FIGURES, values, strict=True)}
