"""The settings of the rain in one picture, named presets and named levels of strength."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from rainkit.errors import UsageError

__all__ = ["DEPTHLESS", "LEVELS", "PRESETS", "Level", "RainSettings"]


class Level(NamedTuple):
    """A named strength of rain: the lowest, the highest and the usual rate, in mm/h."""

    low: float
    high: float
    nominal: float


LEVELS: Mapping[str, Level] = MappingProxyType(
    {
        "drizzle": Level(0.1, 0.5, 0.3),
        "light": Level(0.5, 2.0, 2.0),
        "moderate": Level(2.0, 10.0, 7.0),
        "heavy": Level(10.0, 50.0, 25.0),
        "violent": Level(50.0, 150.0, 80.0),
    }
)
"""Named strengths of rain. If a level is given, the rate is drawn log-uniformly inside it."""


def _bounded(default: float, low: float, high: float, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc, "low": low, "high": high})


def _described(default: object, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class RainSettings:
    """The settings of :func:`rainkit.rain.render`, checked when they are constructed.

    Exactly one of ``rate_mm_h`` and ``level`` is set. Every field's metadata holds its meaning
    (``doc``) and bounds (``low``, ``high``).

    Raises:
        UsageError: A value lies outside its bounds, or values contradict each other.
    """

    rate_mm_h: float | None = field(
        default=7.0, metadata={"doc": "rain rate in mm/h", "low": 0.01, "high": 300.0}
    )
    level: str | None = _described(
        None, "named strength from which the rate is drawn; replaces the rate"
    )
    streak_gain: float = _bounded(
        32.0, 0.0, 2000.0, "factor on the optical thickness of streaks; 1 is physical"
    )
    fog_gain: float = _bounded(1.0, 0.0, 50.0, "factor on the extinction by rain; 1 is physical")
    fov_deg: float = _bounded(60.0, 5.0, 150.0, "horizontal field of view of the camera in degrees")
    exposure_s: float = _bounded(1 / 60, 1e-5, 1.0, "exposure time in seconds")
    exposure_spread: float = _bounded(
        1.0, 1.0, 100.0, "greatest factor by which the exposure is drawn longer or shorter"
    )
    focal_mm: float = _bounded(6.0, 1.0, 1000.0, "focal length in mm; affects defocus only")
    f_number: float = _bounded(6.0, 0.7, 64.0, "f-number of the lens; affects defocus only")
    focus_m: float = _bounded(6.0, 0.1, 10_000.0, "distance in metres that is in focus")
    wind_m_s: float = _bounded(0.0, -40.0, 40.0, "mean wind to the right of the picture in m/s")
    wind_sd_m_s: float = _bounded(
        1.0, 0.0, 20.0, "standard deviation of the wind between pictures in m/s"
    )
    gust_rad: float = _bounded(
        0.05, 0.0, 1.0, "standard deviation of the fall angle between drops in radians"
    )
    roll_deg: float = _bounded(
        0.0, -90.0, 90.0, "camera roll in degrees, by which all streaks are turned"
    )
    near_m: float = _bounded(0.4, 0.05, 100.0, "distance of the nearest drops in metres")
    far_m: float = _bounded(
        4.0, 0.1, 200.0, "distance in metres of the farthest drops that are drawn one by one"
    )
    smallest_mm: float = _bounded(1.0, 0.5, 5.0, "diameter in mm of the smallest drops")
    cuts_m: tuple[float, ...] = _described(
        (0.0, 1.5),
        "rising distances in metres at which the rain is cut into slabs; the scene hides a slab "
        "that begins behind it",
    )
    psf_px: float = _bounded(
        0.5, 0.3, 10.0, "standard deviation in px of the blur of lens and sensor"
    )
    light: str = _described(
        "srgb", "values that are blended: the stored ones ('srgb') or linear light ('linear')"
    )
    blend: str = _described(
        "alpha", "'alpha' if streaks cover the scene; 'add' if they add to it, clipped at white"
    )
    streak_grey: float | None = field(
        default=None,
        metadata={
            "doc": "brightness of all streaks, 0 to 255; if unset, a little above the airlight",
            "low": 0.0,
            "high": 255.0,
        },
    )
    streak_low: float = _bounded(
        1.08, 0.0, 5.0, "lowest ratio of the streaks' brightness to the airlight"
    )
    streak_high: float = _bounded(
        1.15, 0.0, 5.0, "highest ratio of the streaks' brightness to the airlight"
    )
    airlight_grey: float | None = field(
        default=None,
        metadata={
            "doc": "brightness of the airlight, 0 to 255; if unset, estimated from the picture",
            "low": 0.0,
            "high": 255.0,
        },
    )
    airlight_jitter: float = _bounded(
        0.05, 0.0, 0.5, "greatest relative change of the estimated airlight"
    )
    dim: float = _bounded(1.0, 0.05, 1.0, "factor on the scene's brightness behind the rain")
    gamma: float = _bounded(
        1.0, 0.3, 3.0, "exponent of the scene's tone curve behind the rain; above 1 it darkens"
    )

    def __post_init__(self) -> None:
        for name, low, high in _bounds():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not hasattr(value, "__float__"):
                raise UsageError(f"rain: {name} must be a number, not {value!r}")
            if not (math.isfinite(value) and low <= value <= high):
                self.check(name, float(value), called=f"rain: {name}")
            if not isinstance(value, int | float):  # numpy's would not go into JSON
                object.__setattr__(self, name, float(value))
        if (self.rate_mm_h is None) == (self.level is None):
            raise UsageError("rain: set exactly one of rate_mm_h and level")
        if self.level is not None and self.level not in LEVELS:
            raise UsageError(f"rain: level must be one of {', '.join(LEVELS)}, not {self.level!r}")
        if self.light not in ("srgb", "linear"):
            raise UsageError(f"rain: light must be 'srgb' or 'linear', not {self.light!r}")
        if self.blend not in ("alpha", "add"):
            raise UsageError(f"rain: blend must be 'alpha' or 'add', not {self.blend!r}")
        if self.near_m >= self.far_m:
            raise UsageError(f"rain: near_m {self.near_m:g} must be below far_m {self.far_m:g}")
        if self.streak_low > self.streak_high:
            raise UsageError("rain: streak_low must not be above streak_high")
        if self.focal_mm / 1000 >= self.focus_m:
            raise UsageError("rain: focus_m must be beyond the focal length")
        cuts = self.cuts_m
        rising = all(a < b < math.inf for a, b in itertools.pairwise(cuts))  # NaN is refused, too
        if not cuts or cuts[0] != 0 or not rising:
            raise UsageError(f"rain: cuts_m must be finite and rise from 0, not {cuts}")

    @classmethod
    def check(cls, name: str, value: float, *, called: str) -> None:
        """Check a number against the bounds of the setting ``name``.

        Raises:
            UsageError: The number is out of bounds. The message starts with ``called``.
        """
        bounds = cls.__dataclass_fields__[name].metadata
        low, high = bounds["low"], bounds["high"]
        if not (math.isfinite(value) and low <= value <= high):
            raise UsageError(f"{called} must be {low:g} to {high:g}, not {value:g}")

    def at_rate(self, rate_mm_h: float) -> RainSettings:
        """Return these settings with a given rain rate in mm/h."""
        return replace(self, rate_mm_h=rate_mm_h, level=None)

    def at_level(self, level: str) -> RainSettings:
        """Return these settings with the rate drawn inside a named level."""
        return replace(self, rate_mm_h=None, level=level)

    def changed(self, values: Mapping[str, Any]) -> RainSettings:
        """Return these settings with some fields replaced, by name.

        Raises:
            UsageError: A name is unknown, or a value is out of bounds.
        """
        unknown = values.keys() - {item.name for item in fields(self)}
        if unknown:
            raise UsageError(f"rain: there is no setting {', '.join(sorted(unknown))}")
        return replace(self, **values)

    def focal_px(self, frame_width: float) -> float:
        """Return the focal length in px of a camera whose pictures are ``frame_width`` px wide."""
        return frame_width / (2 * math.tan(math.radians(self.fov_deg) / 2))


_OPTIONAL = ("rate_mm_h", "streak_grey", "airlight_grey")


@functools.cache
def _bounds() -> tuple[tuple[str, float, float], ...]:
    """Return the settings that have bounds, with these; training checks them for each sample."""
    every = ((item.name, item.metadata) for item in fields(RainSettings))
    return tuple((name, data["low"], data["high"]) for name, data in every if "low" in data)


PRESETS: Mapping[str, RainSettings] = MappingProxyType(
    {
        "default": RainSettings(streak_gain=28.0),
        "spa": RainSettings(streak_gain=27.0),
        "rain12": RainSettings(streak_gain=20.5, blend="add", streak_grey=255.0),
        "rain100l": RainSettings(
            rate_mm_h=17.0,
            streak_gain=103.0,
            exposure_s=1 / 26,
            near_m=1.6,
            far_m=2.7,
            smallest_mm=2.0,
            gust_rad=0.06,
            psf_px=0.4,
            blend="add",
            streak_grey=255.0,
        ),
        "rain100h": RainSettings(
            rate_mm_h=120.0,
            streak_gain=65.0,
            exposure_s=1 / 36,
            near_m=1.1,
            far_m=3.7,
            smallest_mm=2.0,
            gust_rad=0.07,
            psf_px=0.4,
            blend="add",
            streak_grey=255.0,
        ),
        "wide": RainSettings(streak_gain=43.0, focal_mm=35.0, f_number=1.8, focus_m=8.0),
        "short": RainSettings(streak_gain=16.0, exposure_s=1 / 250),
        "physical": RainSettings(streak_gain=1.0),
        "misty": RainSettings(streak_gain=28.0, fog_gain=2.5),
    }
)
"""Named settings that resemble known datasets of rainy pictures, or a kind of rain."""

DEPTHLESS = frozenset({"spa", "rain12", "rain100l", "rain100h"})
"""Presets that imitate datasets made without depth.

Their rain has no veil, and the scene hides none of the streaks.
"""
