"""PSNR and SSIM of planes: luma and channels, squared errors and windowed statistics.

Everything works in the depth of its planes: float64 for figures of record, float32 where time
counts. Large planes are worked through in strips that stay in the processor's cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.images import RGB8

__all__ = [
    "FLOAT32_PSNR",
    "GAUSSIAN",
    "K1",
    "K2",
    "PEAK",
    "REDUCED_SIDE",
    "UNIFORM",
    "Plane",
    "Window",
    "channels",
    "luma",
    "padded",
    "pil_luma",
    "psnr",
    "reduced",
    "squared_error",
    "ssim",
    "tone_fitted",
]

PEAK = 255.0
K1, K2 = 0.01, 0.03
REDUCED_SIDE = 256
"""``ssim.m`` shrinks pictures until their shorter side is about this (Wang's suggestion)."""

_WEIGHTS, _SCALE = (65481.0, 128553.0, 24966.0), 255_000.0
"""Y = 16 + (weights . RGB) / scale, all of them whole numbers."""
_PIL_WEIGHTS, _PIL_BITS = (0.299, 0.587, 0.114), 6
"""BT.601 without the studio swing; PIL adds up products rounded to 1/64 of a level."""
_PIL_PRODUCTS = np.stack(
    [np.floor(np.arange(256) * (w * 2**_PIL_BITS) + 0.5) for w in _PIL_WEIGHTS], axis=1
).astype(np.int16)[None]
"""[1,256,3]: a level times its weight, in units of 1/64."""
_STRIP = 128
"""Rows at a time: the planes of a strip stay in the second-level cache."""

FLOAT32_PSNR = (17.0, 40.0)
"""Where float32 is good for 1e-5 of SSIM and 1e-4 dB of luma. SSIM's error grows with the squared
differences, about 2e-7 of which are lost; and luma's differences are off by up to 3e-5 levels,
which counts where they are below 2.55 levels of root mean square."""

Plane = npt.NDArray[Any]
"""[H,W], float64 or float32, in grey levels of 0 to 255."""


@dataclass(frozen=True, slots=True)
class Window:
    """The window over which SSIM takes its means and variances.

    Attributes:
        side: in pixels, odd.
        sigma: of the Gaussian weights, in pixels; None if all pixels weigh alike.
        sample: whether variances divide by n - 1 instead of n.
    """

    side: int
    sigma: float | None
    sample: bool

    def means(self, plane: Plane) -> Plane:
        """Return the means around each pixel of a plane [H,W].

        They are meaningless within ``side // 2`` pixels of the border.
        """
        if self.sigma is None:
            return np.asarray(cv2.blur(plane, (self.side, self.side)))
        kernel = cv2.getGaussianKernel(self.side, self.sigma, cv2.CV_64F)
        if plane.dtype == np.float32:
            # Rounded weights that do not add up to one would give flat areas a variance. The
            # outermost are small enough to take what is missing.
            kernel = kernel.astype(np.float32)
            missing = (1 - kernel.sum(dtype=np.float64)) / 2
            kernel[[0, -1]] = kernel[[0, -1]] + missing
        return np.asarray(cv2.sepFilter2D(plane, -1, kernel, kernel))


GAUSSIAN = Window(11, 1.5, sample=False)
"""Wang et al. 2004."""
UNIFORM = Window(7, None, sample=True)
"""scikit-image's default."""


def luma(rgb: RGB8, *, rounded: bool, exact: bool) -> Plane:
    """Return Y [H,W] of BT.601 in studio swing, 16 to 235, of an HWC uint8 RGB picture.

    It is float64 if ``exact``, else float32. Rounding is exact in both.
    """
    depth = np.float64 if exact else np.float32
    if rounded:
        # Whole numbers have no floating-point ties, and the half is in the last weight.
        weights = np.array([[*_WEIGHTS, 16.5 * _SCALE]])
        levels = cv2.transform(rgb.astype(np.int32), weights) // np.int32(_SCALE)
        return np.asarray(levels.astype(depth))
    if exact:
        whole = cv2.transform(rgb.astype(np.float64), np.array([_WEIGHTS]))
        return np.asarray(whole / _SCALE + 16.0)
    weights = np.array([[*_WEIGHTS, 16.0 * _SCALE]]) / _SCALE
    return np.asarray(cv2.transform(rgb.astype(np.float32), weights.astype(np.float32)))


def pil_luma(rgb: RGB8, *, exact: bool) -> Plane:
    """Return Y [H,W], 0 to 255 in whole levels, as PIL converts an HWC uint8 RGB picture to YCbCr.

    It is BT.601 in full range, rounded down. It is float64 if ``exact``, else float32.
    """
    products = cv2.LUT(rgb, _PIL_PRODUCTS)
    total: Any = cv2.transform(products, np.ones((1, 3)))  # int16 holds it: at most 255 * 64 + 1
    return np.asarray((total >> _PIL_BITS).astype(np.float64 if exact else np.float32))


def channels(rgb: RGB8, *, exact: bool) -> tuple[Plane, ...]:
    """Return R, G and B [H,W]; float64 if ``exact``, else float32."""
    depth = np.float64 if exact else np.float32
    return tuple(cv2.extractChannel(rgb, i).astype(depth) for i in range(3))


def squared_error(x: tuple[Plane, ...], y: tuple[Plane, ...]) -> float:
    """Return the mean squared error over all planes, in squared levels; summed in float64."""
    total = sum(cv2.norm(a, b, cv2.NORM_L2SQR) for a, b in zip(x, y, strict=True))
    return float(total) / sum(a.size for a in x)


def psnr(mse: float) -> float:
    """Return the PSNR in dB against a peak of 255; ``inf`` for no error."""
    return math.inf if mse == 0 else 10.0 * math.log10(PEAK**2 / mse)


def tone_fitted(restored: RGB8, target: RGB8) -> tuple[Plane, ...]:
    """Return R, G and B [H,W] float64 of a picture, each after the cubic curve closest to a target.

    The curve of each channel is the polynomial of degree 3 of its levels with the least squared
    error against the target. It takes off differences of tone (exposure, gamma, contrast, a cast),
    which say nothing about rain; it cannot follow rain, which falls on all levels. It need not be
    monotone.
    """
    return tuple(map(_tone_fitted, channels(restored, exact=True), channels(target, exact=True)))


def _tone_fitted(plane: Plane, target: Plane) -> Plane:
    # Few levels occur often, so that the fit works on the mean of the target at each level.
    levels = plane.astype(np.intp).ravel()
    counts = np.bincount(levels, minlength=256)
    means = np.bincount(levels, weights=target.ravel(), minlength=256) / np.maximum(counts, 1)
    powers = np.vander(np.linspace(-1, 1, 256), 4)
    weights = np.sqrt(counts)[:, None]
    fit, *_ = np.linalg.lstsq(powers * weights, means * weights[:, 0], rcond=None)
    return np.clip(powers @ fit, 0, 255)[levels].reshape(plane.shape)


def reduced(plane: Plane) -> Plane:
    """``ssim.m``'s automatic down-sampling: an f x f mean, then every f-th pixel.

    MATLAB rounds halves up (640 / 256 gives 3) and centres an even kernel on its upper left.
    """
    f = max(1, math.floor(min(plane.shape) / REDUCED_SIDE + 0.5))
    if f == 1:
        return plane
    centre = (f - 1) // 2
    mean = cv2.blur(plane, (f, f), anchor=(centre, centre), borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(mean[::f, ::f])


def padded(plane: Plane, window: Window) -> Plane:
    """Repeat the border of a plane, so that every pixel is the middle of a window."""
    margin = window.side // 2
    edges = (margin, margin, margin, margin)
    return np.asarray(cv2.copyMakeBorder(plane, *edges, cv2.BORDER_REPLICATE))


def ssim(x: Plane, y: Plane, window: Window) -> float:
    """Wang et al. 2004, equation 13, averaged over the windows inside; NaN where none fits."""
    rows, columns = (side - window.side + 1 for side in x.shape)
    if rows < 1 or columns < 1:
        return math.nan
    total, windows = 0.0, int(rows * columns)
    for top in range(0, rows, _STRIP):
        strip = slice(top, min(top + _STRIP, rows) + window.side - 1)
        total += _similarity(x[strip], y[strip], window)
    return total / windows


def _similarity(x: Plane, y: Plane, window: Window) -> float:
    """Return the sum of SSIM's map over the windows inside the plane."""
    # With s = x + y and d = x - y, and S and D their squared means, Wang's terms are
    # 2 mu_x mu_y = (S - D) / 2 and mu_x^2 + mu_y^2 = (S + D) / 2; the variances alike. That takes
    # four filters instead of five, and d keeps the digits that x and y would lose in float32.
    c1, c2 = 2 * (K1 * PEAK) ** 2, 2 * (K2 * PEAK) ** 2
    s, d = x + y, x - y
    # Variances do not depend on the level; near zero, squares are more precise.
    level = x.dtype.type(cv2.mean(s)[0])
    s -= level
    mean_s, mean_d = window.means(s), window.means(d)
    spread_s, spread_d = window.means(np.square(s, out=s)), window.means(np.square(d, out=d))
    spread_s -= mean_s * mean_s
    mean_s += level
    mean_s *= mean_s
    mean_d *= mean_d
    spread_d -= mean_d
    if window.sample:
        unbiased = window.side**2 / (window.side**2 - 1)
        spread_s *= unbiased
        spread_d *= unbiased
    mean_s += c1
    spread_s += c2
    similarity = mean_s - mean_d
    similarity *= spread_s - spread_d
    mean_s += mean_d
    spread_s += spread_d
    mean_s *= spread_s
    similarity /= mean_s
    # Cut last: views with gaps between their rows would make every step thrice as slow.
    margin = window.side // 2
    total: float = cv2.sumElems(similarity[margin:-margin, margin:-margin])[0]
    return total
