"""Depth maps in memory and as 16-bit pictures: metres along the optical axis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["NEAREST_M", "SKY_M", "Depth", "Mask", "Metres", "decode", "encode"]

Metres = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SKY_M = 500.0
"""Distance of the sky in metres, and the greatest a map holds."""

_UNITS = 256.0  # per metre
_BEYOND = 65535  # everything from here on: the sky

NEAREST_M = 1 / _UNITS
"""Least distance a map holds, in metres."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Depth:
    """How far away a photograph's pixels are.

    Attributes:
        z: float32 [H, W], metres along the optical axis, 1/256 to 500; known or filled in.
        valid: bool [H, W], where the source knew.
        metric: the unit is the metre; otherwise only the order of distances is to be trusted.
        kind: how the values were read: a ``--depth-format``, ``metres``, ``heuristic``, or a
            format followed by ``(guessed)``.
        source: ``map``, ``heuristic``, or the network's folder or name.
        file: the map, if one was read.
        fog_scale: factor on the fog, below 1 for depth that is a guess.
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
        """Share of the pixels where the source knew."""
        return float(np.count_nonzero(self.valid)) / self.valid.size


def encode(z: Metres) -> npt.NDArray[np.uint16]:
    """Metres, finite and above 0, to 1/256 m: 1 to 65534, and 65535 for 256 m and beyond."""
    units = np.rint(np.asarray(z, np.float64) * _UNITS)
    return np.clip(units, 1, _BEYOND).astype(np.uint16)


def decode(stored: npt.NDArray[np.uint16]) -> Metres:
    """Inverse of :func:`encode`, float32: 65535 is the sky at 500 m; 0, never written, is 0 m."""
    z = stored.astype(np.float32) / np.float32(_UNITS)
    z[stored == _BEYOND] = SKY_M
    return z
