"""Clean photographs, degraded while they are loaded."""

from __future__ import annotations

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
        photo = shrunk(photo, self._whole) if self._whole else _rescaled(photo, scale, self._patch)
        frame_width = max(photo.shape[:2])
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


def _rescaled(photo: Picture, scale: float, patch: int) -> Picture:
    scale = max(scale, min(1.0, patch / min(photo.shape[:2])))
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    if size == (photo.shape[1], photo.shape[0]):
        return photo
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(picture: Picture, rng: np.random.Generator, share: float) -> Picture:
    if rng.random() >= share:
        return picture
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], quality)
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR_RGB), np.uint8)
