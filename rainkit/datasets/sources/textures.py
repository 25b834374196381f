"""Streak textures: fields of streaks on black, parts of which fall as rain over training pictures.

A field gives the share of each pixel that its streaks cover. Blended with white, it adds to the
scene (linear) or covers it (screen), as the streaks that are rendered do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from rainkit import images
from rainkit.errors import ImageError, UsageError
from rainkit.images import LUMA_WEIGHTS
from rainkit.rain.render import SampledRain
from rainkit.rain.weather import log_uniform

__all__ = ["Textures"]

Plane = npt.NDArray[np.uint8]

_TEXTURES = 5  # extends a sample's seed, see rainkit.datasets.sources.augmentation
_KEPT_BYTES = 1 << 28  # memory of the fields that each loading process keeps
_DARK = 32  # levels; the median of a field is darker, because most of it is black
_LAYERS = (0.6, 0.3, 0.1)  # how likely one, two and three fields are
_TURN_DEG = 10.0  # greatest turn, since rain falls
_SCALES = (0.7, 1.8)
_GAINS = (0.25, 2.2)
_GREYS = (170.0, 255.0)
_DEFOCUSED = 0.25  # share of fields that are blurred
_BLURS = (0.5, 2.0)  # px


class Textures:
    """Fields of streaks on a black background, and the share of samples that they fall on.

    Args:
        inputs: files, folders or globs of fields.
        share: share of samples with rain that get fields.
        mixed: share of these that keep the streaks that were rendered for them.

    Raises:
        UsageError: an input does not exist or contains no picture.
    """

    def __init__(self, inputs: Sequence[str], *, share: float, mixed: float) -> None:
        try:
            self._paths = [found.path for found in images.find(inputs)]
        except UsageError as error:
            raise UsageError(f"data.streaks: {error}") from error
        self._share, self._mixed = share, mixed
        self._fields: dict[int, Plane] = {}
        self._free = _KEPT_BYTES

    def __len__(self) -> int:
        return len(self._paths)

    def fall_alone(self, seed: int) -> bool:
        """Return whether :meth:`fall` puts fields in the place of the streaks of a sample's rain.

        Sampling these is a waste of time then.
        """
        rng = np.random.default_rng([seed, _TEXTURES])
        return bool(rng.random() < self._share and rng.random() >= self._mixed)

    def fall(self, rain: SampledRain, seed: int) -> SampledRain:
        """Let fields fall in a share of samples, beside the streaks of ``rain`` or in their place.

        Fields are cropped, flipped, scaled, turned by a few degrees and at times blurred. Tone and
        veil stay those of ``rain``; without its streaks, colour and blend are
        drawn anew. The result depends on the arguments alone.

        Raises:
            ImageError: a field cannot be read or is not dark.
        """
        rng = np.random.default_rng([seed, _TEXTURES])
        if rng.random() >= self._share:
            return rain
        alone = rng.random() >= self._mixed
        blend = "add" if rng.random() < 0.5 else "alpha"
        grey = float(rng.uniform(*_GREYS))
        height, width = rain.geometry.height, rain.geometry.width
        if rain.cover is None or alone:
            clear = np.full((height, width), 255, np.uint8)
        else:
            clear = np.asarray(cv2.bitwise_not(rain.cover), np.uint8)
        for _ in range(1 + int(rng.choice(len(_LAYERS), p=_LAYERS))):
            uncovered = cv2.bitwise_not(self._layer(height, width, rng))
            clear = np.asarray(cv2.multiply(clear, uncovered, scale=1 / 255), np.uint8)
        cover = np.asarray(cv2.bitwise_not(clear), np.uint8)
        if not alone:
            return replace(rain, cover=cover)
        return replace(
            rain,
            settings=replace(rain.settings, blend=blend, streak_grey=grey),
            weather=replace(rain.weather, streak=np.full(3, grey)),
            drops=rain.drops.none(),
            cover=cover,
        )

    def _layer(self, height: int, width: int, rng: np.random.Generator) -> Plane:
        """Return a part of a random field, uint8 [height, width]."""
        field = self._read(int(rng.integers(len(self._paths))))
        scale = log_uniform(rng, *_SCALES)
        turn = math.radians(rng.uniform(-_TURN_DEG, _TURN_DEG))
        right, down = rng.choice((1.0, -1.0), 2)
        gain = log_uniform(rng, *_GAINS)
        blur = log_uniform(rng, *_BLURS) if rng.random() < _DEFOCUSED else 0.0
        # From the place in the crop to that in the field: both are turned about their middles.
        cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
        matrix = np.array([[right * cos, -right * sin], [down * sin, down * cos]])
        reach = np.abs(matrix) @ (width / 2, height / 2)
        middle = [
            float(rng.uniform(min(half, side / 2), max(side - half, side / 2)))
            for half, side in zip(reach, field.shape[::-1], strict=True)
        ]
        offset = middle - matrix @ (width / 2, height / 2)
        part = cv2.warpAffine(
            field,
            np.column_stack([matrix, offset]),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
        if blur:
            part = cv2.GaussianBlur(part, (0, 0), blur)
        return np.asarray(cv2.convertScaleAbs(part, alpha=gain), np.uint8)

    def _read(self, item: int) -> Plane:
        """Return the luma of a field, and keep it if there is room."""
        if item in self._fields:
            return self._fields[item]
        path = self._paths[item]
        field = np.asarray(
            cv2.transform(images.to_uint8(images.read(path).rgb), LUMA_WEIGHTS), np.uint8
        )
        if np.median(field) > _DARK:
            raise ImageError(
                f"{path}: is not a field of streaks on black; name a folder of such fields in "
                "data.streaks"
            )
        if field.nbytes <= self._free:
            self._fields[item] = field
            self._free -= field.nbytes
        return field
