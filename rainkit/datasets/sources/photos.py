"""Clean photographs, degraded while they are loaded."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from rainkit import images
from rainkit.datasets.sources.base import Source, SourceContext, draw_seed
from rainkit.datasets.sources.scaling import Enlargement, shrunk_pieces
from rainkit.images import RGB8
from rainkit.rain import render
from rainkit.rain.noise import add_noise
from rainkit.rain.render import SampledRain, sample_rain

__all__ = ["Photos"]


class Photos(Source):
    """Clean photographs with new rain or noise in every sample.

    Args:
        inputs: files, folders or globs.
        context: what the sources of the run share.
        label: text before the source's name, if there are several sources of photographs.
    """

    def __init__(self, inputs: Sequence[str], context: SourceContext, *, label: str = "") -> None:
        self.name = f"{label}, " * bool(label) + f"{context.request.degradation} on the fly"
        self._paths = [found.path for found in images.find(inputs)]
        self._request = context.request
        self._patch, self._whole = context.training.patch, context.training.whole
        self._augment = context.augmentation()
        self._cache = context.cache

    def __len__(self) -> int:
        return len(self._paths)

    def draw(self, item: int, rng: np.random.Generator) -> tuple[RGB8 | SampledRain, RGB8]:
        """Crop, turn and recolour a photograph; then add noise, or rain, enlargement and JPEG."""
        request = self._request
        photo = self._cache.read(self._paths[item])
        scale = rng.uniform(request.shrink, 1.0)
        if self._whole:
            photo = images.shrink(photo, self._whole)
            frame_width = max(photo.shape[:2])
        else:
            (photo,), frame_width = shrunk_pieces(photo, scale=scale, patch=self._patch, rng=rng)
        chosen = draw_seed(rng)
        clean, _ = self._augment(photo, photo, chosen)
        untouched = rng.random() < request.rain_free
        if request.degradation == "noise":
            sigma = 0.0 if untouched else request.noise.draw(rng)
            return add_noise(clean, sigma, (draw_seed(rng),)), clean
        larger = Enlargement.draw(request.enlarge, self._patch, chosen)
        if larger is not None:
            clean = larger.cut(clean)
        rainy = clean
        if not untouched:
            settings, distance = request.rain.draw(rng)
            seed = (draw_seed(rng),)
            if request.rain_on == "device":
                sampled = sample_rain(
                    clean, settings, seed, distance=distance, frame_width=frame_width
                )
                return sampled, clean
            rainy = render(clean, settings, seed, distance=distance, frame_width=frame_width).rainy
        if larger is not None:
            rainy, clean = larger.apply(rainy), larger.apply(clean)
        return _jpeg(rainy, rng, request.jpeg), clean


def _jpeg(picture: RGB8, rng: np.random.Generator, share: float) -> RGB8:
    if rng.random() >= share:
        return picture
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], quality)
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR_RGB), np.uint8)
