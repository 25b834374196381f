"""Clean photographs, degraded while they are loaded."""

from __future__ import annotations

import math

import cv2
import numpy as np

from rainkit import images
from rainkit.datasets.augmentation import shrunk
from rainkit.datasets.sources.base import Common, Picture, Source, draw_seed
from rainkit.rain import render
from rainkit.rain.batched import Shower, draw
from rainkit.rain.noise import add_noise

__all__ = ["Photos"]


class Photos(Source):
    """Clean photographs with fresh rain or noise: no picture is ever seen twice alike."""

    def __init__(self, common: Common) -> None:
        self.name = f"{common.request.degradation} on the fly"
        self._paths = [found.path for found in images.find(common.request.clean)]
        self._request = common.request
        self._patch, self._whole = common.training.patch, common.training.whole
        self._augment = common.augmentation()
        self._cache = common.cache

    def __len__(self) -> int:
        return len(self._paths)

    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture | Shower, Picture]:
        """Crop, turn and recolour, then rain, compressed at times, or noise."""
        request = self._request
        photo = self._cache.read(self._paths[item])
        scale = rng.uniform(request.shrink, 1.0)
        if self._whole:
            photo = shrunk(photo, self._whole)
            frame_width = max(photo.shape[:2])
        else:
            photo, frame_width = _rescaled(photo, scale, self._patch, rng)
        clean, _ = self._augment(photo, photo, draw_seed(rng))
        untouched = rng.random() < request.rain_free
        if request.degradation == "noise":
            sigma = 0.0 if untouched else request.noise.draw(rng)
            return add_noise(clean, sigma, (draw_seed(rng),)), clean
        if untouched:
            return _jpeg(clean, rng, request.jpeg), clean
        settings, distance = request.rain.draw(rng)
        seed = (draw_seed(rng),)
        if request.rain_on == "device":
            return draw(clean, settings, seed, distance=distance, frame_width=frame_width), clean
        rained = render(clean, settings, seed, distance=distance, frame_width=frame_width)
        return _jpeg(rained.rainy, rng, request.jpeg), clean


def _rescaled(
    photo: Picture, scale: float, patch: int, rng: np.random.Generator
) -> tuple[Picture, int]:
    """A piece of a photo that was made smaller, ``patch`` x ``patch``, and the photo's width then.

    Only the piece is resized, which is most of a large photo's cost. A photo that keeps its size is
    given back whole.
    """
    height, width = photo.shape[:2]
    scale = max(scale, min(1.0, patch / min(height, width)))
    size = (round(width * scale), round(height * scale))
    if size == (width, height):
        return photo, max(size)
    side = min(math.ceil(patch / scale), height, width)
    top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
    piece = photo[top : top + side, left : left + side]
    small = cv2.resize(piece, (patch, patch), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), max(size)


def _jpeg(picture: Picture, rng: np.random.Generator, share: float) -> Picture:
    if rng.random() >= share:
        return picture
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], quality)
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR_RGB), np.uint8)
