"""Depth maps in memory, in metres along the optical axis, and the interface of their sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.errors import DatasetError
from rainkit.images import RGB8

__all__ = [
    "NEAREST_M",
    "SKY_M",
    "DepthMap",
    "DepthSource",
    "Mask",
    "Metres",
    "decode",
    "depth_from_disparity",
    "depth_from_distance",
    "encode",
    "fill",
]


Metres = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SKY_M = 500.0
"""Distance of the sky in metres, which is the greatest in a map."""

_UNITS = 256.0  # per metre
_SKY = 65535  # stored value of the sky and of everything at 256 m or more

NEAREST_M = 1 / _UNITS
"""Least distance in a map, in metres."""

_NEAR_M, _FAR_M = 3.0, 150.0  # range of depth that is known up to scale only


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthMap:
    """The depth of a photograph.

    Attributes:
        z: depth in metres along the optical axis, known or filled in; float32 [H, W], 1/256 to 500.
        valid: mask of the pixels whose depth is known, bool [H, W].
        metric: whether the unit is really the metre; if not, only the order of depths is reliable.
        kind: format of the values: a ``depth_format``, ``metres``, ``heuristic``, or a format
            followed by ``(guessed)``.
        source: ``map``, ``heuristic``, or the network's folder or name.
        file: path of the map, if one was read.
        fog_scale: factor on the fog, below 1 if the depth is guessed.
    """

    z: Metres
    valid: Mask
    metric: bool
    kind: str
    source: str
    file: Path | None = None
    fog_scale: float = 1.0

    @property
    def coverage(self) -> float:
        """Share of the pixels whose depth is known."""
        return float(np.count_nonzero(self.valid)) / self.valid.size


class DepthSource(ABC):
    """A source of the depth of photographs."""

    @abstractmethod
    def of(self, photo: Path, clean: RGB8) -> DepthMap | None:
        """Return the depth of a photograph, or None if it is unknown; its rain then has no fog.

        Args:
            photo: path of the photograph, by which a map is found.
            clean: pixels of the upright photograph.

        Raises:
            DatasetError: There is no map, there are several, or the map cannot be used.
            ImageError: The map cannot be read.
            UsageError: A package or a device is missing.
        """


def encode(z: Metres) -> npt.NDArray[np.uint16]:
    """Convert metres, finite and above 0, to units of 1/256 m; 65535 stands for 256 m and more."""
    units = np.rint(np.asarray(z, np.float64) * _UNITS)
    return np.clip(units, 1, _SKY).astype(np.uint16)


def decode(stored: npt.NDArray[np.uint16]) -> Metres:
    """Convert stored values to metres, float32; 65535 is the sky at 500 m.

    :func:`encode` never writes 0, which is converted to 0 m.
    """
    z = stored.astype(np.float32) / np.float32(_UNITS)
    z[stored == _SKY] = SKY_M
    return z


def fill(z: Metres, valid: Mask) -> Metres:
    """Give each pixel that is not ``valid`` the depth of the nearest pixel that is.

    Depths are copied and never mixed, so that no halo of intermediate depths appears around near
    objects. At least one pixel must be valid.
    """
    if valid.all():
        return z
    holes = (~valid).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels number the valid pixels from 1, in the order of rows.
    return np.ascontiguousarray(z[valid][np.asarray(nearest, np.int64) - 1])


def depth_from_disparity(values: npt.NDArray[np.float32], valid: Mask, name: str) -> Metres:
    """Map disparity or inverse depth, known up to scale and offset, to depths of 3 to 150 m.

    1/z rises linearly from the 1st to the 99th percentile of the valid values.

    Raises:
        DatasetError: All values are equal. The message starts with ``name``.
    """
    share = _normalised(values, valid, name)
    return np.asarray(1 / (share * (1 / _NEAR_M - 1 / _FAR_M) + 1 / _FAR_M), np.float32)


def depth_from_distance(values: npt.NDArray[np.float32], valid: Mask, name: str) -> Metres:
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
