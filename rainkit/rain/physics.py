"""Physical laws of rain: the number, size and speed of drops, and the extinction by rain.

All formulae are functions of the rain rate R in millimetres per hour. The sources are Marshall and
Palmer (1948) for drop sizes, Atlas, Srivastava and Sekhon (1973) for terminal speed, and Weber et
al. (2015) for extinction.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = [
    "LARGEST_DROP_MM",
    "drop_density",
    "extinction",
    "size_slope",
    "terminal_speed",
]

LARGEST_DROP_MM = 6.0
"""Diameter in mm above which drops break up while they fall."""

_N0 = 8000.0  # m^-3 mm^-1, intercept of the Marshall-Palmer law


def size_slope(rate_mm_h: float) -> float:
    """Return the slope Λ in 1/mm of the Marshall-Palmer law N(D) = 8000 exp(-Λ D), D in mm."""
    return float(4.1 * rate_mm_h**-0.21)


def drop_density(rate_mm_h: float, smallest_mm: float) -> float:
    """Return the number of drops per cubic metre that are larger than ``smallest_mm``."""
    slope = size_slope(rate_mm_h)
    return _N0 / slope * math.exp(-slope * smallest_mm)


def terminal_speed(diameter_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the fall speed in m/s of drops of 0.6 to 6 mm diameter (Atlas et al. 1973)."""
    return np.maximum(9.65 - 10.3 * np.exp(-0.6 * diameter_mm), 0.1)


def extinction(rate_mm_h: float) -> float:
    """Return the extinction β of rain in 1/m; the view fades as exp(-β distance)."""
    return float(0.312e-3 * rate_mm_h**0.67)
