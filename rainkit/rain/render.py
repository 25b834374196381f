"""Rendering of rain over a clean picture, as a pure function of picture, settings and seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.errors import ImageError, UsageError
from rainkit.rain import composition, drops, physics, streaks, weather
from rainkit.rain.composition import compose
from rainkit.rain.drops import Drops
from rainkit.rain.settings import RainSettings
from rainkit.rain.weather import Weather

__all__ = [
    "RENDERER",
    "Layer",
    "Rendered",
    "SampledRain",
    "SceneGeometry",
    "clear_share",
    "layers",
    "paint",
    "render",
    "sample_rain",
    "scene_geometry",
]

RENDERER = "layered/2"
"""Name and version of this renderer. A new version makes other pixels of the same seed."""

Map = npt.NDArray[np.float32]

_TALLEST = 20
"""How many times as high as wide a picture is at most for the focal length to follow its width."""


@dataclass(frozen=True, eq=False)
class Rendered:
    """A rainy picture and the rain in it.

    Attributes:
        rainy: the rainy picture, uint8 [H, W, 3] RGB.
        clear: share of each pixel that the streaks leave uncovered, float32 [H, W] in [0, 1].
        transmission: share of the scene's light that crosses the veil, float32 [H, W] in [0, 1];
            None if there is no veil.
        record: every parameter that was drawn, as data for JSON.
    """

    rainy: npt.NDArray[np.uint8]
    clear: Map
    transmission: Map | None
    record: dict[str, Any]

    @property
    def opacity(self) -> Map:
        """Share of each pixel that the streaks cover, float32 [H, W] in [0, 1]."""
        return np.subtract(np.float32(1), self.clear)


@dataclass(frozen=True)
class SceneGeometry:
    """The size of a picture, the camera's focal length, and how far away the scene is.

    Attributes:
        height: height of the picture in px.
        width: width of the picture in px.
        frame_width: width in px of the camera's whole picture.
        focal_px: focal length in px.
        distance: distance of a flat scene along the line of sight in metres, or None.
        depth: depth map along the camera's axis in metres, float32 [H, W], or None.
    """

    height: int
    width: int
    frame_width: float
    focal_px: float
    distance: float | None
    depth: Map | None

    def ranges(self) -> Map | None:
        """Return the distances along the lines of sight in metres, [H, W], or None if unknown."""
        if self.depth is not None:
            return composition.to_range(self.depth, self.focal_px)
        if self.distance is not None:
            return np.full((self.height, self.width), self.distance, np.float32)
        return None


class Layer(NamedTuple):
    """A slab of rain that begins at ``near_m`` metres: the scene hides it where it is nearer.

    ``veil`` is the uniform optical thickness of its faint drops, and ``chosen`` the indices of the
    others.
    """

    near_m: float
    veil: float
    chosen: npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class SampledRain:
    """Rain that was sampled for one picture but not painted yet.

    It consists of numpy arrays, which can be sent between processes.

    Attributes:
        settings: the settings of the rain.
        weather: rate, wind and colours.
        drops: the streaks in view.
        geometry: size of the picture and distances of its scene.
        cover: share of each pixel that other streaks cover, uint8 [H, W] in steps of 1/255; None
            if there are no others.
    """

    settings: RainSettings
    weather: Weather
    drops: Drops
    geometry: SceneGeometry
    cover: npt.NDArray[np.uint8] | None = None


def render(
    clean: npt.NDArray[np.uint8],
    settings: RainSettings,
    seed: Sequence[int],
    *,
    distance: float | None = None,
    depth: Map | None = None,
    frame_width: float | None = None,
    airlight: Sequence[float] | None = None,
) -> Rendered:
    """Render rain over a picture.

    The result depends on the arguments alone, not on global state or the clock. If neither
    ``distance`` nor ``depth`` is given, the rain has streaks and no veil.

    Args:
        clean: the clean picture, uint8 [H, W, 3] RGB, at least 1 x 1 px.
        settings: the settings of the rain.
        seed: one or more whole numbers from 0 up, by convention dataset seed, scene and variant.
        distance: distance in metres along the line of sight to a flat scene.
        depth: depth map of the scene, float32 [H, W] in metres along the camera's axis, above 0.
            The veil thickens with the range that follows from it, and a surface hides slabs of
            rain that begin behind it.
        frame_width: width in px of the camera's whole picture if ``clean`` is a crop of it, so
            that streaks are as long, as wide and as dense as in the whole; the default is the
            width of ``clean``.
        airlight: RGB colour, 0 to 255, of the light scattered by rain; by default that of the
            settings, or else it is estimated from ``clean``.

    Raises:
        ImageError: ``clean`` or ``depth`` has a wrong type, shape or value.
        UsageError: The seed, frame width, distance or airlight is invalid.
    """
    rain = sample_rain(
        clean,
        settings,
        seed,
        distance=distance,
        depth=depth,
        frame_width=frame_width,
        airlight=airlight,
    )
    return paint(clean, rain, seed)


def sample_rain(
    clean: npt.NDArray[np.uint8],
    settings: RainSettings,
    seed: Sequence[int],
    *,
    distance: float | None = None,
    depth: Map | None = None,
    frame_width: float | None = None,
    airlight: Sequence[float] | None = None,
    streaks: bool = True,
) -> SampledRain:
    """Sample the rain that :func:`render` paints, without painting it.

    Arguments and exceptions are those of that function. Without ``streaks`` the rain has weather
    and colours alone, which are the same.
    """
    geometry = scene_geometry(
        clean, settings, distance=distance, depth=depth, frame_width=frame_width
    )
    rng = weather.generator(seed)
    drawn = weather.draw(clean, settings, rng, airlight=airlight)
    if not streaks:
        return SampledRain(settings, drawn, Drops.nowhere(len(settings.cuts_m)), geometry)
    sampled = drops.sample(
        settings,
        rng,
        drawn,
        width=geometry.width,
        height=geometry.height,
        focal_px=geometry.focal_px,
    )
    return SampledRain(settings, drawn, sampled, geometry)


def scene_geometry(
    clean: npt.NDArray[np.uint8],
    settings: RainSettings,
    *,
    distance: float | None = None,
    depth: Map | None = None,
    frame_width: float | None = None,
) -> SceneGeometry:
    """Check a picture and the distances of its scene, and return both; see :func:`render`.

    Raises:
        ImageError: ``clean`` or ``depth`` has a wrong type, shape or value.
        UsageError: The frame width or distance is invalid, or both distance and depth are given.
    """
    height, width = _checked_size(clean)
    if frame_width is None:
        frame_width = width
    if not (math.isfinite(frame_width) and frame_width >= 1):
        raise UsageError(f"rain: frame_width must be at least 1 px, not {frame_width}")
    if distance is not None:
        if depth is not None:
            raise UsageError("rain: give a distance or a depth map, not both")
        if not (hasattr(distance, "__float__") and distance >= 0):
            raise UsageError(
                f"rain: distance must be a number of metres from 0 up, not {distance!r}"
            )
    return SceneGeometry(
        height=height,
        width=width,
        frame_width=float(frame_width),
        # Of a strip that is hardly a picture, the width would mean millions of drops.
        focal_px=settings.focal_px(max(frame_width, height / _TALLEST)),
        distance=None if distance is None else float(distance),
        depth=None if depth is None else _checked_depth(depth, height, width),
    )


def paint(clean: npt.NDArray[np.uint8], rain: SampledRain, seed: Sequence[int]) -> Rendered:
    """Paint sampled rain over a picture; ``seed`` is only written into the record."""
    settings, drawn, sampled, geometry = rain.settings, rain.weather, rain.drops, rain.geometry
    clear = clear_share(sampled, settings.cuts_m, geometry)
    if rain.cover is not None:
        clear *= np.subtract(255, rain.cover, dtype=np.float32) / np.float32(255)
    ranges = geometry.ranges()
    through = None
    if ranges is not None:
        through = composition.transmission(ranges, drawn.rate_mm_h, settings.fog_gain)
    rainy = compose(
        clean,
        clear=clear,
        streak=drawn.streak,
        transmission=through,
        airlight=drawn.airlight,
        settings=settings,
    )
    beta = settings.fog_gain * physics.extinction(drawn.rate_mm_h)
    record = {
        "renderer": RENDERER,
        "rng": "PCG64",
        "seed": [int(part) for part in seed],
        "rate_mm_h": drawn.rate_mm_h,
        "wind_m_s": drawn.wind_m_s,
        "exposure_s": drawn.exposure_s,
        "airlight": [round(float(value), 3) for value in drawn.airlight],
        "streak_rgb": [round(float(value), 3) for value in drawn.streak],
        "beta_per_m": 0.0 if through is None else beta,
        "distance": "map" if geometry.depth is not None else geometry.distance,
        "frame_width": geometry.frame_width,
        "n_drops": sampled.n_drops,
        "n_kept": len(sampled),
        "coverage": round(1 - cv2.mean(clear)[0], 6),
        "settings": {**vars(settings), "cuts_m": list(settings.cuts_m)},
    }
    return Rendered(rainy=rainy, clear=clear, transmission=through, record=record)


def layers(sampled: Drops, cuts_m: tuple[float, ...], geometry: SceneGeometry) -> list[Layer]:
    """Return the rain in front of the scene: one layer, or one per slab if there is a depth map."""
    if geometry.depth is None:
        nearest = math.inf if geometry.distance is None else geometry.distance
        cuts = [cut for cut in cuts_m if cut < nearest]
        far = math.inf if len(cuts) == len(cuts_m) else cuts_m[len(cuts)]
        return [Layer(0.0, sum(sampled.veil[: len(cuts)]), sampled.slab(0.0, far))]
    # Slabs that begin nearer than the nearest surface are hidden nowhere and share one layer.
    bare = max(1, sum(cut < float(geometry.depth.min()) for cut in cuts_m))
    faint = (sum(sampled.veil[:bare]), *sampled.veil[bare:])
    bounds = itertools.pairwise((cuts_m[0], *cuts_m[bare:], math.inf))
    return [
        Layer(near, veiled, sampled.slab(near, far))
        for (near, far), veiled in zip(bounds, faint, strict=True)
    ]


def clear_share(sampled: Drops, cuts_m: tuple[float, ...], geometry: SceneGeometry) -> Map:
    """Return the share of each pixel that the streaks leave uncovered, float32 [H, W] in [0, 1]."""
    optical = _thickness(sampled, cuts_m, geometry)
    optical *= np.float32(-1 / streaks.THICKNESS_STEPS)
    # OpenCV's exponential, unlike numpy's, gives the same bits on every processor.
    return np.asarray(cv2.exp(optical), np.float32)


def _thickness(sampled: Drops, cuts_m: tuple[float, ...], geometry: SceneGeometry) -> Map:
    """Return the optical thickness of the streaks in view, in steps of 1/THICKNESS_STEPS."""
    planes: list[tuple[float, Map]] = []
    for layer in layers(sampled, cuts_m, geometry):
        plane = streaks.thickness(sampled, layer.chosen, geometry.width, geometry.height)
        if layer.veil:
            plane += np.float32(layer.veil * streaks.THICKNESS_STEPS)
        planes.append((layer.near_m, plane))
    # The first layer begins at 0, so that nothing hides it.
    total = np.ascontiguousarray(planes[0][1])
    if geometry.depth is not None:
        for near, plane in planes[1:]:
            visible = np.greater(geometry.depth, np.float32(near)).view(np.uint8)
            cv2.add(total, plane, dst=total, mask=visible)
    return total


def _checked_size(clean: npt.NDArray[np.uint8]) -> tuple[int, int]:
    if clean.dtype != np.uint8 or clean.ndim != 3 or clean.shape[2] != 3 or 0 in clean.shape:
        raise ImageError(
            "rain is rendered over uint8 RGB pictures of shape [height, width, 3], "
            f"not {clean.dtype} {list(clean.shape)}: convert it first"
        )
    return int(clean.shape[0]), int(clean.shape[1])


def _checked_depth(depth: Map, height: int, width: int) -> Map:
    if depth.shape != (height, width):
        raise ImageError(
            f"rain: the depth map is {list(depth.shape)}, but the picture is [{height}, {width}]"
        )
    where = np.ascontiguousarray(depth, np.float32)
    if not float(where.min()) > 0:  # NaN compares false
        raise ImageError("rain: depths must be metres above 0; fill in missing ones first")
    return where
