"""Rain over a clean picture: one pure function of the picture, the settings and the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.errors import ImageError, UsageError
from rainkit.rain import drops as drop_sampling
from rainkit.rain import physics, streaks, veil
from rainkit.rain.composition import compose
from rainkit.rain.settings import LEVELS, RainSettings

__all__ = ["RENDERER", "Rendered", "render"]

RENDERER = "layered/1"
"""Name and version of this renderer; a new version means new pixels for an old seed."""

_BRIGHTEST = 250.0  # of streaks estimated from the airlight: not quite white, as in photographs


@dataclass(frozen=True)
class Rendered:
    """A rainy picture and what made it.

    Attributes:
        rainy: uint8 [H, W, 3] RGB.
        opacity: float32 [H, W] in [0, 1], how much of each pixel the streaks cover.
        transmission: float32 [H, W] in [0, 1], how much of the scene shines through the veil;
            None without a veil.
        record: every drawn parameter, ready for JSON.
    """

    rainy: npt.NDArray[np.uint8]
    opacity: npt.NDArray[np.float32]
    transmission: npt.NDArray[np.float32] | None
    record: dict[str, Any]


def render(
    clean: npt.NDArray[np.uint8],
    settings: RainSettings,
    seed: Sequence[int],
    *,
    distance: npt.NDArray[np.float32] | float | None = None,
    frame_width: float | None = None,
    airlight: Sequence[float] | None = None,
) -> Rendered:
    """Render rain over ``clean`` (uint8 [H, W, 3] RGB, at least 1 x 1 px).

    The result depends on the arguments alone: no global state, no clock.

    Args:
        clean: uint8 [H, W, 3] RGB, at least 1 x 1 px.
        settings: what the rain is like.
        seed: one or more whole numbers from 0 up, by convention dataset seed, scene and variant.
        distance: how far away the scene is in metres along the line of sight: a map float32
            [H, W], or one number for a flat scene, or None for streaks without a veil. Streaks
            behind a surface are hidden by it.
        frame_width: width in px of the camera's whole picture when ``clean`` is a crop of it, so
            that streaks are as long, as wide and as dense as in the whole; default: that of
            ``clean``.
        airlight: RGB colour, 0 to 255, of the light scattered by rain; default: the settings', or
            estimated from ``clean``.

    Raises:
        ImageError: ``clean`` or ``distance`` has a wrong type, shape or value.
        UsageError: a bad seed, frame width or airlight.
    """
    height, width = _checked_size(clean)
    where = _checked_distance(distance, height, width)
    if frame_width is None:
        frame_width = width
    if not (math.isfinite(frame_width) and frame_width >= 1):
        raise UsageError(f"rain: frame_width must be at least 1 px, not {frame_width}")
    rng = _generator(seed)

    rate = _drawn_rate(settings, rng)
    wind = settings.wind_m_s + settings.wind_sd_m_s * float(rng.standard_normal())
    jitter = 1 + settings.airlight_jitter * float(rng.uniform(-1, 1))
    brightness = float(rng.uniform(settings.streak_low, settings.streak_high))
    if airlight is None and settings.airlight_grey is not None:
        airlight = (settings.airlight_grey,) * 3
    air = _airlight(clean, airlight, jitter)
    if settings.streak_grey is None:
        streak = np.minimum(air * brightness, _BRIGHTEST)
    else:
        streak = np.full(3, settings.streak_grey)

    sampled = drop_sampling.sample(
        settings,
        rng,
        rate_mm_h=rate,
        wind_m_s=wind,
        width=width,
        height=height,
        focal_px=settings.focal_px(frame_width),
    )
    opacity = _opacity(sampled, settings.cuts_m, where, width, height)
    through = None if where is None else veil.transmission(where, rate, settings.fog_gain)
    rainy = compose(
        clean,
        opacity=opacity,
        streak=streak,
        transmission=through,
        airlight=air,
        settings=settings,
    )
    record = {
        "renderer": RENDERER,
        "rng": "PCG64",
        "seed": [int(part) for part in seed],
        "rate_mm_h": rate,
        "wind_m_s": wind,
        "airlight": [round(float(value), 3) for value in air],
        "streak_rgb": [round(float(value), 3) for value in streak],
        "beta_per_m": settings.fog_gain * physics.extinction(rate) if where is not None else 0.0,
        "distance": _described(distance),
        "frame_width": float(frame_width),
        "n_drops": sampled.n_drops,
        "n_kept": len(sampled),
        "coverage": round(float(opacity.mean()), 6),
        "settings": {**asdict(settings), "cuts_m": list(settings.cuts_m)},
    }
    if through is not None:
        through = np.ascontiguousarray(np.broadcast_to(through, (height, width)))
    return Rendered(rainy=rainy, opacity=opacity, transmission=through, record=record)


def _opacity(
    drops: drop_sampling.Drops,
    cuts_m: tuple[float, ...],
    where: npt.NDArray[np.float32] | None,
    width: int,
    height: int,
) -> npt.NDArray[np.float32]:
    """How much of each pixel the streaks cover; slabs of rain behind the scene are hidden."""
    if where is None:
        depth = streaks.thickness(drops, drops.slab(0.0, math.inf), width, height)
        depth += np.float32(sum(drops.veil))
    else:
        depth = np.zeros((height, width), np.float32)
        for slab, (near, far) in enumerate(zip(cuts_m, (*cuts_m[1:], math.inf), strict=True)):
            visible = where > near
            if visible.any():
                layer = streaks.thickness(drops, drops.slab(near, far), width, height)
                layer += np.float32(drops.veil[slab])
                depth += layer * visible
    # OpenCV's exponential, unlike numpy's, gives the same bits on every processor.
    return np.float32(1) - np.asarray(cv2.exp(np.negative(depth)), np.float32)


def _drawn_rate(settings: RainSettings, rng: np.random.Generator) -> float:
    """Take the given rate, or draw one log-uniformly inside the level, mm/h."""
    share = float(rng.uniform())  # drawn either way: all other draws stay what they are
    if settings.level is None:
        assert settings.rate_mm_h is not None  # noqa: S101 - RainSettings checks it
        return float(settings.rate_mm_h)
    level = LEVELS[settings.level]
    return float(level.low * (level.high / level.low) ** share)


def _generator(seed: Sequence[int]) -> np.random.Generator:
    if isinstance(seed, int) or not seed or any(part < 0 for part in seed):
        raise UsageError(f"rain: a seed is one or more whole numbers from 0 up, not {seed!r}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(p) for p in seed])))


def _airlight(
    clean: npt.NDArray[np.uint8], given: Sequence[float] | None, jitter: float
) -> npt.NDArray[np.float64]:
    if given is None:
        return np.minimum(veil.estimate_airlight(clean) * jitter, 255.0)
    colour = np.asarray(given, np.float64)
    if colour.shape != (3,) or not np.all((colour >= 0) & (colour <= 255)):
        raise UsageError(f"rain: airlight is three values from 0 to 255, not {given!r}")
    return colour


def _checked_size(clean: npt.NDArray[np.uint8]) -> tuple[int, int]:
    if clean.dtype != np.uint8 or clean.ndim != 3 or clean.shape[2] != 3 or 0 in clean.shape:
        raise ImageError(
            "rain is rendered over uint8 RGB pictures of shape [height, width, 3], "
            f"not {clean.dtype} {list(clean.shape)}: convert it first"
        )
    return int(clean.shape[0]), int(clean.shape[1])


def _checked_distance(
    distance: npt.NDArray[np.float32] | float | None, height: int, width: int
) -> npt.NDArray[np.float32] | None:
    """Bring a distance to a map [H, W], or [1, 1] for a flat scene."""
    if distance is None:
        return None
    where = np.asarray(distance, np.float32)
    if where.ndim == 0:
        where = where.reshape(1, 1)
    elif where.shape != (height, width):
        raise ImageError(
            f"rain: the distance map is {list(where.shape)}, the picture [{height}, {width}]"
        )
    if not np.all(where >= 0):
        raise ImageError("rain: distances are metres from 0 up; fill in missing ones first")
    return where


def _described(distance: npt.NDArray[np.float32] | float | None) -> float | str | None:
    if distance is None or isinstance(distance, int | float):
        return distance
    return "map"
