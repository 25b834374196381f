"""A bank of rain: streaks are drawn once on large tiles, and each picture gets a part of one.

This makes varied rain for many pictures at low cost: a part of a tile is taken, mirrored or not,
and its strength is varied. Rate, wind and exposure are those of the tile. A scene with depth does
not hide any of the streaks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.errors import UsageError
from rainkit.rain import drops, physics, weather
from rainkit.rain.composition import compose, darkened
from rainkit.rain.render import Rendered, clear_share, scene_geometry
from rainkit.rain.settings import RainSettings

__all__ = ["BANK", "Bank"]

BANK = "bank/1"
"""Name and version of this renderer. A new version makes other pixels of the same seed."""

_STRENGTH = 1.5  # greatest factor by which the optical thickness is raised or lowered
_LEVELS = np.arange(256) / 255

Bytes = npt.NDArray[np.uint8]


class _Tile(NamedTuple):
    """A tile: ``clear`` is the share that streaks leave uncovered, uint8 [side, side]."""

    clear: Bytes
    drawn: weather.Weather
    n_drops: int
    n_kept: int


class Bank:
    """Tiles of rain, which depend on the settings and the seed alone."""

    def __init__(
        self,
        settings: RainSettings,
        seed: Sequence[int],
        *,
        tiles: int = 4,
        side: int = 1536,
        frame_width: float = 512,
    ) -> None:
        """Draw the tiles.

        Args:
            settings: the settings of the rain.
            seed: seed of the tiles.
            tiles: number of tiles.
            side: side of a tile in px; pictures must not be larger.
            frame_width: width in px of the camera's picture, see :func:`rainkit.rain.render`.

        Raises:
            UsageError: A number is out of bounds.
        """
        if tiles < 1 or side < 1:
            raise UsageError(
                f"rain: a bank needs at least 1 tile of at least 1 px, not {tiles} of {side} px"
            )
        self.settings = settings
        self.side = side
        self.frame_width = float(frame_width)
        blank = np.zeros((side, side, 3), np.uint8)
        geometry = scene_geometry(blank, settings, frame_width=frame_width)
        self._tiles: list[_Tile] = []
        for number in range(tiles):
            rng = weather.generator((*seed, number))
            drawn = weather.draw(blank, settings, rng, airlight=(0, 0, 0))
            sampled = drops.sample(
                settings, rng, drawn, width=side, height=side, focal_px=geometry.focal_px
            )
            clear = clear_share(sampled, settings.cuts_m, geometry)
            stored = np.rint(clear * 255).astype(np.uint8)
            self._tiles.append(_Tile(stored, drawn, sampled.n_drops, len(sampled)))

    def render(
        self,
        clean: Bytes,
        seed: Sequence[int],
        *,
        distance: float | None = None,
        airlight: Sequence[float] | None = None,
    ) -> Rendered:
        """Render rain over a picture, uint8 [H, W, 3] RGB; see :func:`rainkit.rain.render`.

        Raises:
            ImageError: ``clean`` has a wrong type or shape.
            UsageError: ``clean`` is larger than a tile, or the seed, distance or airlight is
                invalid.
        """
        settings = self.settings
        geometry = scene_geometry(clean, settings, distance=distance, frame_width=self.frame_width)
        height, width = geometry.height, geometry.width
        if max(height, width) > self.side:
            raise UsageError(
                f"rain: a picture of {width}x{height} px needs a bank with a side of "
                f"{max(height, width)}, not {self.side}"
            )
        rng = weather.generator(seed)
        drawn = weather.draw(clean, settings, rng, airlight=airlight)
        number, top, left = rng.integers(
            [len(self._tiles), self.side - height + 1, self.side - width + 1]
        ).tolist()
        mirrored = bool(rng.integers(2))
        power = float(_STRENGTH ** rng.uniform(-1, 1))
        tile = self._tiles[number]
        part = tile.clear[top : top + height, left : left + width]
        # A share to the power p has p times the optical thickness.
        stronger = np.rint(255 * _LEVELS**power).astype(np.uint8)
        clear = np.asarray(cv2.LUT(part, stronger), np.uint8)
        if mirrored:
            clear = np.asarray(cv2.flip(clear, 1), np.uint8)
        beta = settings.fog_gain * physics.extinction(tile.drawn.rate_mm_h)
        through = 1.0 if distance is None else math.exp(-beta * distance)
        floats = np.multiply(clear, np.float32(1 / 255), dtype=np.float32)
        veil = None if distance is None else np.full((height, width), through, np.float32)
        if settings.light == "linear":
            rainy = compose(
                clean,
                clear=floats,
                streak=drawn.streak,
                transmission=veil,
                airlight=drawn.airlight,
                settings=settings,
            )
        else:
            rainy = self._blend(clean, clear, through, drawn)
        record = {
            "renderer": BANK,
            "rng": "PCG64",
            "seed": [int(part) for part in seed],
            "tile": number,
            "strength": power,
            "rate_mm_h": tile.drawn.rate_mm_h,
            "wind_m_s": tile.drawn.wind_m_s,
            "exposure_s": tile.drawn.exposure_s,
            "airlight": [round(float(value), 3) for value in drawn.airlight],
            "streak_rgb": [round(float(value), 3) for value in drawn.streak],
            "beta_per_m": 0.0 if distance is None else beta,
            "distance": distance,
            "frame_width": self.frame_width,
            "n_drops": tile.n_drops,
            "n_kept": tile.n_kept,
            "coverage": round(1 - cv2.mean(clear)[0] / 255, 6),
            "settings": {**vars(settings), "cuts_m": list(settings.cuts_m)},
        }
        return Rendered(rainy=rainy, clear=floats, transmission=veil, record=record)

    def _blend(self, clean: Bytes, clear: Bytes, through: float, drawn: weather.Weather) -> Bytes:
        """Blend in whole numbers: the light that is added is linear in the share left uncovered."""
        settings = self.settings
        adding = settings.blend == "add"
        scene = clean
        if settings.dim != 1 or settings.gamma != 1:
            tone = np.rint(darkened(settings)).astype(np.uint8)
            scene = np.asarray(cv2.LUT(clean, tone), np.uint8)
        if not adding:
            shares = cv2.merge([clear, clear, clear])
            scene = np.asarray(cv2.multiply(scene, shares, scale=through / 255), np.uint8)
        elif through != 1:
            scene = np.asarray(cv2.convertScaleAbs(scene, alpha=through), np.uint8)
        added = []
        for air, light in zip(drawn.airlight.tolist(), drawn.streak.tolist(), strict=True):
            veil = air * (1 - through)
            slope, least = (-light, light + veil) if adding else (veil - light, light)
            added.append(cv2.convertScaleAbs(clear, alpha=slope / 255, beta=least))
        return np.asarray(cv2.add(scene, cv2.merge(added)), np.uint8)
