"""Rain on a static scene over time: frames that share a climate, apart or in motion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from rainkit.errors import UsageError
from rainkit.rain import drops, physics, weather
from rainkit.rain.render import Rendered, Surroundings, paint, surroundings
from rainkit.rain.settings import LEVELS, RainSettings
from rainkit.rain.weather import Weather

__all__ = ["MEMORY", "render_sequence"]

MEMORY = 0.9
"""Correlation of the weather in a frame with that in the one before, in a time lapse, or with that
a second earlier, in moving rain: its drops must not come and go from frame to frame."""

_CLIMATE, _WANDERING, _APART, _FLOW = range(1, 5)
"""Last parts of the seeds of what is drawn: each has a stream of its own."""

_GALE = 4.0  # standard deviations of wind that the margin of moving rain is made for


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

    Exposure, airlight and the colour of streaks are the scene's. Wind wanders about its mean, and
    so does the rate inside its level, by first-order autoregression: each has, in every frame, the
    distribution that it has in a single picture. A rate that is given stays as it is. A frame is a
    function of the arguments and its number; how many follow does not change it.

    Args:
        clean: uint8 [H, W, 3] RGB.
        settings: what the rain is like.
        seed: of the scene, as in :func:`rainkit.rain.render`.
        frames: how many to make.
        fps: frames a second of one body of rain that falls through the view; None for a time
            lapse, in which every frame has drops of its own.
        distance: metres to a flat scene, as in :func:`rainkit.rain.render`.
        depth: metres along the camera's axis, as in :func:`rainkit.rain.render`.

    Raises:
        ImageError: a bad picture or depth.
        UsageError: a bad seed, distance or number of frames, or frames shorter than the exposure.
    """
    if frames < 1:
        raise UsageError(f"rain: a sequence has at least 1 frame, not {frames}")
    around = surroundings(clean, settings, distance=distance, depth=depth)
    climate = weather.draw(clean, settings, weather.generator([*seed, _CLIMATE]))
    if fps is None:
        course = _wander(climate, settings, seed, MEMORY)
        rain = _fall_apart(settings, seed, around, course)
    else:
        if not 0 < fps * climate.exposure_s <= 1 + 1e-9:  # NaN is refused too
            raise UsageError(
                f"rain: {fps:g} frames a second leave no time for an exposure of "
                f"{climate.exposure_s:.3g} s; take up to {1 / climate.exposure_s:.4g}"
            )
        course = _wander(climate, settings, seed, MEMORY ** (1 / fps))
        rain = _fall_on(settings, seed, around, course, 1 / fps)
    for drawn, sampled in islice(rain, frames):
        yield paint(clean, settings, drawn, sampled, around, seed)


def _wander(
    climate: Weather, settings: RainSettings, seed: Sequence[int], memory: float
) -> Iterator[Weather]:
    """Yield the weather of each frame."""
    rng = weather.generator([*seed, _WANDERING])
    strength, gust = rng.standard_normal(2).tolist()
    while True:
        rate = climate.rate_mm_h
        if settings.level is not None:
            # The share of a normal variable's values below it is uniform, as a drawn rate's is.
            low, high, _ = LEVELS[settings.level]
            rate = low * (high / low) ** (math.erfc(-strength / math.sqrt(2)) / 2)
        wind = settings.wind_m_s + settings.wind_sd_m_s * gust
        yield replace(climate, rate_mm_h=rate, wind_m_s=wind)
        strength, gust = (
            memory * value + math.sqrt(1 - memory**2) * fresh
            for value, fresh in zip((strength, gust), rng.standard_normal(2).tolist(), strict=True)
        )


def _fall_apart(
    settings: RainSettings, seed: Sequence[int], around: Surroundings, course: Iterator[Weather]
) -> Iterator[tuple[Weather, drops.Drops]]:
    """Yield the weather and the drops of each frame of a time lapse."""
    size = {"width": around.width, "height": around.height}
    for number, drawn in enumerate(course):
        rng = weather.generator([*seed, _APART, number])
        yield drawn, drops.sample(settings, rng, drawn, focal_px=around.focal_px, **size)


def _fall_on(
    settings: RainSettings,
    seed: Sequence[int],
    around: Surroundings,
    course: Iterator[Weather],
    seconds: float,
) -> Iterator[tuple[Weather, drops.Drops]]:
    """Yield the weather and the drops of each frame of moving rain.

    Each shell of drops is a box, wider than the view by more than any streak, that drops leave
    unseen on one side and enter on the other, from above at a new place. It holds the rain of the
    level's greatest rate. A lesser rate shows some of its drops, the fewer the larger they are, so
    that what is seen is distributed as Marshall and Palmer say.
    """
    rng = weather.generator([*seed, _FLOW])
    drawn = next(course)
    most = drawn.rate_mm_h if settings.level is None else LEVELS[settings.level].high
    strongest = abs(settings.wind_m_s) + _GALE * settings.wind_sd_m_s
    fullest = replace(drawn, rate_mm_h=most, wind_m_s=strongest)
    held = drops.populate(
        settings,
        rng,
        fullest,
        width=around.width,
        height=around.height,
        focal_px=around.focal_px,
    )
    marks = rng.random(len(held.z))
    speed = physics.terminal_speed(held.diameter)
    while True:
        steeper = physics.size_slope(drawn.rate_mm_h) - physics.size_slope(most)
        shown = _part(held, marks < np.exp(-steeper * held.diameter))
        yield drawn, drops.expose(settings, drawn, shown, focal_px=around.focal_px)
        angle = held.lean + np.arctan2(drawn.wind_m_s, speed) + math.radians(settings.roll_deg)
        path = np.hypot(speed, drawn.wind_m_s) * (seconds * around.focal_px) / held.z
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
        # Not where they left, or near drops would fall along the same lines again and again.
        across[gone] += wide * rng.random(int(gone.sum()))
        x[own], y[own] = across % wide - margin_x, down % high - margin_y
    # To parts of a px that nobody sees: processors do not agree about the last bits of a sine.
    return replace(held, x=np.rint(x * 1024) / 1024, y=np.rint(y * 1024) / 1024)


def _part(held: drops.Population, chosen: npt.NDArray[np.bool_]) -> drops.Population:
    names = ("x", "y", "z", "diameter", "lean")
    return replace(held, shells=(), **{name: getattr(held, name)[chosen] for name in names})
