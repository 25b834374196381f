"""Training pictures from disk: clean photographs, pairs, and frames of static scenes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.datasets.pairing import check_sizes, notice_of_crops
from rainkit.datasets.pairs import PairFiles, find_pairs
from rainkit.datasets.sampling_spec import SampledFolder, choose
from rainkit.datasets.sequences import FrameScene, LeaveOneOutAverage, find_scenes, pair_of_frames
from rainkit.datasets.sources.augmentation import (
    Enlargement,
    SensorNoise,
    Sharpening,
    shrunk_pieces,
)
from rainkit.datasets.sources.base import Source, SourceContext, draw_seed, refuse_sizes
from rainkit.datasets.sources.scene_lines import SceneLines
from rainkit.datasets.sources.tone import apply_curve, tone_curve
from rainkit.errors import DatasetError, ImageError
from rainkit.images import RGB8
from rainkit.rain.noise import add_noise
from rainkit.rain.render import SampledRain, paint, sample_rain

__all__ = [
    "FrameScenes",
    "PairFolder",
    "Photos",
    "SceneAverages",
]


class Photos(Source):
    """Clean photographs with new rain or noise in every sample.

    Args:
        inputs: files, folders or globs.
        context: what the sources of the run share.
        label: text before the source's name, if there are several sources of photographs.
        frames: give two frames of the photograph, each with rain or noise of its own, in place of
            one and the photograph itself, which a method that learns from frames never sees.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        context: SourceContext,
        *,
        label: str = "",
        frames: bool = False,
    ) -> None:
        self.name = f"{label}, " * bool(label) + f"{context.request.degradation} on the fly"
        self.name += " in both frames" * frames
        self._frames = frames
        self._paths = [found.path for found in images.find(inputs)]
        self._request = context.request
        self._patch, self._whole = context.training.patch, context.training.whole
        self._crop = context.training.crop or self._patch
        self._augment = context.augmentation()
        self._cache = context.cache
        self._textures = context.textures
        if self._textures is not None:
            count = len(self._textures)
            self.name += f" with {count:,} streak texture" + "s" * (count > 1)

    def __len__(self) -> int:
        return len(self._paths)

    def draw(self, item: int, rng: np.random.Generator) -> tuple[RGB8 | SampledRain, RGB8]:
        """Crop, turn and recolour a photograph; then add noise, or all that comes with rain."""
        request = self._request
        photo = self._cache.read(self._paths[item])
        scale = rng.uniform(request.shrink, 1.0)
        if self._whole:
            photo = images.shrink(photo, self._whole)
            frame_width = max(photo.shape[:2])
        else:
            (photo,), frame_width = shrunk_pieces(photo, scale=scale, patch=self._crop, rng=rng)
            frame_width = round(frame_width * self._patch / self._crop)
        chosen = draw_seed(rng)
        clean, _ = self._augment(photo, photo, chosen)
        untouched = rng.random() < request.rain_free
        if request.degradation == "noise":
            sigma = 0.0 if untouched else request.noise.draw(rng)
            noisy = add_noise(clean, sigma, (draw_seed(rng),))
            return noisy, add_noise(clean, sigma, (draw_seed(rng),)) if self._frames else clean
        larger = Enlargement.draw(request.enlarge, self._patch, chosen)
        if larger is not None:
            clean = larger.cut(clean)
        lines = SceneLines.draw(request.scene_lines, chosen)
        if lines is not None:
            clean = lines.over(clean)
        noise = SensorNoise.draw(request.sensor_noise, request.sensor_sigma, chosen)
        if noise is not None and request.rain_on == "device":
            clean, _ = noise.over(clean, clean)
            noise = None
        rainy = clean
        if not untouched:
            rain, seed = self._rain(clean, frame_width, chosen, rng)
            if request.rain_on == "device":
                return rain, clean
            rainy = paint(clean, rain, seed).rainy
        other = clean
        if self._frames and not untouched:
            # Of textures too, a frame has its own.
            rain, seed = self._rain(clean, frame_width, draw_seed(rng), rng)
            other = paint(clean, rain, seed).rainy
        if noise is not None:
            rainy, other = noise.over(rainy, other)
        if larger is not None:
            rainy, other = larger.apply(rainy), larger.apply(other)
        sharper = Sharpening.draw(request.sharpen, chosen)
        if sharper is not None:
            rainy, other = sharper.apply(rainy), sharper.apply(other)
        rainy = _jpeg(rainy, rng, request.jpeg)
        return rainy, _jpeg(other, rng, request.jpeg) if self._frames else other

    def _rain(
        self, clean: RGB8, frame_width: int, chosen: int, rng: np.random.Generator
    ) -> tuple[SampledRain, tuple[int]]:
        """Draw rain for a crop, and the seed to paint it with; ``chosen`` decides on textures."""
        settings, distance = self._request.rain.draw(rng)
        seed = (draw_seed(rng),)
        alone = self._textures is not None and self._textures.fall_alone(chosen)
        rain = sample_rain(
            clean,
            settings,
            seed,
            distance=distance,
            frame_width=frame_width,
            streaks=not alone,
        )
        if not alone:
            rain = self._request.rain.vary(rain, clean, seed)
        if self._textures is not None:
            rain = self._textures.fall(rain, chosen)
        return rain, seed


def _jpeg(picture: RGB8, rng: np.random.Generator, share: float) -> RGB8:
    if rng.random() >= share:
        return picture
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    _, code = cv2.imencode(".jpg", picture[..., ::-1], quality)
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR_RGB), np.uint8)


class PairFolder(Source):
    """Pairs of a dataset folder, all of them or a chosen number.

    Args:
        folder: the folder and the number of pairs.
        context: what the sources of the run share.
    """

    def __init__(self, folder: SampledFolder, context: SourceContext) -> None:
        there = find_pairs(folder.path, prefer=("train",), options=context.request.reading())
        chosen = choose([pair.name for pair in there], folder, context.seed, kind="pairs")
        self._pairs: Sequence[PairFiles] = [there[number] for number in chosen]
        self._there = len(there)
        sides = [(pair.rainy, pair.clean) for pair in self._pairs]
        check_sizes(sides)
        self.name = "; ".join((str(folder.path), *notice_of_crops(sides)))
        self._request = context.request
        self._patch, self._whole = context.training.patch, context.training.whole
        self._crop = context.training.crop or self._patch
        self._augment = context.augmentation()
        self._curves: dict[int, NDArray[np.uint8]] = {}
        self._cache = context.cache

    def __len__(self) -> int:
        return len(self._pairs)

    def pair_files(self) -> Sequence[PairFiles]:
        """Return the files of the pairs."""
        return self._pairs

    def amount(self) -> str:
        """Return the number of pairs, and that of all pairs if it is larger."""
        of = f" of {self._there:,}" if self._there > len(self) else ""
        return f"{len(self):,}{of} pictures"

    def draw(self, item: int, rng: np.random.Generator) -> tuple[RGB8, RGB8]:
        """Crop, scale, turn and enlarge both pictures of a pair alike."""
        files = self._pairs[item]
        rainy, clean = self._cache.read(files.rainy), self._cache.read(files.clean)
        refuse_sizes(files.rainy, rainy, files.clean, clean)
        curve = self._curve(item, rainy, clean) if self._request.match_tone else None

        def toned(number: int, picture: RGB8) -> RGB8:
            return picture if curve is None or number == 0 else apply_curve(picture, curve)

        if self._request.shrink < 1 and not self._whole:
            scale = rng.uniform(self._request.shrink, 1.0)
            (rainy, clean), _ = shrunk_pieces(
                rainy, clean, scale=scale, patch=self._crop, rng=rng, change=toned
            )
        else:
            clean = toned(1, clean)
        chosen = draw_seed(rng)
        rainy, clean = self._augment(rainy, clean, chosen)
        larger = Enlargement.draw(self._request.enlarge, self._patch, chosen)
        if larger is None:
            return rainy, clean
        return larger.apply(larger.cut(rainy)), larger.apply(larger.cut(clean))

    def _curve(self, item: int, rainy: RGB8, clean: RGB8) -> NDArray[np.uint8]:
        """Return a pair's tone curve, which is computed once; it takes 768 bytes."""
        if item not in self._curves:
            self._curves[item] = tone_curve(clean, rainy)
        return self._curves[item]


class _Scenes(Source):
    """Scenes of a folder, all of them or a chosen number; of a split dataset those of ``train``."""

    def __init__(self, folder: SampledFolder, context: SourceContext) -> None:
        skip = context.request.unreadable == "skip"
        there = find_scenes(folder.path, split="train", leave_unreadable=skip)
        chosen = choose([scene.name for scene in there], folder, context.seed, kind="scenes")
        self.name = str(folder.path)
        self._scenes = [there[number] for number in chosen]
        self._there = len(there)
        self._ends = np.cumsum([len(scene.frames) for scene in self._scenes])
        self._augment = context.augmentation()
        self._cache = context.cache

    def __len__(self) -> int:
        return int(self._ends[-1])

    def amount(self) -> str:
        """Return the number of frames, and that of the scenes if not all of them are used."""
        pictures = f"{len(self):,} pictures"
        if len(self._scenes) == self._there:
            return pictures
        return f"{len(self._scenes):,} of {self._there:,} scenes, {pictures}"

    def draw(self, item: int, rng: np.random.Generator) -> tuple[RGB8, RGB8]:
        """Crop and turn two pictures of the scene that frame ``item`` belongs to, both alike."""
        number = int(np.searchsorted(self._ends, item, side="right"))
        scene = self._scenes[number]
        place = item - int(self._ends[number]) + len(scene.frames)
        first, second = self._two(scene, place, rng)
        return self._augment(first, second, draw_seed(rng))

    @abstractmethod
    def _two(self, scene: FrameScene, place: int, rng: np.random.Generator) -> tuple[RGB8, RGB8]:
        """Return two whole pictures of a scene whose frame ``place`` was drawn."""

    def _read(self, scene: FrameScene, place: int, *, keep: bool = True) -> RGB8:
        return self._cache.read(scene.frames[place], keep=keep)


class FrameScenes(_Scenes):
    """Two different frames of a static scene, for methods that learn from frames."""

    def _two(self, scene: FrameScene, place: int, rng: np.random.Generator) -> tuple[RGB8, RGB8]:
        one, other = pair_of_frames(scene, rng)
        first, second = self._read(scene, one), self._read(scene, other)
        refuse_sizes(scene.frames[one], first, scene.frames[other], second)
        return first, second


class SceneAverages(_Scenes):
    """A frame and the average of the other frames of its scene, for methods that learn from pairs.

    The averages of a scene are prepared when it is first drawn, and kept if the cache has room. A
    frame is never part of its own target. A scene with a frame that cannot be read has no averages.
    """

    def __init__(self, folder: SampledFolder, context: SourceContext) -> None:
        super().__init__(folder, context)
        self._by = context.request.scene_target
        self.name = f"{folder.path}, frames and the {self._by} of the others"
        self._broken: dict[FrameScene, ImageError | DatasetError] = {}

    def _two(self, scene: FrameScene, place: int, rng: np.random.Generator) -> tuple[RGB8, RGB8]:
        averages = self._averages(scene)
        frame = self._read(scene, place)
        return frame, averages.without(frame)

    def _averages(self, scene: FrameScene) -> LeaveOneOutAverage:
        if (known := self._cache.average((self._by, scene))) is not None:
            return known
        if scene in self._broken:  # or else all frames before the broken one would be read again
            raise self._broken[scene].with_traceback(None)
        try:
            made = LeaveOneOutAverage.of(self._frames(scene), by=self._by)
        except (ImageError, DatasetError) as error:
            self._broken[scene] = error
            raise
        self._cache.keep((self._by, scene), made)
        return made

    def _frames(self, scene: FrameScene) -> Iterator[RGB8]:
        """Yield all frames; they are not cached, since their average is."""
        first: RGB8 | None = None
        for place, path in enumerate(scene.frames):
            frame = self._read(scene, place, keep=False)
            first = frame if first is None else first
            refuse_sizes(scene.frames[0], first, path, frame)
            yield frame
