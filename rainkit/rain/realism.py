"""Measures of the rain in a picture, by which synthetic rain is compared with real rain.

Most are computed from the residual r = Y(rainy) - Y(clean) in levels of full-range luma Y (BT.601,
0 to 255). Tables with Y from 16 to 235 show 219/255 of these levels. Photographs of real rain have
no clean picture: :func:`segment` finds the streaks in one by itself.

Tilts are in degrees from vertical, in (-90, 90]. A tilt is positive if the lower end of a streak
is its right end, as in wind to the right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.images import LUMA_WEIGHTS, RGB8
from rainkit.rain.physics import LARGEST_DROP_MM, size_slope, terminal_speed

__all__ = [
    "Fit",
    "Measures",
    "Streaks",
    "coverage_slope",
    "expected_tilt",
    "fog_fit",
    "measure",
    "residual",
    "segment",
]

_VISIBLE = 8.0  # levels; smaller changes are hardly visible
_REACH = 128  # px; streaks up to twice as long can be measured
_LARGEST = 1024  # px; only the middle of larger pictures is used
_TENSOR_SD = 1.5  # px; smooths the structure tensor, not the residual
_CONTRAST = 40.0  # levels; pixels nearer to the airlight say little about the fog

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """Measures of the rain in one picture; NaN if there is no rain to be measured.

    Attributes:
        y_psnr: PSNR in dB on Y from 16 to 235, as in published tables; infinite for equal pictures.
        mean_dy: mean of r in levels.
        brighter: share of pixels with r > 8, which streaks cover.
        darker: share of pixels with r < -8.
        p99: 99th percentile of r in levels.
        tilt_deg: mean tilt, weighted with the energy of the structure tensor of r.
        tilt_sd_deg: standard deviation of the tilt within the picture, weighted in the same way.
        length_px: full width at half maximum of the autocorrelation of r along the mean tilt. It
            is L for a streak of even brightness and length L, and infinite above 256.
        width_px: the same across the mean tilt; 3.33 s for a Gaussian profile of deviation s.
        chroma: root mean square of the coloured part of the residual, relative to the residual.
    """

    y_psnr: float
    mean_dy: float
    brighter: float
    darker: float
    p99: float
    tilt_deg: float
    tilt_sd_deg: float
    length_px: float
    width_px: float
    chroma: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A straight line that was fitted to points: its slope, and their correlation r."""

    slope: float
    r: float


_WIDEST = 25  # px; wider structures belong to the background
_MARGIN = 4.0  # standard deviations of the noise above which a streak stands out
_LEAST_PX = 6  # area of the smallest streaks
_LEAST_ASPECT = 1.5  # rounder spots are not called streaks
_STEEPEST_DEG = 50.0  # tilt from vertical of what may be a streak
_ALIKE_DEG = 20.0  # streaks of one picture lie as near to their common direction
_FULL = 0.55  # share of its length times width that a streak fills; curves and crossings do not


@dataclass(frozen=True, eq=False, slots=True)
class Streaks:
    """The streaks that were found in one picture; an array has one entry per streak.

    Attributes:
        length_px: length at half of the streak's brightness above its background.
        width_px: width at half of that brightness.
        contrast: that brightness at the brightest point, in levels.
        edge_px: distance over which the brightness rises, contrast / mean horizontal gradient, in
            which steep gradients weigh more: 1 for an edge from one pixel to the next, 2.26 s for
            a Gaussian profile of deviation s.
        tilt_deg: tilt from vertical.
        coverage: share of the picture's pixels that the streaks cover.
        height: height of the picture in px.
        width: width of the picture in px.
    """

    length_px: Plane
    width_px: Plane
    contrast: Plane
    edge_px: Plane
    tilt_deg: Plane
    coverage: float
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.length_px)

    @property
    def density(self) -> float:
        """Number of streaks in 100 x 100 px."""
        return 1e4 * len(self) / (self.height * self.width)


def segment(rainy: RGB8) -> Streaks:
    """Find the streaks in a picture [H, W, 3] RGB without its clean picture.

    What is brighter than the background to its left and right, up to 25 px wide, stands out of the
    noise, is straight, and lies near the vertical and the picture's most common direction, is taken
    for a streak. Scenes have such structures, too; rain-free photographs show how many.
    """
    y = np.asarray(cv2.transform(rainy.astype(np.float32), LUMA_WEIGHTS), np.float32)
    height, width = y.shape
    flat = cv2.morphologyEx(y, cv2.MORPH_OPEN, np.ones((1, _WIDEST), np.uint8))
    smooth = cv2.GaussianBlur(flat, (0, 0), 2.0)
    above = np.asarray(cv2.subtract(y, cv2.max(flat, smooth)), np.float32)
    fine = cv2.subtract(y, cv2.GaussianBlur(y, (0, 0), 1.0))
    noise = 1.4826 * float(np.median(np.abs(fine)))
    # Structures are split where they are fainter than their surroundings.
    local = cv2.boxFilter(np.maximum(above, 0), cv2.CV_32F, (_WIDEST, _WIDEST))
    threshold = np.maximum(np.maximum(_VISIBLE, _MARGIN * noise), 1.3 * local)
    count, labels = cv2.connectedComponents((above > threshold).astype(np.uint8), connectivity=8)
    of = labels.ravel()
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, of, above.ravel())
    # A streak reaches to half of its brightness, which may lie below the threshold.
    steep = np.abs(np.diff(y, axis=1, append=y[:, -1:])).ravel()
    widened = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
    labels = np.where(labels > 0, labels, widened)
    labels[above < peak[labels] / 2] = 0
    rows, columns = np.nonzero(labels)
    of = labels[rows, columns]
    inside = widened.ravel()
    total, squares = (np.bincount(inside, steep**power, count) for power in (1, 2))
    gradient = squares / np.maximum(total, 1e-3)
    area = np.bincount(of, minlength=count)
    safe = np.maximum(area, 1)
    mean_x, mean_y = (np.bincount(of, each, count) / safe for each in (columns, rows))
    dx, dy = columns - mean_x[of], rows - mean_y[of]
    # Variances of pixel areas, not of their middles.
    xx, yy = (np.bincount(of, each * each, count) / safe + 1 / 12 for each in (dx, dy))
    xy = np.bincount(of, dx * dy, count) / safe
    half, away = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    length, thick = (np.sqrt(12 * np.maximum(part, 1e-6)) for part in (half + away, half - away))
    tilt = np.degrees(np.arctan2(2 * xy, yy - xx)) / 2
    good = (
        (area >= _LEAST_PX) & (length >= _LEAST_ASPECT * thick) & (area >= _FULL * length * thick)
    )
    good &= np.abs(tilt) <= _STEEPEST_DEG
    good[0] = False
    if good.any():
        near = np.abs(tilt[good] - np.arange(-_STEEPEST_DEG, _STEEPEST_DEG + 1)[:, None])
        votes = ((near <= _ALIKE_DEG / 2) * length[good]).sum(1)
        good &= np.abs(tilt - (float(np.argmax(votes)) - _STEEPEST_DEG)) <= _ALIKE_DEG
    found = np.flatnonzero(good)
    edge = peak / np.maximum(gradient, 1e-3)
    return Streaks(
        length_px=length[found].astype(np.float32),
        width_px=thick[found].astype(np.float32),
        contrast=peak[found],
        edge_px=edge[found].astype(np.float32),
        tilt_deg=tilt[found].astype(np.float32),
        coverage=float(area[found].sum() / (height * width)),
        height=height,
        width=width,
    )


def residual(clean: RGB8, rainy: RGB8) -> Plane:
    """Return the residual r, float32 [H, W] in levels, of two pictures [H, W, 3]."""
    return np.asarray(cv2.transform(_change(clean, rainy), LUMA_WEIGHTS), np.float32)


def _change(clean: RGB8, rainy: RGB8) -> Plane:
    return np.asarray(cv2.subtract(rainy, clean, dtype=cv2.CV_32F), np.float32)


def measure(clean: RGB8, rainy: RGB8) -> Measures:
    """Measure the rain of one picture; both arguments are uint8 [H, W, 3] RGB."""
    r = residual(clean, rainy)
    error = float(np.square(r, dtype=np.float64).mean()) * (219 / 255) ** 2
    tilt, spread = _tilt(r)
    length, width = _extent(r, tilt)
    change = _change(clean, rainy)
    power = float(np.square(change, dtype=np.float64).sum())
    colour = float(np.square(change - r[..., None], dtype=np.float64).sum())
    return Measures(
        y_psnr=10 * math.log10(255**2 / error) if error > 0 else math.inf,
        mean_dy=float(r.mean(dtype=np.float64)),
        brighter=float(np.mean(r > _VISIBLE)),
        darker=float(np.mean(r < -_VISIBLE)),
        p99=float(np.percentile(r, 99)),
        tilt_deg=tilt,
        tilt_sd_deg=spread,
        length_px=length,
        width_px=width,
        chroma=math.sqrt(colour / power) if power > 0 else math.nan,
    )


def expected_tilt(rate_mm_h: float, wind_m_s: float, smallest_mm: float) -> float:
    """Return the mean tilt in degrees of drops in a wind to the right, as :func:`measure` has it.

    A drop of diameter D is tilted by atan(wind / speed(D)). The structure tensor weights it with
    the energy of its gradients, which is proportional to the square of its opacity, (D² / speed)²,
    times its length. Drops follow the Marshall-Palmer law from ``smallest_mm`` up. The camera roll
    has to be added.
    """
    diameter = np.linspace(smallest_mm, LARGEST_DROP_MM, 200)
    speed = terminal_speed(diameter)
    weight = np.exp(-size_slope(rate_mm_h) * diameter) * diameter**4 / np.hypot(speed, wind_m_s)
    lean = np.arctan(wind_m_s / speed)
    return math.degrees(np.average(lean, weights=weight))


def fog_fit(
    clean: RGB8, foggy: RGB8, airlight: Sequence[float], distance_m: Plane, beta_per_m: float
) -> Fit | None:
    """Fit Koschmieder's law to fog; slope and correlation are 1 if the fog follows it.

    The transmission is estimated as (foggy - airlight) / (clean - airlight) where the denominator
    is above 40 levels, and its -ln is fitted to the optical depth.

    Args:
        clean: the picture without fog, [H, W, 3].
        foggy: the same picture with fog and without streaks.
        airlight: RGB colour of the airlight, 0 to 255.
        distance_m: distance along the line of sight in metres, [H, W].
        beta_per_m: extinction that the fog should have.

    Returns:
        The fit, or None if there is too little contrast or depth.
    """
    light = np.asarray(airlight, np.float32)
    before, after = clean - light, foggy - light
    usable = np.abs(before) > _CONTRAST
    through = after[usable] / before[usable]
    depth = np.broadcast_to(distance_m[..., None] * beta_per_m, before.shape)[usable]
    # Pixels that the fog nearly hides have lost their values to rounding.
    clear = depth < 2.0
    x, y = depth[clear].astype(np.float64), -np.log(np.maximum(through[clear], 1e-3))
    if x.size < 1000 or x.std() < 0.02:
        return None
    return _fit(x, y.astype(np.float64))


def coverage_slope(rates_mm_h: Sequence[float], coverage: Sequence[float]) -> Fit | None:
    """Fit the growth of coverage with the rain rate; the slope is that of log against log.

    Only pictures at 0.5 to 8 mm/h count, because streaks begin to hide each other above.

    Returns:
        The fit, or None if there are fewer than eight such pictures or their rates lie within a
        factor of 2.
    """
    rate, cover = np.array(rates_mm_h, np.float64), np.array(coverage, np.float64)
    fair = (rate >= 0.5) & (rate <= 8) & (cover > 0)
    rate, cover = rate[fair], cover[fair]
    if rate.size < 8 or rate.max() < 2 * rate.min():
        return None
    return _fit(np.log(rate), np.log(cover))


def _fit(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Fit:
    across, along, rise = np.cov(x, y)[[0, 1, 0], [0, 1, 1]]
    return Fit(float(rise / across), float(rise / math.sqrt(across * along)) if along > 0 else 0.0)


def _tilt(r: Plane) -> tuple[float, float]:
    """Return mean and deviation of the tilt, by the structure tensor (Bigün and Granlund 1987)."""
    # Sobel's operator would turn thin streaks by up to 2.3 degrees towards the axes.
    gx, gy = cv2.Scharr(r, cv2.CV_32F, 1, 0), cv2.Scharr(r, cv2.CV_32F, 0, 1)
    xx, xy, yy = (
        cv2.GaussianBlur(product, (0, 0), _TENSOR_SD) for product in (gx * gx, gx * gy, gy * gy)
    )
    # Twice the tilt. Gradients are at right angles to streaks, which gives the minus sign.
    double = -np.arctan2(2 * xy, xx - yy).astype(np.float64)
    weight = np.hypot(xx - yy, 2 * xy).astype(np.float64)
    total = float(weight.sum())
    if total == 0:
        return math.nan, math.nan
    up, across = float((weight * np.sin(double)).sum()), float((weight * np.cos(double)).sum())
    mean = math.atan2(up, across)
    away = (double - mean + math.pi) % (2 * math.pi) - math.pi
    spread = math.sqrt(float((weight * away * away).sum()) / total)
    return math.degrees(mean) / 2, math.degrees(spread) / 2


def _extent(r: Plane, tilt_deg: float) -> tuple[float, float]:
    """Return length and width of the streaks by the autocorrelation of r; see :class:`Measures`."""
    if math.isnan(tilt_deg):
        return math.nan, math.nan
    top, left = (max(0, (side - _LARGEST) // 2) for side in r.shape)
    r = r[top : top + _LARGEST, left : left + _LARGEST]
    padded = [cv2.getOptimalDFTSize(side + _REACH) for side in r.shape]
    spectrum = np.fft.rfft2(r - r.mean(), padded)
    full = np.fft.irfft2(np.abs(spectrum) ** 2, padded)
    here = np.arange(-_REACH, _REACH + 1)
    peak = full[np.ix_(here % padded[0], here % padded[1])].astype(np.float32)
    turn = math.radians(tilt_deg)
    along = _half_width(peak, math.sin(turn), math.cos(turn))
    return 2 * along, 2 * _half_width(peak, math.cos(turn), -math.sin(turn))


def _half_width(peak: Plane, dx: float, dy: float) -> float:
    """Return the px in a direction from the middle of ``peak`` to half its height, or infinity."""
    t = np.arange(0, _REACH, 0.05).astype(np.float32)
    x, y = (_REACH + t * dx)[None], (_REACH + t * dy)[None]
    profile = cv2.remap(peak, x, y, cv2.INTER_CUBIC)[0]
    below = np.flatnonzero(profile < profile[0] / 2)
    return float(t[below[0]]) if below.size else math.inf
