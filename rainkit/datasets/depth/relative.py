"""Depth without a unit, put into a scene of plausible size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rainkit.datasets.depth.values import Mask, Metres
from rainkit.errors import DatasetError

__all__ = ["from_farness", "from_nearness"]

_NEAR_M, _FAR_M = 3.0, 150.0


def from_nearness(values: npt.NDArray[np.float32], valid: Mask, name: str) -> Metres:
    """Depth from disparity or inverse depth, known up to scale and offset: 3 to 150 m.

    1/z rises linearly from the 1st to the 99th percentile of the valid values.

    Raises:
        DatasetError: all values are equal; the message starts with ``name``.
    """
    share = _normalised(values, valid, name)
    return np.asarray(1 / (share * (1 / _NEAR_M - 1 / _FAR_M) + 1 / _FAR_M), np.float32)


def from_farness(values: npt.NDArray[np.float32], valid: Mask, name: str) -> Metres:
    """Depth from distance, known up to scale and offset: 3 to 150 m; otherwise the same."""
    share = _normalised(values, valid, name)
    return np.asarray(_NEAR_M + share * (_FAR_M - _NEAR_M), np.float32)


def _normalised(values: npt.NDArray[np.float32], valid: Mask, name: str) -> npt.NDArray[np.float64]:
    known = values[valid].astype(np.float64)
    low, high = np.percentile(known, (1, 99))
    if not low < high:
        raise DatasetError(f"{name}: is the same everywhere; it tells no depth")
    shares = np.zeros(values.shape)
    shares[valid] = np.clip((known - low) / (high - low), 0, 1)
    return shares
