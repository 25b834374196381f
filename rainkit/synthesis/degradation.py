"""Degradations of a clean picture: rain or noise, from a request or from records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from rainkit.datasets.manifest import Record
from rainkit.errors import DatasetError, RainkitError
from rainkit.rain import RainSettings, Rendered, render
from rainkit.rain.motion import render_sequence
from rainkit.rain.noise import add_noise

__all__ = ["NOISE", "Degradation"]

NOISE = "noise/1"
"""Name and version of the noise; a new version gives other pixels for the same seed."""

_MOST_FOG = 50.0  # upper bound of the setting fog_gain


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One rain, or noise, on one scene: a pure function of the clean picture and the depth.

    Attributes:
        seed: the dataset's seed, the key of the scene and the number of the variant.
        settings: settings of the rain; None for noise.
        sigma: standard deviation of the noise in grey levels; None for rain.
        distance: distance of a flat scene in metres, or None.
        frames: number of frames of a sequence; None for a single picture.
        fps: frames a second of moving rain; None for independent frames.
    """

    seed: tuple[int, ...]
    settings: RainSettings | None = None
    sigma: float | None = None
    distance: float | None = None
    frames: int | None = None
    fps: float | None = None

    @classmethod
    def of(cls, records: Sequence[Record]) -> Degradation:
        """Return what made the pictures of one scene and variant.

        Raises:
            DatasetError: The records contradict each other or lack something.
        """
        first = records[0]
        if any(r.seed != first.seed or r.settings != first.settings for r in records):
            raise DatasetError("its frames differ in seed or settings")
        if isinstance(first.distance, str) and first.depth is None:
            raise DatasetError("it was made with a depth map that the manifest does not name")
        rain = first.degradation == "rain"
        if not rain and first.sigma is None:
            raise DatasetError("its record says noise, but not how strong")
        frames = [record.frame for record in records if record.frame is not None]
        return cls(
            seed=first.seed,
            settings=_settings(first.settings) if rain else None,
            sigma=None if rain else first.sigma,
            distance=first.distance if isinstance(first.distance, float) else None,
            frames=max(frames) if frames else None,
            fps=first.fps,
        )

    def behind(self, fog_scale: float) -> Degradation:
        """Return the same with fog scaled for depth that is guessed."""
        if self.settings is None or fog_scale == 1:
            return self
        fog = min(self.settings.fog_gain * fog_scale, _MOST_FOG)
        return replace(self, settings=replace(self.settings, fog_gain=fog))

    def apply(
        self, clean: npt.NDArray[np.uint8], depth: npt.NDArray[np.float32] | None
    ) -> Iterator[Rendered]:
        """Yield the picture, or each frame of the sequence.

        Args:
            clean: uint8 [H, W, 3] RGB.
            depth: metres along the optical axis, float32 [H, W], or None.
        """
        if self.settings is None:
            yield _noisy(clean, self.sigma or 0.0, self.seed)
        elif self.frames is None:
            yield render(clean, self.settings, self.seed, distance=self.distance, depth=depth)
        else:
            yield from render_sequence(
                clean,
                self.settings,
                self.seed,
                self.frames,
                fps=self.fps,
                distance=self.distance,
                depth=depth,
            )


@cache
def _adapter() -> TypeAdapter[RainSettings]:
    return TypeAdapter(RainSettings)


def _settings(values: Mapping[str, Any]) -> RainSettings:
    unknown = values.keys() - RainSettings.__dataclass_fields__.keys()
    if unknown:
        raise DatasetError(f"settings: {', '.join(sorted(unknown))}: unknown to this rainkit")
    try:
        return _adapter().validate_python(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DatasetError(f"settings: {where}: {first['msg']}") from error
    except RainkitError as error:
        raise DatasetError(f"settings: {error}") from error


def _noisy(clean: npt.NDArray[np.uint8], sigma: float, seed: tuple[int, ...]) -> Rendered:
    clear = np.ones(clean.shape[:2], np.float32)
    record = {
        "renderer": NOISE,
        "rng": "PCG64",
        "rate_mm_h": 0.0,
        "wind_m_s": 0.0,
        "airlight": (0.0, 0.0, 0.0),
        "streak_rgb": (0.0, 0.0, 0.0),
        "beta_per_m": 0.0,
        "distance": None,
        "frame_width": float(clean.shape[1]),
        "n_drops": 0,
        "n_kept": 0,
    }
    return Rendered(
        rainy=add_noise(clean, sigma, seed), clear=clear, transmission=None, record=record
    )
