"""Rain as a step of an albumentations pipeline.

This module imports albumentations, which takes long, and is therefore loaded on first use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from rainkit.errors import UsageError
from rainkit.rain.distribution import RainDistribution
from rainkit.rain.render import paint, sample_rain
from rainkit.rain.settings import PRESETS, RainSettings

# Without this, albumentations asks the internet for its newest version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
from albumentations import ImageOnlyTransform  # noqa: TID253 - a base class

__all__ = ["RainTransform"]


class RainTransform(ImageOnlyTransform):  # type: ignore[misc]
    """A transform that renders rain over uint8 RGB pictures.

    Masks, boxes and keypoints do not change. Seeds come from the pipeline's own generator, so that
    ``set_random_seed`` reproduces the rain.

    >>> pipeline = A.Compose([A.RandomCrop(256, 256), rainkit.RainTransform("rain100h")], seed=1)
    >>> rainy = pipeline(image=clean)["image"]

    Args:
        rain: name of a preset, settings, or a distribution from which settings are drawn for every
            picture; or the fields of settings or a distribution as a mapping, as in a serialised
            pipeline.
        distance: distance of a flat scene in metres, for a veil of rain; a distribution draws its
            own.
        depth: name of the pipeline's argument with a depth map, float32 [H, W] in metres along the
            optical axis. Declare it as a mask if the pipeline crops or turns pictures:
            ``Compose([..., RainTransform(depth="z")], additional_targets={"z": "mask"})``.
        frame_width: width in px of the camera's whole picture if the pipeline gets crops of it.
        p: probability of rain.

    Raises:
        UsageError: There is no such preset, settings are out of bounds, or arguments exclude each
            other. Calls raise the exceptions of :func:`rainkit.rain.render`.
    """

    def __init__(
        self,
        rain: str | RainSettings | RainDistribution | Mapping[str, Any] = "default",
        *,
        distance: float | None = None,
        depth: str | None = None,
        frame_width: float | None = None,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.rain = _from_fields(rain) if isinstance(rain, Mapping) else rain
        if isinstance(rain, str) and rain not in PRESETS:
            raise UsageError(f"rain: there is no preset {rain!r}; choose {', '.join(PRESETS)}")
        if isinstance(self.rain, RainDistribution) and distance is not None:
            raise UsageError("rain: a distribution draws its own distances; leave out distance")
        if depth is not None and distance is not None:
            raise UsageError("rain: give either distance or depth, not both")
        self.distance = distance
        self.depth = depth
        self.frame_width = frame_width

    @property
    def targets_as_params(self) -> list[str]:
        """The name of the depth map's argument, if there is one."""
        return [] if self.depth is None else [self.depth]

    def get_params(self) -> dict[str, Any]:
        """Draw the rain of this call."""
        distance = self.distance
        if isinstance(self.rain, RainDistribution):
            settings, distance = self.rain.draw(self.random_generator)
        else:
            settings = PRESETS[self.rain] if isinstance(self.rain, str) else self.rain
        seed = int(self.random_generator.integers(2**63))
        return {"settings": settings, "rain_seed": seed, "distance": distance}

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the depth map of this call."""
        if self.depth is None:
            return {}
        # The true scene replaces the flat one that a distribution draws.
        return {"distance": None, "depth_map": data[self.depth]}

    def apply(
        self,
        img: npt.NDArray[np.uint8],
        settings: RainSettings,
        rain_seed: int,
        distance: float | None,
        depth_map: npt.NDArray[np.float32] | None = None,
        **_: Any,
    ) -> npt.NDArray[np.uint8]:
        """Render the rain."""
        seed = (rain_seed,)
        rain = sample_rain(
            img,
            settings,
            seed,
            distance=distance,
            depth=depth_map,
            frame_width=self.frame_width,
        )
        if isinstance(self.rain, RainDistribution):
            rain = self.rain.vary(rain, img, seed)
        return paint(img, rain, seed).rainy

    def get_transform_init_args(self) -> dict[str, Any]:
        """Return the arguments as plain data, from which the same transform can be constructed."""
        rain = self.rain
        return {
            "rain": rain if isinstance(rain, str) else _plain(rain),
            "distance": self.distance,
            "depth": self.depth,
            "frame_width": self.frame_width,
        }


def _plain(rain: RainSettings | RainDistribution) -> dict[str, Any]:
    """Return the fields as data for JSON."""
    values = asdict(rain)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _from_fields(values: Mapping[str, Any]) -> RainSettings | RainDistribution:
    """Return settings or a distribution with the given fields, depending on their names."""
    plain: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    if plain.keys() <= RainDistribution.__dataclass_fields__.keys():
        return RainDistribution(**plain)
    return RainSettings().changed(plain)
