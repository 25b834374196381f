"""The distribution that training rain is sampled from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from rainkit.errors import UsageError
from rainkit.images import RGB8
from rainkit.rain import physics
from rainkit.rain.lines import draw_lines
from rainkit.rain.render import SampledRain, sample_rain
from rainkit.rain.settings import RainSettings
from rainkit.rain.weather import log_uniform

__all__ = ["RainDistribution"]

_VARIETY = 1  # extends the seed of a rain
_FAINTEST_BLUR = 0.5  # px
_SHARES = (
    "veiled",
    "veil_most",
    "dimmed",
    "dim_least",
    "darkened",
    "faint",
    "bright",
    "defocused",
    "beaded",
    "layered",
    "lines",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RainDistribution:
    """Shares of the kinds of rain in training, and the ranges of their strength and direction.

    There are seven kinds of rain, which differ in their streaks. Their shares need not add up to 1.

    Attributes:
        natural: share of rain as a camera sees it: drops of all sizes and distances, whose streaks
            cover the scene with the colour of the sky.
        sparse: share of rain as in Rain100L: few bright, white, nearly parallel streaks of any
            thickness, which add to the scene.
        dense: share of rain as in Rain100H: many overlapping streaks.
        soft: share of rain as in Rain800 and Rain1400: short or blurred streaks of low contrast.
        dashes: share of rain as in photographs of a short exposure that were enlarged: short, soft
            dashes a few times as long as wide.
        near: share of rain with drops before the lens: thick streaks and spots out of focus, with
            other streaks behind them.
        flecks: share of rain that a flash or a very short exposure froze, and of sleet: bright
            spots, round or a few times as long as wide, which swirl in all directions in part.
        gain_low: lowest random factor on a kind's streak gain, drawn log-uniformly.
        gain_high: highest random factor on a kind's streak gain.
        tilt_sd_deg: standard deviation in degrees of the mean direction of rain between samples.
        tilt_most_deg: greatest tilt of the mean direction from vertical in degrees.
        veiled: share of samples with the veil of distant rain.
        veil_most: share of the scene's light that the thickest veil takes away.
        dimmed: share of samples whose scene is darkened by a factor behind the rain.
        dim_least: lowest factor of such a darkening.
        darkened: share of samples of soft rain whose scene is darkened by a tone curve; samples
            of other kinds have a tenth of it. Three in four inputs of Rain800 are the clean
            picture to the power 1.8 under the rain. A network that never saw this removes the
            streaks there but loses PSNR.
        faint: share of samples whose streaks are fainter by another factor, down to 0.08, as most
            rain in photographs is.
        bright: share of the other samples, but for dense rain, whose streaks are fewer, nearer and
            brighter by a factor of 2 to 8: the light behind them is lost.
        defocused: share of samples all of whose streaks are out of focus or blurred.
        blur_most_px: greatest standard deviation of that blur in px.
        beaded: share of samples whose longer streaks are chains of beads, as in light that flickers
            or from drops that oscillate.
        layered: share of samples in which a second rain, of any kind, falls before the first.
        lines: share of samples whose streaks are lines that cross each other, as programs draw
            them and as in Rain100H; they take the place of a kind's streaks.
        gamma_least: exponent of the gentlest tone curve.
        gamma_most: exponent of the steepest tone curve.
    """

    natural: float = 0.25
    sparse: float = 0.25
    dense: float = 0.3
    soft: float = 0.2
    dashes: float = 0.2
    near: float = 0.1
    flecks: float = 0.1
    gain_low: float = 0.6
    gain_high: float = 1.7
    tilt_sd_deg: float = 13.0
    tilt_most_deg: float = 40.0
    veiled: float = 0.08
    veil_most: float = 0.4
    dimmed: float = 0.03
    dim_least: float = 0.6
    darkened: float = 0.6
    faint: float = 0.35
    bright: float = 0.1
    defocused: float = 0.15
    blur_most_px: float = 2.5
    beaded: float = 0.1
    layered: float = 0.1
    lines: float = 0.1
    gamma_least: float = 1.2
    gamma_most: float = 1.9

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"rain distribution: {item.name} must be 0 or more, not {value}")
        if sum(self._shares()) <= 0:
            raise UsageError("rain distribution: at least one kind of rain needs a share above 0")
        for name in _SHARES:
            if getattr(self, name) > 1:
                raise UsageError(f"rain distribution: {name} is a share and must be at most 1")
        if not 0 < self.gain_low <= self.gain_high:
            raise UsageError("rain distribution: gain_low must be above 0 and not above gain_high")
        if not 1 <= self.gamma_least <= self.gamma_most <= 3:
            raise UsageError("rain distribution: keep 1 <= gamma_least <= gamma_most <= 3")
        if not _FAINTEST_BLUR <= self.blur_most_px <= 8:
            raise UsageError(f"rain distribution: keep {_FAINTEST_BLUR} <= blur_most_px <= 8")
        if self.dim_least < 0.05 or self.veil_most > 0.95 or self.tilt_most_deg > 90:
            raise UsageError(
                "rain distribution: keep dim_least >= 0.05, veil_most <= 0.95 and "
                "tilt_most_deg <= 90"
            )

    def draw(self, rng: np.random.Generator) -> tuple[RainSettings, float | None]:
        """Draw settings and the distance of a flat scene in metres, which is None for no veil."""
        kinds = (_natural, _sparse, _dense, _soft, _dashes, _near, _flecks)
        shares = np.cumsum(self._shares())
        kind = kinds[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
        changes = kind(rng)
        changes["streak_gain"] *= log_uniform(rng, self.gain_low, self.gain_high)
        # Without a share nothing is drawn, so that samples of older runs stay as they are.
        if self.faint and rng.random() < self.faint:
            changes["streak_gain"] *= log_uniform(rng, 0.08, 0.6)
        elif self.bright and rng.random() < self.bright and kind is not _dense:
            _brighten(changes, rng)
        if self.defocused and rng.random() < self.defocused:
            _blur(changes, log_uniform(rng, _FAINTEST_BLUR, self.blur_most_px))
        tilt = float(rng.normal(0.0, self.tilt_sd_deg))
        changes["roll_deg"] = max(-self.tilt_most_deg, min(self.tilt_most_deg, tilt))
        if rng.random() < self.dimmed:
            changes["dim"] = float(rng.uniform(self.dim_least, 1.0))
        if rng.random() < self.darkened * (1.0 if kind is _soft else 0.1):
            changes["gamma"] = float(rng.uniform(self.gamma_least, self.gamma_most))
        veiled = rng.random() < self.veiled
        taken = float(rng.uniform(0.0, self.veil_most))
        changes["airlight_grey"] = float(rng.uniform(140.0, 240.0))
        settings = RainSettings(**_within_bounds(changes))
        if not veiled:
            return settings, None
        assert settings.rate_mm_h is not None  # noqa: S101 - every kind sets it
        distance = -math.log1p(-taken) / physics.extinction(settings.rate_mm_h)
        # A scene nearer than the last cut would hide streaks, as a wall does and a veil does not.
        return settings, max(distance, settings.cuts_m[-1] + 0.01)

    def vary(self, rain: SampledRain, clean: RGB8, seed: Sequence[int]) -> SampledRain:
        """Add a second rain, make beads of the streaks, or draw lines in their place.

        Each is done in a share of samples. Weather stays that of ``rain``, and so does the colour
        of streaks other than lines. The result depends on the arguments alone.

        Args:
            rain: rain that was sampled from what :meth:`draw` returned.
            clean: the picture that it was sampled for, uint8 [H, W, 3].
            seed: the seed of ``rain``.
        """
        if not (self.layered or self.beaded or self.lines):
            return rain
        rng = np.random.default_rng([*seed, _VARIETY])
        # Without a share nothing is drawn, so that samples of older runs stay as they are.
        if self.lines and rng.random() < self.lines:
            return self._with_lines(rain, rng)
        layered, beaded = rng.random(2) < (self.layered, self.beaded)
        if layered:
            settings, _ = self.draw(rng)
            # All rain of a picture falls in one direction.
            settings = replace(settings, roll_deg=rain.settings.roll_deg)
            other = sample_rain(
                clean, settings, [*seed, _VARIETY], frame_width=rain.geometry.frame_width
            )
            rain = replace(rain, drops=rain.drops.joined(other.drops))
        if beaded:
            rain = replace(rain, drops=rain.drops.beaded(rng))
        return rain

    def _with_lines(self, rain: SampledRain, rng: np.random.Generator) -> SampledRain:
        grey = float(rng.uniform(225.0, 255.0))
        settings = replace(
            rain.settings, blend="add" if rng.random() < 0.85 else "alpha", streak_grey=grey
        )
        cover = draw_lines(
            rain.geometry.height,
            rain.geometry.width,
            rng,
            roll_deg=settings.roll_deg,
            strength=log_uniform(rng, self.gain_low, self.gain_high),
        )
        return replace(
            rain,
            settings=settings,
            weather=replace(rain.weather, streak=np.full(3, grey)),
            drops=rain.drops.none(),
            cover=cover,
        )

    def _shares(self) -> tuple[float, ...]:
        return (
            self.natural,
            self.sparse,
            self.dense,
            self.soft,
            self.dashes,
            self.near,
            self.flecks,
        )


def _natural(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "rate_mm_h": log_uniform(rng, 2.0, 100.0),
        "streak_gain": 45.0,
        "exposure_s": log_uniform(rng, 1 / 250, 1 / 30),
        "gust_rad": float(rng.uniform(0.02, 0.1)),
        "psf_px": float(rng.uniform(0.4, 1.0)),
        "streak_grey": float(rng.uniform(160.0, 250.0)),
        **_wide_aperture(rng, 0.25),
    }


def _sparse(rng: np.random.Generator) -> dict[str, Any]:
    near = float(rng.uniform(0.4, 0.9))
    return {
        "rate_mm_h": log_uniform(rng, 25.0, 150.0),
        "streak_gain": 48.0,
        "exposure_s": log_uniform(rng, 1 / 60, 1 / 20),
        "near_m": near,
        "far_m": near * float(rng.uniform(1.7, 3.2)),
        "smallest_mm": float(rng.uniform(1.5, 2.3)),
        "wind_sd_m_s": 0.3,
        **_photoshop(rng),
    }


def _dense(rng: np.random.Generator) -> dict[str, Any]:
    near = float(rng.uniform(0.7, 1.2))
    return {
        "rate_mm_h": log_uniform(rng, 80.0, 200.0),
        "streak_gain": 66.0,
        "exposure_s": log_uniform(rng, 1 / 60, 1 / 20),
        "near_m": near,
        "far_m": near * float(rng.uniform(2.7, 4.0)),
        "smallest_mm": float(rng.uniform(1.5, 2.2)),
        "wind_sd_m_s": 0.5,
        **_photoshop(rng),
    }


def _soft(rng: np.random.Generator) -> dict[str, Any]:
    # Only large drops: many small ones would brighten the whole picture evenly, which no network
    # can tell from a bright scene.
    near = float(rng.uniform(0.6, 1.0))
    return {
        "rate_mm_h": log_uniform(rng, 60.0, 200.0),
        "streak_gain": 36.0,
        "exposure_s": log_uniform(rng, 1 / 200, 1 / 50),
        "near_m": near,
        "far_m": near * float(rng.uniform(3.0, 5.0)),
        "smallest_mm": float(rng.uniform(1.5, 2.2)),
        "gust_rad": float(rng.uniform(0.01, 0.08)),
        "psf_px": float(rng.uniform(0.5, 1.2)),
        "wind_sd_m_s": 0.5,
        "blend": "add" if rng.random() < 0.5 else "alpha",
        "streak_grey": float(rng.uniform(200.0, 255.0)),
        **_wide_aperture(rng, 0.2),
    }


def _dashes(rng: np.random.Generator) -> dict[str, Any]:
    near = float(rng.uniform(0.6, 1.6))
    return {
        "rate_mm_h": log_uniform(rng, 25.0, 160.0),
        "streak_gain": 40.0,
        "exposure_s": log_uniform(rng, 1 / 450, 1 / 120),
        "near_m": near,
        "far_m": near * float(rng.uniform(2.0, 4.0)),
        "smallest_mm": float(rng.uniform(1.4, 2.2)),
        "gust_rad": float(rng.uniform(0.02, 0.12)),
        "psf_px": log_uniform(rng, 0.7, 2.0),
        "wind_sd_m_s": 0.5,
        "blend": "add" if rng.random() < 0.3 else "alpha",
        "streak_grey": float(rng.uniform(180.0, 255.0)),
    }


def _near(rng: np.random.Generator) -> dict[str, Any]:
    near = float(rng.uniform(0.15, 0.35))
    return {
        "rate_mm_h": log_uniform(rng, 40.0, 250.0),
        "streak_gain": 40.0,
        "exposure_s": log_uniform(rng, 1 / 400, 1 / 50),
        "near_m": near,
        "far_m": near * float(rng.uniform(4.0, 12.0)),
        "smallest_mm": float(rng.uniform(1.2, 2.2)),
        "gust_rad": float(rng.uniform(0.02, 0.1)),
        "psf_px": float(rng.uniform(0.5, 1.0)),
        "wind_sd_m_s": 0.5,
        "blend": "add" if rng.random() < 0.2 else "alpha",
        "streak_grey": float(rng.uniform(170.0, 250.0)),
        "focal_mm": log_uniform(rng, 18.0, 50.0),
        "f_number": log_uniform(rng, 1.8, 8.0),
        "focus_m": float(rng.uniform(2.0, 10.0)),
    }


def _flecks(rng: np.random.Generator) -> dict[str, Any]:
    near = log_uniform(rng, 0.35, 1.4)
    return {
        "rate_mm_h": log_uniform(rng, 40.0, 250.0),
        # A drop that hardly moves covers its pixels for all of the exposure, so less gain than that
        # of streaks makes it opaque.
        "streak_gain": log_uniform(rng, 6.0, 40.0),
        "exposure_s": log_uniform(rng, 1 / 8000, 1 / 250),
        "near_m": near,
        "far_m": near * float(rng.uniform(2.5, 5.0)),
        "smallest_mm": float(rng.uniform(1.1, 2.2)),
        "gust_rad": log_uniform(rng, 0.04, 0.6),
        "psf_px": log_uniform(rng, 0.5, 1.5),
        "wind_m_s": float(rng.uniform(-4.0, 4.0)),
        "wind_sd_m_s": 0.5,
        "blend": "add" if rng.random() < 0.4 else "alpha",
        "streak_grey": float(rng.uniform(180.0, 255.0)),
        **_wide_aperture(rng, 0.2),
    }


def _within_bounds(changes: dict[str, Any]) -> dict[str, Any]:
    """Bring what was drawn within the bounds of settings, which products of factors may pass."""
    bounds = {item.name: item.metadata for item in fields(RainSettings)}
    return {
        name: min(max(value, bounds[name]["low"]), bounds[name]["high"])
        if isinstance(value, float) and "low" in bounds[name]
        else value
        for name, value in changes.items()
    }


def _brighten(changes: dict[str, Any], rng: np.random.Generator) -> None:
    """Make streaks opaque, and fewer and nearer, so that the scene is still to be seen."""
    changes["streak_gain"] *= log_uniform(rng, 2.0, 8.0)
    changes["rate_mm_h"] *= log_uniform(rng, 0.1, 0.6)
    closer, usual = float(rng.uniform(0.4, 1.0)), RainSettings()
    for name in ("near_m", "far_m"):
        changes[name] = closer * changes.get(name, getattr(usual, name))


def _blur(changes: dict[str, Any], blur_px: float) -> None:
    """Blur streaks, and brighten them in part, since wide ones would fade into the scene."""
    sharp = changes["psf_px"]
    changes["psf_px"] = math.hypot(sharp, blur_px)
    changes["streak_gain"] *= (changes["psf_px"] / sharp) ** 0.7


def _photoshop(rng: np.random.Generator) -> dict[str, Any]:
    """Return settings of white, crisp streaks of nearly one direction that add to the scene."""
    return {
        "gust_rad": float(rng.uniform(0.01, 0.14)),
        "psf_px": float(rng.uniform(0.35, 0.7)),
        "blend": "add" if rng.random() < 0.85 else "alpha",
        "streak_grey": float(rng.uniform(225.0, 255.0)),
    }


def _wide_aperture(rng: np.random.Generator, share: float) -> dict[str, Any]:
    """Return settings of defocused streaks with blurred edges in a share of the draws."""
    if rng.random() >= share:
        return {}
    return {"focal_mm": 35.0, "f_number": log_uniform(rng, 1.4, 4.0), "focus_m": 8.0}
