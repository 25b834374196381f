"""Gaussian noise, the other degradation that networks for rain are tried on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rainkit.errors import ImageError, UsageError

__all__ = ["Noise", "add_noise"]

_PARTS = 4096  # draws are rounded to multiples of 1/4096 sigma: exact, and finer than any level


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """How strong the noise to train on is: drawn evenly between two bounds for every sample.

    Attributes:
        sigma_low: least standard deviation, in levels of 255.
        sigma_high: greatest one; the same as the least for noise of one strength.
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
        """Draw a standard deviation in levels."""
        return float(rng.uniform(self.sigma_low, self.sigma_high))


def add_noise(
    clean: npt.NDArray[np.uint8], sigma: float, seed: Sequence[int]
) -> npt.NDArray[np.uint8]:
    """Add white Gaussian noise, round to whole levels and clip at black and white.

    A pure function of its arguments, the same to the bit on every processor.

    Args:
        clean: uint8 of any shape.
        sigma: standard deviation in levels, 0 to 255.
        seed: one or more whole numbers from 0 up.

    Raises:
        ImageError: ``clean`` is not uint8.
        UsageError: a bad sigma or seed.
    """
    if clean.dtype != np.uint8:
        raise ImageError(f"noise is added to uint8 pictures, not {clean.dtype}: convert it first")
    if not (math.isfinite(sigma) and 0 <= sigma <= 255):
        raise UsageError(f"noise: sigma must be 0 to 255 levels, not {sigma}")
    if isinstance(seed, int) or not seed or any(part < 0 for part in seed):
        raise UsageError(f"noise: a seed is one or more whole numbers from 0 up, not {seed!r}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(p) for p in seed])))
    noisy = rng.standard_normal(clean.shape)
    # Each step is one correctly rounded IEEE operation: no processor rounds it differently.
    np.rint(np.multiply(noisy, _PARTS, out=noisy), out=noisy)
    noisy *= sigma / _PARTS
    noisy += clean
    return np.clip(np.rint(noisy, out=noisy), 0, 255, out=noisy).astype(np.uint8)
