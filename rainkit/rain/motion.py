"""Rain over a static scene in time: the frames of a time lapse or of moving rain."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from rainkit.errors import UsageError
from rainkit.rain import drops, physics, weather
from rainkit.rain.render import Rendered, SampledRain, SceneGeometry, paint, scene_geometry
from rainkit.rain.settings import LEVELS, RainSettings
from rainkit.rain.weather import Weather

__all__ = ["MEMORY", "render_sequence"]

MEMORY = 0.9
"""Correlation of the weather with the weather one frame earlier (in a time lapse) or one second
earlier (in moving rain, whose drops must not come and go from frame to frame)."""

_CLIMATE, _COURSE, _TIME_LAPSE, _MOVING = range(1, 5)
"""Last parts of seeds. Each use has its own, and thereby a random stream of its own."""

_STRONGEST_WIND = 4.0  # standard deviations for which the margin of moving rain is wide enough


def render_sequence(
    clean: npt.NDArray[np.uint8],
    settings: RainSettings,
    seed: Sequence[int],
    frames: int,
    *,
    fps: float | None = None,
    distance: float | None = None,
    depth: npt.NDArray[np.float32] | None = None,
) -> Iterator[Rendered]:
    """Yield the frames of a static scene in rain, one after another.

    All frames share exposure, airlight and the colour of streaks. The wind varies about its mean,
    and the rate inside its level, by first-order autoregression, so that each has the same
    distribution in every frame as in a single picture. A rate that is given does not vary. A frame
    depends on the arguments and its number, but not on the number of frames.

    Args:
        clean: the clean picture, uint8 [H, W, 3] RGB.
        settings: the settings of the rain.
        seed: seed of the scene, as in :func:`rainkit.rain.render`.
        frames: number of frames.
        fps: frames per second of moving rain, whose drops fall through the view from frame to
            frame; None for a time lapse, in which every frame has drops of its own.
        distance: distance of a flat scene in metres, as in :func:`rainkit.rain.render`.
        depth: depth along the camera's axis in metres, as in :func:`rainkit.rain.render`.

    Raises:
        ImageError: The picture or the depth map is invalid.
        UsageError: The seed, the distance or the number of frames is invalid, or a frame is
            shorter than the exposure.
    """
    if frames < 1:
        raise UsageError(f"rain: a sequence must have at least 1 frame, not {frames}")
    geometry = scene_geometry(clean, settings, distance=distance, depth=depth)
    climate = weather.draw(clean, settings, weather.generator([*seed, _CLIMATE]))
    if fps is None:
        course = _weather_course(climate, settings, seed, MEMORY)
        rain = _time_lapse(settings, seed, geometry, course)
    else:
        if not 0 < fps * climate.exposure_s <= 1 + 1e-9:  # NaN is refused too
            raise UsageError(
                f"rain: {fps:g} frames a second leave no time for an exposure of "
                f"{climate.exposure_s:.3g} s; take up to {1 / climate.exposure_s:.4g}"
            )
        course = _weather_course(climate, settings, seed, MEMORY ** (1 / fps))
        rain = _moving_rain(settings, seed, geometry, course, 1 / fps)
    for drawn, sampled in islice(rain, frames):
        yield paint(clean, SampledRain(settings, drawn, sampled, geometry), seed)


def _weather_course(
    climate: Weather, settings: RainSettings, seed: Sequence[int], memory: float
) -> Iterator[Weather]:
    """Yield the weather of each frame."""
    rng = weather.generator([*seed, _COURSE])
    strength, gust = rng.standard_normal(2).tolist()
    while True:
        rate = climate.rate_mm_h
        if settings.level is not None:
            # The cumulative distribution of a normal variable is uniform, as a drawn rate is.
            low, high, _ = LEVELS[settings.level]
            rate = low * (high / low) ** (math.erfc(-strength / math.sqrt(2)) / 2)
        wind = settings.wind_m_s + settings.wind_sd_m_s * gust
        yield replace(climate, rate_mm_h=rate, wind_m_s=wind)
        strength, gust = (
            memory * value + math.sqrt(1 - memory**2) * fresh
            for value, fresh in zip((strength, gust), rng.standard_normal(2).tolist(), strict=True)
        )


def _time_lapse(
    settings: RainSettings, seed: Sequence[int], geometry: SceneGeometry, course: Iterator[Weather]
) -> Iterator[tuple[Weather, drops.Drops]]:
    """Yield the weather and the drops of each frame of a time lapse."""
    size = {"width": geometry.width, "height": geometry.height}
    for number, drawn in enumerate(course):
        rng = weather.generator([*seed, _TIME_LAPSE, number])
        yield drawn, drops.sample(settings, rng, drawn, focal_px=geometry.focal_px, **size)


def _moving_rain(
    settings: RainSettings,
    seed: Sequence[int],
    geometry: SceneGeometry,
    course: Iterator[Weather],
    seconds: float,
) -> Iterator[tuple[Weather, drops.Drops]]:
    """Yield the weather and the drops of each frame of moving rain.

    Each shell of drops is a box that is wider than the view by more than any streak. Drops leave
    it unseen on one side and enter it on the other; those that enter from above do so at a new
    place. The box holds the rain of the level's highest rate. At a lower rate some of its drops
    are shown, fewer of the larger ones, so that sizes follow the Marshall-Palmer law.
    """
    rng = weather.generator([*seed, _MOVING])
    drawn = next(course)
    most = drawn.rate_mm_h if settings.level is None else LEVELS[settings.level].high
    strongest = abs(settings.wind_m_s) + _STRONGEST_WIND * settings.wind_sd_m_s
    fullest = replace(drawn, rate_mm_h=most, wind_m_s=strongest)
    held = drops.populate(
        settings,
        rng,
        fullest,
        width=geometry.width,
        height=geometry.height,
        focal_px=geometry.focal_px,
    )
    marks = rng.random(len(held.z))
    speed = physics.terminal_speed(held.diameter)
    while True:
        steeper = physics.size_slope(drawn.rate_mm_h) - physics.size_slope(most)
        shown = _chosen(held, marks < np.exp(-steeper * held.diameter))
        yield drawn, drops.expose(settings, drawn, shown, focal_px=geometry.focal_px)
        angle = held.lean + np.arctan2(drawn.wind_m_s, speed) + math.radians(settings.roll_deg)
        path = np.hypot(speed, drawn.wind_m_s) * (seconds * geometry.focal_px) / held.z
        x, y = held.x + path * np.sin(angle), held.y + path * np.cos(angle)
        held = _recycle(replace(held, x=x, y=y), rng)
        drawn = next(course)


def _recycle(held: drops.Population, rng: np.random.Generator) -> drops.Population:
    """Bring drops that have left their shell's box back to its other side."""
    x, y = held.x.copy(), held.y.copy()
    for first, last, margin_x, margin_y in held.shells:
        own = slice(first, last)
        wide, high = held.width + 2 * margin_x, held.height + 2 * margin_y
        across, down = x[own] + margin_x, y[own] + margin_y
        gone = (down < 0) | (down >= high)
        # They enter at another place than they left, or near drops would fall along the same
        # lines again and again.
        across[gone] += wide * rng.random(int(gone.sum()))
        x[own], y[own] = across % wide - margin_x, down % high - margin_y
    # Processors disagree about the last bits of a sine; rounding to 1/1024 px hides them.
    return replace(held, x=np.rint(x * 1024) / 1024, y=np.rint(y * 1024) / 1024)


def _chosen(held: drops.Population, chosen: npt.NDArray[np.bool_]) -> drops.Population:
    """Return the chosen drops of a population, without its shells."""
    names = ("x", "y", "z", "diameter", "lean")
    return replace(held, shells=(), **{name: getattr(held, name)[chosen] for name in names})
