"""Sampling of the drops that a camera sees during one exposure."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rainkit.errors import UsageError
from rainkit.rain import physics
from rainkit.rain.settings import RainSettings
from rainkit.rain.weather import Weather

__all__ = ["Drops", "Population", "Shell", "expose", "populate", "sample"]

Floats = npt.NDArray[np.float64]

_FAINTEST = 1 / 255  # peak optical thickness below which a drop joins the uniform veil
_MOST_DROPS = 2e7  # about 3 GB while they are drawn
_SHELLS = 3  # nearer shells have longer streaks, which may begin in a wider margin
_GUSTS = 4.0  # standard deviations of the gusts for which the margin is wide enough


class Shell(NamedTuple):
    """Drops between two distances: entries [first, last) of a population.

    Their centres are uniform over [-margin_x, width + margin_x) and [-margin_y, height + margin_y)
    px, so that streaks may enter the window from any side.
    """

    first: int
    last: int
    margin_x: float
    margin_y: float


@dataclass(frozen=True)
class Population:
    """Drops in and around a window of the camera's picture, one entry per drop.

    ``x`` and ``y`` are centres in px (0 at the outer edge of the window's first pixel, y down),
    ``z`` is the distance in metres, ``diameter`` is in mm, and ``lean`` is the angle in radians by
    which a gust turns the fall. ``shells`` cover all entries in order.
    """

    x: Floats
    y: Floats
    z: Floats
    diameter: Floats
    lean: Floats
    width: int
    height: int
    shells: tuple[Shell, ...]


@dataclass(frozen=True)
class Drops:
    """Streaks to draw, one entry per drop, and the veil of the drops that are too faint to draw.

    ``x`` and ``y`` are streak centres in px (0 at the outer edge of the first pixel, y down),
    ``dx`` and ``dy`` the vectors from end to end, ``mass`` the optical thickness per px of length
    integrated across the streak, ``sigma`` the blur in px, and ``z`` the distance in metres.
    ``veil[k]`` is the uniform optical thickness of the faint drops of slab ``k``, and ``n_drops``
    the number of all drops that were sampled.
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

    def joined(self, other: Drops) -> Drops:
        """Return the streaks of both; both veils are cut at the same distances."""
        names = ("x", "y", "dx", "dy", "mass", "sigma", "z")
        return Drops(
            **{n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in names},
            veil=tuple(one + two for one, two in zip(self.veil, other.veil, strict=True)),
            n_drops=self.n_drops + other.n_drops,
        )

    def beaded(self, rng: np.random.Generator) -> Drops:
        """Return these drops with streaks that are long enough for it split into chains of beads.

        An exposure gives all streaks the same number of beads, of which each streak shows a part:
        what flickers or oscillates during it does so at one rate. A fainter streak joins them.
        """
        beads = int(rng.integers(2, 8))
        lit, between = rng.uniform(0.25, 0.6), rng.uniform(0.1, 0.5)
        length = np.hypot(self.dx, self.dy)
        long = np.flatnonzero(length > 3.0 * beads * self.sigma)
        if not long.size:
            return self
        # Ends of the beads along a streak, from 0 to 1; the first and the last may be cut off.
        start = (np.arange(beads + 1) + rng.uniform(-1, 0, (long.size, 1))) / beads
        low, high = np.maximum(start, 0.0), np.minimum(start + lit / beads, 1.0)
        streak, bead = np.nonzero(high > low)
        of = long[streak]
        middle = (low + high)[streak, bead] / 2 - 0.5
        share = (high - low)[streak, bead]
        brightness = rng.uniform(0.6, 1.6, len(of))
        mass = self.mass.copy()
        mass[long] = _rounded(mass[long] * between, 65536)
        whole = replace(self, mass=mass)
        return whole.joined(
            Drops(
                x=_rounded(self.x[of] + middle * self.dx[of], 64),
                y=_rounded(self.y[of] + middle * self.dy[of], 64),
                dx=_rounded(self.dx[of] * share, 64),
                dy=_rounded(self.dy[of] * share, 64),
                mass=_rounded(self.mass[of] * brightness, 65536),
                sigma=self.sigma[of],
                z=self.z[of],
                veil=(0.0,) * len(self.veil),
                n_drops=0,
            )
        )

    def none(self) -> Drops:
        """Return these drops without any streak or veil."""
        return replace(Drops.nowhere(len(self.veil)), n_drops=self.n_drops)

    @classmethod
    def nowhere(cls, slabs: int) -> Drops:
        """Return no drops, in a number of slabs."""
        empty = np.zeros(0)
        return cls(empty, empty, empty, empty, empty, empty, empty, (0.0,) * slabs, 0)

    def slab(self, near_m: float, far_m: float) -> npt.NDArray[np.intp]:
        """Return the indices of the drops at distances in [near_m, far_m)."""
        return np.flatnonzero((self.z >= near_m) & (self.z < far_m))


def sample(
    settings: RainSettings,
    rng: np.random.Generator,
    weather: Weather,
    *,
    width: int,
    height: int,
    focal_px: float,
) -> Drops:
    """Sample the drops in view of a ``width`` x ``height`` px window of the camera's picture."""
    population = populate(settings, rng, weather, width=width, height=height, focal_px=focal_px)
    return expose(settings, weather, population, focal_px=focal_px)


def populate(
    settings: RainSettings,
    rng: np.random.Generator,
    weather: Weather,
    *,
    width: int,
    height: int,
    focal_px: float,
) -> Population:
    """Fill the viewing frustum between ``near_m`` and ``far_m`` with drops, uniformly.

    All draws are float64 and are rounded to binary fractions that are too small to see, so that
    results do not depend on how a processor rounds its logarithms.
    """
    density = physics.drop_density(weather.rate_mm_h, settings.smallest_mm)
    edges = settings.near_m * (settings.far_m / settings.near_m) ** (
        np.arange(_SHELLS + 1) / _SHELLS
    )
    _refuse_too_many(settings, weather, density, edges, (width, height), focal_px)
    shells: list[Shell] = []
    places: list[tuple[Floats, Floats, Floats]] = []
    first = 0
    for near, far in itertools.pairwise(edges):
        margin_x, margin_y = _margins(settings, weather, near, focal_px)
        area = (width + 2 * margin_x) * (height + 2 * margin_y)
        count = int(rng.poisson(density * area / focal_px**2 * (far**3 - near**3) / 3))
        x = rng.uniform(-margin_x, width + margin_x, count)
        y = rng.uniform(-margin_y, height + margin_y, count)
        places.append((x, y, rng.uniform(near**3, far**3, count)))
        shells.append(Shell(first, first + count, margin_x, margin_y))
        first += count
    x, y, cubes = (np.concatenate(parts) for parts in zip(*places, strict=True))
    excess = rng.exponential(1 / physics.size_slope(weather.rate_mm_h), first)
    diameter = np.minimum(settings.smallest_mm + excess, physics.LARGEST_DROP_MM)
    return Population(
        x=_rounded(x, 64),
        y=_rounded(y, 64),
        z=_rounded(np.cbrt(cubes), 1024),
        diameter=_rounded(diameter, 4096),
        lean=_rounded(rng.normal(0.0, settings.gust_rad, first), 4096),
        width=width,
        height=height,
        shells=tuple(shells),
    )


def _refuse_too_many(
    settings: RainSettings,
    weather: Weather,
    density: float,
    edges: Floats,
    size: tuple[int, int],
    focal_px: float,
) -> None:
    """Refuse what would take gigabytes: far drops are many, and nearly all too faint to see."""
    expected = 0.0
    for near, far in itertools.pairwise(edges):
        margin_x, margin_y = _margins(settings, weather, near, focal_px)
        area = (size[0] + 2 * margin_x) * (size[1] + 2 * margin_y)
        expected += density * area / focal_px**2 * (far**3 - near**3) / 3
    if expected > _MOST_DROPS:
        raise UsageError(
            f"rain: {expected:.2g} drops from near_m {settings.near_m:g} to far_m "
            f"{settings.far_m:g} are too many, of at most {_MOST_DROPS:.0e}; take a smaller far_m, "
            "a shorter exposure or a wider view"
        )


def expose(
    settings: RainSettings, weather: Weather, population: Population, *, focal_px: float
) -> Drops:
    """Return the streaks of a population during the weather's exposure, without unseen ones."""
    z, wind = population.z, weather.wind_m_s
    speed = physics.terminal_speed(population.diameter)
    streak_width = population.diameter * (focal_px / 1000) / z
    length = np.sqrt(speed**2 + wind**2) * (focal_px * weather.exposure_s) / z + streak_width
    # The optical thickness per px of length is that of the drop's disc, smeared along its path.
    mass = _rounded(settings.streak_gain * (np.pi / 4) * streak_width**2 / length, 65536)
    defocus = _defocus(settings, z, focal_px)
    sigma = np.sqrt(settings.psf_px**2 + (streak_width**2 + defocus**2) / 16)

    # Streaks shorter than their blur are round spots, whose peak is lower than a long streak's.
    peak = mass / (np.sqrt(2 * np.pi) * sigma) * np.minimum(1.0, length / (2.5 * sigma))
    faint = peak < _FAINTEST
    off_x = np.abs(population.x - population.width / 2) - population.width / 2
    off_y = np.abs(population.y - population.height / 2) - population.height / 2
    veil = np.zeros(len(settings.cuts_m))
    if faint.any():
        inside = np.flatnonzero(faint & (off_x < 0) & (off_y < 0))
        slabs = np.searchsorted(settings.cuts_m, z[inside], side="right") - 1
        weights = mass[inside] * length[inside] / (population.width * population.height)
        veil += np.bincount(slabs, weights=weights, minlength=len(veil))
    reach = length / 2 + 4 * sigma + 1
    keep = np.flatnonzero(~faint & (off_x < reach) & (off_y < reach))
    across, down = _falling(settings, wind, speed[keep], population.lean[keep])
    dx, dy = _rounded(length[keep] * across, 64), _rounded(length[keep] * down, 64)
    return Drops(
        x=population.x[keep],
        y=population.y[keep],
        dx=dx,
        dy=dy,
        mass=mass[keep],
        sigma=sigma[keep],
        z=z[keep],
        veil=tuple(_rounded(veil, 2**20).tolist()),
        n_drops=len(z),
    )


def _falling(
    settings: RainSettings, wind: float, speed: Floats, lean: Floats
) -> tuple[Floats, Floats]:
    """Return the unit vectors along which drops fall: their parts to the right and down."""
    cos, sin = math.cos(_turn(settings)), math.sin(_turn(settings))
    scale = 1 / np.sqrt(speed**2 + wind**2)
    across, down = (wind * cos + speed * sin) * scale, (speed * cos - wind * sin) * scale
    # A rotation by 2 atan(lean / 2), which is lean for gusts, without any trigonometry.
    half = lean / 2
    share = 2 / (1 + half**2)
    turned, kept = half * share, share - 1
    return across * kept + down * turned, down * kept - across * turned


def _turn(settings: RainSettings) -> float:
    return math.radians(settings.roll_deg)


def _margins(
    settings: RainSettings, weather: Weather, near_m: float, focal_px: float
) -> tuple[float, float]:
    """Return half the extent in x and y, blur included, of the largest streak from ``near_m`` on.

    Both are in px.
    """
    fastest = _fastest()
    nearest = np.array([near_m])
    wind, turn = weather.wind_m_s, _turn(settings)
    path = focal_px * weather.exposure_s / near_m
    strays = _GUSTS * settings.gust_rad * math.hypot(fastest, wind)
    along_x = abs(wind * math.cos(turn)) + abs(fastest * math.sin(turn)) + strays
    along_y = abs(fastest * math.cos(turn)) + abs(wind * math.sin(turn)) + strays
    thickest = focal_px * physics.LARGEST_DROP_MM / (1000 * near_m)
    blur = thickest + float(_defocus(settings, nearest, focal_px)[0]) + 2 * settings.psf_px
    return path * along_x / 2 + blur, path * along_y / 2 + blur


@functools.cache
def _fastest() -> float:
    """Return the fall speed in m/s of the largest drops."""
    return float(physics.terminal_speed(np.array([physics.LARGEST_DROP_MM]))[0])


def _defocus(settings: RainSettings, z: Floats, focal_px: float) -> Floats:
    """Return the diameter in px of the circle of confusion at distances ``z`` (thin lens)."""
    focal_m = settings.focal_mm / 1000
    aperture_m = focal_m / settings.f_number
    most = focal_px * aperture_m / (settings.focus_m - focal_m)
    return np.abs(1 - settings.focus_m / z) * most


def _rounded(values: Floats, parts: int) -> Floats:
    """Round to multiples of 1/parts; ``parts`` is a power of two, so that this is exact."""
    return np.rint(values * parts) / parts
