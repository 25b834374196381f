"""Sampling the drops that a camera sees during one exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rainkit.rain import physics
from rainkit.rain.settings import RainSettings

__all__ = ["Drops", "sample"]

Floats = npt.NDArray[np.float64]

_FAINTEST = 1 / 255  # peak optical thickness below which a drop joins the uniform veil
_GUSTS = 4.0  # gusts beyond this many standard deviations may miss the sampled margin


@dataclass(frozen=True)
class Drops:
    """The streaks worth drawing, one entry per drop, and the many too faint to draw.

    ``x`` and ``y`` are streak centres in px (0 at the outer edge of the first pixel, y down),
    ``dx`` and ``dy`` the vectors from end to end, ``mass`` the optical thickness per px of length
    integrated across the streak, ``sigma`` the blur in px, ``z`` the distance in metres.
    ``veil[k]`` is the uniform optical thickness of the faint drops of slab ``k``.
    """

    x: Floats
    y: Floats
    dx: Floats
    dy: Floats
    mass: Floats
    sigma: Floats
    z: Floats
    veil: tuple[float, ...]
    n_drops: int

    def __len__(self) -> int:
        return len(self.x)

    def slab(self, near_m: float, far_m: float) -> npt.NDArray[np.intp]:
        """Indices of the drops at distances in [near_m, far_m)."""
        return np.flatnonzero((self.z >= near_m) & (self.z < far_m))


def sample(
    settings: RainSettings,
    rng: np.random.Generator,
    *,
    rate_mm_h: float,
    wind_m_s: float,
    width: int,
    height: int,
    focal_px: float,
) -> Drops:
    """Draw the drops in view of a ``width`` x ``height`` px window of the camera's picture.

    Drops are uniform in the viewing frustum between ``near_m`` and ``far_m``. Positions are drawn
    in a margin around the window too, so that streaks may enter it from any side.

    All draws are float64 and rounded to binary fractions far below what a pixel can show: results
    then do not depend on how a processor rounds its logarithms.
    """
    margin_x, margin_y = _margins(settings, wind_m_s, focal_px)
    wide, high = width + 2 * margin_x, height + 2 * margin_y
    near3, far3 = settings.near_m**3, settings.far_m**3
    volume = wide * high / focal_px**2 * (far3 - near3) / 3
    n_drops = int(rng.poisson(physics.drop_density(rate_mm_h, settings.smallest_mm) * volume))

    x = _rounded(rng.uniform(-margin_x, width + margin_x, n_drops), 64)
    y = _rounded(rng.uniform(-margin_y, height + margin_y, n_drops), 64)
    z = _rounded(np.cbrt(rng.uniform(near3, far3, n_drops)), 1024)
    mean_excess = 1 / physics.size_slope(rate_mm_h)
    diameter = settings.smallest_mm + rng.exponential(mean_excess, n_drops)
    diameter = np.minimum(diameter, physics.LARGEST_DROP_MM)
    speed = physics.terminal_speed(diameter)
    angle = np.arctan2(wind_m_s, speed) + math.radians(settings.roll_deg)
    angle += rng.normal(0.0, settings.gust_rad, n_drops)

    streak_width = focal_px * diameter / (1000 * z)
    length = focal_px * settings.exposure_s * np.hypot(speed, wind_m_s) / z + streak_width
    # Optical thickness per px of length: the drop's disc, smeared along its path.
    mass = _rounded(settings.streak_gain * (np.pi / 4) * streak_width**2 / length, 65536)
    sigma = np.sqrt(
        settings.psf_px**2 + (streak_width / 4) ** 2 + (_defocus(settings, z, focal_px) / 4) ** 2
    )

    # Streaks shorter than their blur are round spots: their peak is lower than a long streak's.
    peak = mass / (np.sqrt(2 * np.pi) * sigma) * np.minimum(1.0, length / (2.5 * sigma))
    faint = peak < _FAINTEST
    veil = np.bincount(
        np.searchsorted(settings.cuts_m, z[faint], side="right") - 1,
        weights=mass[faint] * length[faint],
        minlength=len(settings.cuts_m),
    ) / (wide * high)
    dx = _rounded(length * np.sin(angle), 64)
    dy = _rounded(length * np.cos(angle), 64)
    reach = 4 * sigma + 1
    in_view = (np.abs(x - width / 2) < width / 2 + np.abs(dx) / 2 + reach) & (
        np.abs(y - height / 2) < height / 2 + np.abs(dy) / 2 + reach
    )
    keep = np.flatnonzero(~faint & in_view)
    return Drops(
        x=x[keep],
        y=y[keep],
        dx=dx[keep],
        dy=dy[keep],
        mass=mass[keep],
        sigma=sigma[keep],
        z=z[keep],
        veil=tuple(_rounded(veil, 2**20).tolist()),
        n_drops=n_drops,
    )


def _margins(settings: RainSettings, wind_m_s: float, focal_px: float) -> tuple[float, float]:
    """Half the largest streak's extent in x and y, plus its blur, in px."""
    fastest = float(physics.terminal_speed(np.array([physics.LARGEST_DROP_MM]))[0])
    nearest = np.array([settings.near_m])
    turn = math.radians(settings.roll_deg)
    path = focal_px * settings.exposure_s / settings.near_m
    strays = _GUSTS * settings.gust_rad * math.hypot(fastest, wind_m_s)
    along_x = abs(wind_m_s * math.cos(turn)) + abs(fastest * math.sin(turn)) + strays
    along_y = abs(fastest * math.cos(turn)) + abs(wind_m_s * math.sin(turn)) + strays
    thickest = focal_px * physics.LARGEST_DROP_MM / (1000 * settings.near_m)
    blur = thickest + float(_defocus(settings, nearest, focal_px)[0]) + 2 * settings.psf_px
    return path * along_x / 2 + blur, path * along_y / 2 + blur


def _defocus(settings: RainSettings, z: Floats, focal_px: float) -> Floats:
    """Diameter in px of the circle of confusion at distances ``z`` (thin lens)."""
    focal_m = settings.focal_mm / 1000
    aperture_m = focal_m / settings.f_number
    return focal_px * aperture_m * np.abs(z - settings.focus_m) / (z * (settings.focus_m - focal_m))


def _rounded(values: Floats, parts: int) -> Floats:
    """Round to multiples of 1/parts (a power of two, so the result is exact)."""
    return np.rint(values * parts) / parts
