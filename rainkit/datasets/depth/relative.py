"""Mapping of depth without a unit to metres of a scene of plausible size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rainkit.datasets.depth.values import Mask, Metres
from rainkit.errors import DatasetError

__all__ = ["from_farness", "from_nearness"]

_NEAR_M, _FAR_M = 3.0, 150.0


def from_nearness(values: npt.NDArray[np.float32], valid: Mask, name: str) -> Metres:
    """Map disparity or inverse depth, known up to scale and offset, to depths of 3 to 150 m.

    1/z rises linearly from the 1st to the 99th percentile of the valid values.

    Raises:
        DatasetError: All values are equal. The message starts with ``name``.
    """
    share = _normalised(values, valid, name)
    return np.asarray(1 / (share * (1 / _NEAR_M - 1 / _FAR_M) + 1 / _FAR_M), np.float32)


def from_farness(values: npt.NDArray[np.float32], valid: Mask, name: str) -> Metres:
    """Map distance, known up to scale and offset, to 3 to 150 m; z rises linearly."""
    share = _normalised(values, valid, name)
    return np.asarray(_NEAR_M + share * (_FAR_M - _NEAR_M), np.float32)


def _normalised(values: npt.NDArray[np.float32], valid: Mask, name: str) -> npt.NDArray[np.float64]:
    """Map the 1st to 99th percentile of the valid values to 0 to 1."""
    known = values[valid].astype(np.float64)
    low, high = np.percentile(known, (1, 99))
    if not low < high:
        raise DatasetError(f"{name}: has the same value everywhere, which says nothing about depth")
    shares = np.zeros(values.shape)
    shares[valid] = np.clip((known - low) / (high - low), 0, 1)
    return shares
