"""Depth maps in memory, in metres along the optical axis, and as 16-bit pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["NEAREST_M", "SKY_M", "Depth", "Mask", "Metres", "decode", "encode"]

Metres = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SKY_M = 500.0
"""Distance of the sky in metres, which is the greatest in a map."""

_UNITS = 256.0  # per metre
_SKY = 65535  # stored value of the sky and of everything at 256 m or more

NEAREST_M = 1 / _UNITS
"""Least distance in a map, in metres."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Depth:
    """The depth of a photograph.

    Attributes:
        z: depth in metres along the optical axis, known or filled in; float32 [H, W], 1/256 to 500.
        valid: mask of the pixels whose depth is known, bool [H, W].
        metric: whether the unit is really the metre; if not, only the order of depths is reliable.
        kind: format of the values: a ``--depth-format``, ``metres``, ``heuristic``, or a format
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
