"""PSNR and SSIM as the deraining papers computed them: named, versioned protocols.

Both score the luma Y of ITU-R BT.601 in studio swing (16 to 235) with a peak of 255. They differ
in whether Y is rounded and whether SSIM halves large pictures first, which moves SSIM by up to
0.06 on one picture; so a score means nothing without its protocol's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.errors import PairingError, UsageError

__all__ = ["PROTOCOLS", "Protocol", "protocol"]

PEAK = 255.0
WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
REDUCED_SIDE = 256
"""SSIM of ``ssim.m`` looks at pictures whose shorter side is near this (Wang's suggestion)."""

RGB8 = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One way to score a restored picture against its target, HWC uint8 RGB of equal size.

    Attributes:
        name: what ``--protocol`` takes and every table prints.
        version: changes when a figure would.
        source: whose scripts it follows.
        rounded: Y is rounded to whole grey levels, as MATLAB's ``rgb2ycbcr`` does for uint8.
        reduced: SSIM shrinks pictures to a shorter side of about 256 px first (``ssim.m``, 2009);
            without, it is ``ssim_index.m`` (2003).
    """

    name: str
    version: int
    source: str
    rounded: bool
    reduced: bool

    @property
    def label(self) -> str:
        """Name and version, as printed beside every figure."""
        return f"{self.name}/{self.version}"

    @property
    def parameters(self) -> dict[str, Any]:
        """All that defines the figures, for metrics.json."""
        return {
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "channel": "Y of BT.601, studio swing 16 to 235",
            "y_rounded_to_uint8": self.rounded,
            "psnr_peak": PEAK,
            "ssim_window": WINDOW,
            "ssim_sigma": SIGMA,
            "ssim_k": [K1, K2],
            "ssim_range": PEAK,
            "ssim_border": "valid",
            "ssim_downsampling": (
                f"box of f = max(1, round(shorter side / {REDUCED_SIDE})), symmetric border,"
                " every f-th pixel"
                if self.reduced
                else None
            ),
            "aggregate": "arithmetic mean over pictures; infinite PSNR left out and counted",
        }

    def luma(self, rgb: RGB8) -> Plane:
        """Y [H,W] float64 in 16 to 235 of an HWC uint8 RGB picture."""
        # Whole numbers, so that rounding has no floating-point ties: Y = 16 + this / 255000.
        weighted = cv2.transform(rgb.astype(np.float64), np.array([[65481.0, 128553.0, 24966.0]]))
        if self.rounded:
            return np.asarray(np.floor((weighted + 127_500.0) / 255_000.0) + 16.0)
        return np.asarray(weighted / 255_000.0 + 16.0)

    def psnr(self, restored: RGB8, target: RGB8) -> float:
        """Peak signal-to-noise ratio in dB; ``inf`` when the two lumas are equal.

        Raises:
            PairingError: the pictures differ in size.
        """
        _check(restored, target)
        return _psnr(self.luma(restored), self.luma(target))

    def ssim(self, restored: RGB8, target: RGB8) -> float:
        """Mean structural similarity, at most 1; NaN where the 11 x 11 window does not fit.

        Raises:
            PairingError: the pictures differ in size.
        """
        _check(restored, target)
        return self._ssim(self.luma(restored), self.luma(target))

    def scores(self, restored: RGB8, target: RGB8) -> tuple[float, float]:
        """``(psnr, ssim)``, with the luma of each picture computed once.

        Raises:
            PairingError: the pictures differ in size.
        """
        _check(restored, target)
        x, y = self.luma(restored), self.luma(target)
        return _psnr(x, y), self._ssim(x, y)

    def _ssim(self, x: Plane, y: Plane) -> float:
        if self.reduced:
            x, y = _reduced(x), _reduced(y)
        return _ssim(x, y)


def _check(restored: RGB8, target: RGB8) -> None:
    for picture in (restored, target):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"expected HWC uint8 RGB, got {picture.dtype} {picture.shape}")
    if restored.shape != target.shape:
        (h, w), (th, tw) = restored.shape[:2], target.shape[:2]
        raise PairingError(f"sizes differ: {w}x{h} against {tw}x{th}; scores need equal sizes")


def _psnr(x: Plane, y: Plane) -> float:
    mse = float(np.square(x - y).mean())
    return math.inf if mse == 0 else 10.0 * math.log10(PEAK**2 / mse)


def _reduced(y: Plane) -> Plane:
    """``ssim.m``'s automatic down-sampling: an f x f mean, then every f-th pixel.

    MATLAB rounds halves up (640 / 256 gives 3) and centres an even kernel on its upper left.
    """
    f = max(1, math.floor(min(y.shape) / REDUCED_SIDE + 0.5))
    if f == 1:
        return y
    centre = (f - 1) // 2
    mean = cv2.blur(y, (f, f), anchor=(centre, centre), borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(mean[::f, ::f], dtype=np.float64)


def _ssim(x: Plane, y: Plane) -> float:
    """Wang et al. 2004, equation 13, averaged over the windows that lie inside the picture."""
    if min(x.shape) < WINDOW:
        return math.nan
    c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
    mu_x, mu_y = _smooth(x), _smooth(y)
    xy, xx_yy = mu_x * mu_y, mu_x * mu_x + mu_y * mu_y
    covariance = _smooth(x * y) - xy
    # The two variances only ever appear as their sum: one filter serves both.
    variances = _smooth(x * x + y * y) - xx_yy
    similarity = ((2 * xy + c1) * (2 * covariance + c2)) / ((xx_yy + c1) * (variances + c2))
    return float(similarity.mean())


def _smooth(plane: Plane) -> Plane:
    """Gaussian-weighted means over the 11 x 11 windows inside the picture ('valid')."""
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    margin = WINDOW // 2
    full = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
    return np.asarray(full[margin:-margin, margin:-margin], dtype=np.float64)


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        each.name: each
        for each in (
            Protocol(
                name="prenet",
                version=1,
                source="PReNet, RCDNet and most tables of 2018 to 2021 (MATLAB)",
                rounded=False,
                reduced=True,
            ),
            Protocol(
                name="restormer",
                version=1,
                source="MPRNet, Restormer and followers (MATLAB)",
                rounded=True,
                reduced=False,
            ),
        )
    }
)
"""The protocols by name; the first is the default."""


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return PROTOCOLS[name]
    except KeyError:
        known = ", ".join(PROTOCOLS)
        raise UsageError(f"--protocol {name}: unknown; choose from {known}") from None
