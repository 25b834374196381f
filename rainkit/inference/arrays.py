"""Pictures as programs hold them: what can be derained, and arrays from and to tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rainkit import images
from rainkit.errors import UsageError

__all__ = ["as_batch", "check_array", "check_size", "to_array", "to_floats", "to_tensor"]

_RANGE = -0.5, 1.5
"""Values of tensors that may be meant for [0,1]: bicubic resizing overshoots by less."""


def check_array(rgb: Any) -> None:
    """Refuse what is not an array [H,W,3] of uint8 or uint16.

    Raises:
        UsageError: it is anything else, or it has no pixel.
    """
    if not isinstance(rgb, np.ndarray):
        raise UsageError(
            f"cannot derain a {type(rgb).__name__} here: give a path or an [H,W,3] array"
        )
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"cannot derain an array of {rgb.dtype} {list(rgb.shape)}: "
            "give [height, width, 3] of uint8 or uint16"
        )
    check_size(*rgb.shape[:2])


def as_batch(rainy: Tensor) -> Tensor:
    """Return a tensor [3,H,W] or [B,3,H,W] of floats as [B,3,H,W].

    Values are meant to be in [0,1]. Those from -0.5 to 1.5 are taken, since resizing overshoots.

    Raises:
        UsageError: it is anything else, it has no pixel, or values that are not finite or that are
            further off.
    """
    batch = rainy[None] if rainy.dim() == 3 else rainy
    if batch.dim() != 4 or batch.shape[1] != 3 or not batch.is_floating_point():
        raise UsageError(
            f"cannot derain a tensor of {rainy.dtype} {list(rainy.shape)}: "
            "give [3,H,W] or [B,3,H,W] of floats in [0,1]"
        )
    if not len(batch):
        raise UsageError(f"cannot derain a tensor of {list(rainy.shape)}: it holds no picture")
    check_size(*batch.shape[2:])
    low, high = (float(each) for each in batch.detach().aminmax())
    if not math.isfinite(high - low):
        raise UsageError(
            f"cannot derain a tensor of {rainy.dtype} {list(rainy.shape)} that holds nan or "
            "infinity: give finite values in [0,1]"
        )
    if low < _RANGE[0] or high > _RANGE[1]:
        raise UsageError(
            f"cannot derain a tensor of {rainy.dtype} {list(rainy.shape)} with values from "
            f"{low:.4g} to {high:.4g}: give values in [0,1]; divide 8-bit samples by 255"
        )
    return batch


def check_size(height: int, width: int) -> None:
    """Refuse a picture without a pixel.

    Raises:
        UsageError: a side is 0.
    """
    if height < 1 or width < 1:
        raise UsageError(f"cannot derain an empty picture of {width}x{height}")


def to_tensor(rgb: NDArray[Any]) -> Tensor:
    """Convert [H,W,3] uint8, uint16, or float32 in [0,1] to [1,3,H,W] float32 in [0,1]."""
    if np.issubdtype(rgb.dtype, np.floating):
        return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    return images.to_tensor(rgb)


def to_floats(batch: Tensor) -> NDArray[np.float32]:
    """Convert [B,3,H,W] of floats to float32 [B,H,W,3], clipped to [0,1]."""
    return batch.detach().float().clamp(0, 1).cpu().permute(0, 2, 3, 1).contiguous().clone().numpy()


def to_array(picture: Tensor, like: NDArray[Any]) -> NDArray[Any]:
    """Convert a picture to an array of the same dtype as another."""
    if np.issubdtype(like.dtype, np.floating):
        return np.ascontiguousarray(to_floats(picture)[0])
    return images.to_array(picture, np.uint8 if like.dtype == np.uint8 else np.uint16)
