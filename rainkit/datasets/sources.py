"""What training draws its pairs from: clean photos degraded on the fly, and folders on disk.

Sample ``k`` of a run is a pure function of (run seed, k): which picture, which crop, which rain.
The worker count, the number of processes and a resume change nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.augmentation import Augmentation
from rainkit.datasets.batches import Sample
from rainkit.datasets.pairs import PairFiles, ReadOptions, find_pairs
from rainkit.datasets.sequences import find_scenes, pair_of_frames
from rainkit.datasets.sizes import check_sizes, notice_of_crops
from rainkit.datasets.stored import Stored
from rainkit.errors import DatasetError, RainkitError, UsageError
from rainkit.rain import Mixture, render
from rainkit.rain.batched import Shower, draw
from rainkit.rain.noise import Noise, add_noise

__all__ = [
    "DataRequest",
    "FrameScenes",
    "Mixed",
    "PairFolder",
    "Photos",
    "Source",
    "open_sources",
]

Picture = NDArray[np.uint8]
Degraded = Literal["rain", "noise"]
Painter = Literal["workers", "device"]

_CHOICES = {"degradation": get_args(Degraded), "rain_on": get_args(Painter)}

CACHE_BYTES = 1 << 30
"""Decoded pictures kept per loading process; what does not fit is decoded again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRequest:
    """Where training pictures come from; scalars and lists only, so that a recipe can say it.

    Attributes:
        clean: files, folders or globs of clean photographs, degraded on the fly.
        pairs: dataset folders with rainy and clean pictures; of those that are split, the split
            ``train``.
        scenes: folders of time-lapse scenes, for methods that learn from their frames.
        validation: dataset folders to validate on; never trained on.
        layout: layout of the folders of ``pairs``; None to find it out.
        rainy_side: ``left`` or ``right`` in side-by-side pictures; None to judge by their looks.
        crop_to_common: crop pairs of two sizes instead of refusing them, in validation too.
        clean_share: share of samples from ``clean`` when ``pairs`` are given too.
        degradation: what befalls clean photographs: ``rain`` or ``noise``.
        rain: the mixture of rain drawn onto them.
        rain_on: who paints that rain: the loading processes (``workers``), or the device that
            trains, from what they drew (``device``): the same rain, a level apart here and there.
        noise: how strong the noise added to them is.
        rain_free: share of samples left without either: the network must leave them alone.
        jpeg: share of rainy pictures compressed as JPEG, quality 60 to 95, before training; noise
            stays white.
        shrink: smallest random scale of a clean photograph before it is cropped.
    """

    clean: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    layout: str | None = None
    rainy_side: str | None = None
    crop_to_common: bool = False
    clean_share: float = 0.5
    degradation: Degraded = "rain"
    rain: Mixture = field(default_factory=Mixture)
    rain_on: Painter = "workers"
    noise: Noise = field(default_factory=Noise)
    rain_free: float = 0.04
    jpeg: float = 0.3
    shrink: float = 0.6

    def reading(self) -> ReadOptions:
        """How the folders of ``pairs`` are read."""
        return ReadOptions(
            layout=self.layout, rainy_side=self.rainy_side, crop_to_common=self.crop_to_common
        )

    def __post_init__(self) -> None:
        self.reading()  # refuses what it does not know
        for name in ("clean_share", "rain_free", "jpeg", "shrink"):
            value = getattr(self, name)
            if not (value > 0 if name == "shrink" else value >= 0) or not value <= 1:
                raise UsageError(f"data.{name} = {value}: is a share, at most 1")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"data.{name} = {getattr(self, name)}: is {' or '.join(known)}")
        if self.rain_on == "device" and self.jpeg > 0:
            raise UsageError(
                f"data.jpeg = {self.jpeg}: only workers compress pictures; "
                "set data.jpeg = 0 or data.rain_on = workers"
            )


class Source(ABC):
    """Something that can be asked for pairs of ``patch`` x ``patch`` pictures."""

    name: str

    @abstractmethod
    def __len__(self) -> int:
        """Pictures to draw from."""

    @abstractmethod
    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture | Shower, Picture]:
        """A degraded and a clean crop of picture ``item``, HWC uint8 RGB.

        Or the rain that is to be painted over the clean crop, and that crop.
        """


class Photos(Source):
    """Clean photographs with fresh rain or noise: no picture is ever seen twice alike."""

    def __init__(self, request: DataRequest, training: Training, cache: _Cache) -> None:
        self.name = f"{request.degradation} on the fly"
        self._paths = [found.path for found in images.find(request.clean)]
        self._request = request
        self._patch = training.patch
        self._augment = Augmentation(training.patch, turn=training.augment)
        self._cache = cache

    def __len__(self) -> int:
        return len(self._paths)

    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture | Shower, Picture]:
        """Crop, turn, then rain, compressed at times, or noise."""
        request = self._request
        photo = self._cache.read(self._paths[item])
        photo = _shrink(photo, rng.uniform(request.shrink, 1.0), self._patch)
        frame_width = max(photo.shape[:2])
        clean, _ = self._augment(photo, photo, _seed(rng))
        untouched = rng.random() < request.rain_free
        if request.degradation == "noise":
            sigma = 0.0 if untouched else request.noise.draw(rng)
            return add_noise(clean, sigma, (_seed(rng),)), clean
        if untouched:
            return _jpeg(clean, rng, request.jpeg), clean
        settings, distance = request.rain.draw(rng)
        seed = (_seed(rng),)
        if request.rain_on == "device":
            return draw(clean, settings, seed, distance=distance, frame_width=frame_width), clean
        rained = render(clean, settings, seed, distance=distance, frame_width=frame_width)
        return _jpeg(rained.rainy, rng, request.jpeg), clean


class PairFolder(Source):
    """Rainy and clean pictures from disk."""

    def __init__(
        self, folder: Path, options: ReadOptions, training: Training, cache: _Cache
    ) -> None:
        self._pairs: Sequence[PairFiles] = find_pairs(folder, prefer=("train",), options=options)
        sides = [(pair.rainy, pair.clean) for pair in self._pairs]
        check_sizes(sides)
        self.name = "; ".join((str(folder), *notice_of_crops(sides)))
        self._augment = Augmentation(training.patch, turn=training.augment)
        self._cache = cache

    def __len__(self) -> int:
        return len(self._pairs)

    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """The same crop and turn of both pictures."""
        files = self._pairs[item]
        rainy, clean = self._cache.read(files.rainy), self._cache.read(files.clean)
        if rainy.shape != clean.shape:
            raise DatasetError(
                f"{files.rainy} and {files.clean} differ in size: "
                f"{rainy.shape[1]}x{rainy.shape[0]} and {clean.shape[1]}x{clean.shape[0]}"
            )
        return self._augment(rainy, clean, _seed(rng))


class FrameScenes(Source):
    """Two different frames of a static scene; the test scenes of a split dataset are left out."""

    def __init__(self, folder: Path, training: Training, cache: _Cache) -> None:
        self.name = str(folder)
        self._scenes = find_scenes(folder, split="train")
        self._ends = np.cumsum([len(scene.frames) for scene in self._scenes])
        self._augment = Augmentation(training.patch, turn=training.augment)
        self._cache = cache

    def __len__(self) -> int:
        return int(self._ends[-1])

    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """The same crop and turn of two frames of the scene that picture ``item`` belongs to."""
        scene = self._scenes[int(np.searchsorted(self._ends, item, side="right"))]
        first, second = (self._cache.read(scene.frames[n]) for n in pair_of_frames(scene, rng))
        return self._augment(first, second, _seed(rng))


class Mixed(Dataset[Sample | RainkitError]):
    """Several sources as one endless, indexable run of samples."""

    def __init__(self, sources: Sequence[Source], shares: Sequence[float], seed: int) -> None:
        self._sources = tuple(sources)
        self._bounds = np.cumsum(shares)[:-1] / np.sum(shares)
        self._seed = seed

    def __getitem__(self, k: int) -> Sample | RainkitError:
        """Sample ``k``, or why there is none.

        An error is given back, not raised: a loading process would wrap it in its traceback.
        """
        rng = np.random.default_rng([self._seed, k])
        source = self._sources[int(np.searchsorted(self._bounds, rng.random(), side="right"))]
        try:
            first, second = source.draw(int(rng.integers(len(source))), rng)
        except RainkitError as error:
            return error
        if not isinstance(first, Shower):
            return _to_channels_first(first), _to_channels_first(second)
        return first, _to_channels_first(second)

    def describe(self) -> str:
        """For the log: each source with its number of pictures."""
        return ", ".join(f"{source.name} ({len(source)} pictures)" for source in self._sources)


def open_sources(request: DataRequest, training: Training, seed: int) -> Mixed:
    """Everything a request names, as one dataset.

    Raises:
        UsageError: nothing to train on, or a folder without pictures.
    """
    cache = _Cache()
    sources: list[Source] = []
    shares: list[float] = []
    if request.clean:
        sources.append(Photos(request, training, cache))
        shares.append(request.clean_share if request.pairs else 1.0)
    folders: list[Source] = [
        PairFolder(Path(f), request.reading(), training, cache) for f in request.pairs
    ]
    folders += [FrameScenes(Path(folder), training, cache) for folder in request.scenes]
    pictures = sum(len(folder) for folder in folders)
    rest = 1.0 - request.clean_share if request.clean else 1.0
    sources += folders
    shares += [rest * len(folder) / pictures for folder in folders]
    if not sources:
        raise UsageError("nothing to train on: name clean photos (--clean) or pairs (--pairs)")
    return Mixed(sources, shares, seed)


class _Cache:
    """Decoded pictures, until the budget is spent."""

    def __init__(self) -> None:
        self._pictures: dict[Stored, Picture] = {}
        self._free = CACHE_BYTES

    def read(self, picture_of: Stored | Path) -> Picture:
        stored = Stored(picture_of) if isinstance(picture_of, Path) else picture_of
        if stored in self._pictures:
            return self._pictures[stored]
        picture = stored.read()
        if picture.nbytes <= self._free:
            self._pictures[stored] = picture
            self._free -= picture.nbytes
        return picture


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _shrink(photo: Picture, scale: float, patch: int) -> Picture:
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


def _to_channels_first(picture: Picture) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
