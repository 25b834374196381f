"""Gaussian noise, the other degradation on which deraining networks are evaluated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rainkit.errors import ImageError, UsageError

__all__ = ["Noise", "add_noise"]

_PARTS = 4096  # draws are rounded to multiples of 1/4096 sigma: exact, and too small to see


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """The strength of training noise, drawn uniformly between two bounds for every sample.

    Attributes:
        sigma_low: lowest standard deviation in grey levels (0 to 255).
        sigma_high: highest standard deviation in grey levels; equal to the lowest for noise of one
            strength.
    """

    sigma_low: float = 10.0
    sigma_high: float = 70.0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_low <= self.sigma_high <= 255:
            raise UsageError(
                "noise: keep 0 <= sigma_low <= sigma_high <= 255, "
                f"not {self.sigma_low:g} and {self.sigma_high:g}"
            )

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a standard deviation in grey levels."""
        return float(rng.uniform(self.sigma_low, self.sigma_high))


def add_noise(
    clean: npt.NDArray[np.uint8], sigma: float, seed: Sequence[int]
) -> npt.NDArray[np.uint8]:
    """Add white Gaussian noise, round to whole levels and clip at black and white.

    This is a pure function of its arguments, and its result is the same to the bit on every
    processor.

    Args:
        clean: array of uint8 of any shape.
        sigma: standard deviation in grey levels (0 to 255).
        seed: one or more whole numbers from 0 up.

    Raises:
        ImageError: ``clean`` is not uint8.
        UsageError: The sigma or the seed is invalid.
    """
    if clean.dtype != np.uint8:
        raise ImageError(f"noise is added to uint8 pictures, not {clean.dtype}: convert it first")
    if not (math.isfinite(sigma) and 0 <= sigma <= 255):
        raise UsageError(f"noise: sigma must be 0 to 255 levels, not {sigma}")
    if isinstance(seed, int) or not seed or any(part < 0 for part in seed):
        raise UsageError(
            f"noise: a seed must be a sequence of whole numbers from 0 up, not {seed!r}"
        )
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(p) for p in seed])))
    noisy = rng.standard_normal(clean.shape)
    # Each step is one correctly rounded IEEE operation, which no processor rounds differently.
    np.rint(np.multiply(noisy, _PARTS, out=noisy), out=noisy)
    noisy *= sigma / _PARTS
    noisy += clean
    return np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)
