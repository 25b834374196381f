"""The weather of one picture: rate, wind, exposure and light, drawn from settings and a seed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rainkit.errors import UsageError
from rainkit.rain import composition
from rainkit.rain.settings import LEVELS, RainSettings

__all__ = ["Weather", "draw", "generator", "log_uniform"]

Colour = npt.NDArray[np.float64]

_BRIGHTEST = 250.0  # limit for streaks derived from the airlight; real streaks are not quite white


@dataclass(frozen=True, kw_only=True)
class Weather:
    """Rate, wind, exposure and colours, which all drops of one exposure share.

    Attributes:
        rate_mm_h: rain rate in mm/h.
        wind_m_s: wind to the right of the picture in m/s.
        exposure_s: exposure time in seconds.
        airlight: colour of the veil, RGB 0 to 255.
        streak: colour of the streaks, RGB 0 to 255.
    """

    rate_mm_h: float
    wind_m_s: float
    exposure_s: float
    airlight: Colour
    streak: Colour


def generator(seed: Sequence[int]) -> np.random.Generator:
    """Return the random generator of a seed, which is one or more whole numbers from 0 up.

    Raises:
        UsageError: The seed is empty, negative or a single number.
    """
    try:
        parts = [operator.index(part) for part in seed]
    except TypeError:
        parts = []
    if not parts or min(parts) < 0:
        raise UsageError(
            f"rain: a seed must be a sequence of whole numbers from 0 up, not {seed!r}"
        )
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(parts)))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform between those of ``low`` and ``high``, above 0."""
    return float(low * (high / low) ** rng.random())


def draw(
    clean: npt.NDArray[np.uint8],
    settings: RainSettings,
    rng: np.random.Generator,
    *,
    airlight: Sequence[float] | None = None,
) -> Weather:
    """Draw the weather of a picture, uint8 [H, W, 3].

    Every number is drawn whether or not it is used, so that changing one setting does not change
    the numbers drawn for another.

    Raises:
        UsageError: ``airlight`` is not three values from 0 to 255.
    """
    share = float(rng.uniform())
    wind = settings.wind_m_s + settings.wind_sd_m_s * float(rng.standard_normal())
    jitter = 1 + settings.airlight_jitter * float(rng.uniform(-1, 1))
    brightness = float(rng.uniform(settings.streak_low, settings.streak_high))
    spread = float(rng.uniform(-1, 1))
    if airlight is None and settings.airlight_grey is not None:
        airlight = (settings.airlight_grey,) * 3
    air = _airlight(clean, airlight, jitter)
    if settings.streak_grey is None:
        streak = np.minimum(air * brightness, _BRIGHTEST)
    else:
        streak = np.full(3, settings.streak_grey)
    return Weather(
        rate_mm_h=_rate(settings, share),
        wind_m_s=wind,
        exposure_s=settings.exposure_s * settings.exposure_spread**spread,
        airlight=air,
        streak=streak,
    )


def _rate(settings: RainSettings, share: float) -> float:
    """Return the rate in mm/h: the given one, or the level's at a share on its log scale."""
    if settings.level is None:
        assert settings.rate_mm_h is not None  # noqa: S101 - RainSettings checks it
        return float(settings.rate_mm_h)
    level = LEVELS[settings.level]
    return float(level.low * (level.high / level.low) ** share)


def _airlight(clean: npt.NDArray[np.uint8], given: Sequence[float] | None, jitter: float) -> Colour:
    if given is None:
        return np.minimum(composition.estimate_airlight(clean) * jitter, 255.0)
    colour = np.asarray(given, np.float64)
    if colour.shape != (3,) or not np.all((colour >= 0) & (colour <= 255)):
        raise UsageError(f"rain: airlight must be three values from 0 to 255, not {given!r}")
    return colour
