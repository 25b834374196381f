"""What all sources share: the request they serve, their interface, and a cache of pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from rainkit.api import Training
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairs import PairFiles, ReadOptions
from rainkit.datasets.sequences import LeaveOneOutAverage
from rainkit.datasets.sources.augmentation import Augmentation
from rainkit.datasets.sources.textures import Textures
from rainkit.errors import DatasetError, UsageError
from rainkit.images import RGB8
from rainkit.rain import RainDistribution
from rainkit.rain.noise import Noise
from rainkit.rain.render import SampledRain

__all__ = ["Cache", "DataRequest", "Source", "SourceContext", "draw_seed", "refuse_sizes"]

Degraded = Literal["rain", "noise"]
Painter = Literal["workers", "device"]
Averaged = Literal["mean", "median"]
Unreadable = Literal["stop", "skip"]

_CHOICES = {
    "degradation": get_args(Degraded),
    "rain_on": get_args(Painter),
    "scene_target": get_args(Averaged),
    "unreadable": get_args(Unreadable),
}


_SHARES = (
    "clean_share",
    "streak_share",
    "streak_mix",
    "rain_free",
    "jpeg",
    "enlarge",
    "sharpen",
    "scene_lines",
    "sensor_noise",
    "shrink",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRequest:
    """A request for training pictures; it holds scalars and lists only, so that recipes can too.

    Each folder of ``pairs`` and ``scenes`` may have a count, which limits how much of it is used,
    and a share, which says how often it is drawn from: ``FOLDER:COUNT@SHARE``, see
    :class:`rainkit.datasets.sampling_spec.SampledFolder`. If no folder has a share, all pictures of
    these folders are equally likely.

    An entry of ``clean`` may end in ``@SHARE``, too. If one does, all entries of ``clean``,
    ``pairs`` and ``scenes`` need a share.

    Attributes:
        clean: files, folders or globs of clean photographs, which are degraded on the fly.
        pairs: dataset folders with rainy and clean pictures; if a dataset has splits, ``train`` is
            used. Counts are numbers of pairs.
        scenes: folders of time-lapse scenes. Methods that learn from frames get two frames, others
            get a frame and its ``scene_target``. Counts are numbers of scenes.
        validation: dataset folders for validation; they are never trained on.
        layout: layout of the folders of ``pairs``; None to detect it.
        rainy_side: ``left`` or ``right`` half of side-by-side pictures; None to detect it.
        crop_to_common: crop pairs of two sizes instead of refusing them, in validation too.
        clean_share: share of samples from ``clean`` if there are folders too and the entries of
            ``clean`` have no shares.
        scene_target: target of a frame for methods that learn from pairs: the ``mean`` or the
            ``median`` of all other frames of its scene. It is prepared when a scene is first drawn;
            the median is slower to prepare, and needs all frames in memory.
        degradation: degradation of clean photographs, ``rain`` or ``noise``.
        rain: distribution of the rain that is drawn onto them.
        rain_on: where the rain is painted: in the loading processes (``workers``) or on the
            training device (``device``). Both draw the same rain; levels may differ by one.
        streaks: files, folders or globs of streak textures, which are fields of streaks on black,
            see :class:`rainkit.datasets.sources.textures.Textures`.
        streak_share: share of samples of ``clean`` with rain that get such textures, if there are
            any.
        streak_mix: share of these whose rendered streaks stay beside the textures.
        noise: distribution of the noise that is added to them.
        rain_free: share of samples without rain or noise, which a network must not change.
        jpeg: share of rainy pictures that are compressed as JPEG of quality 60 to 95; noisy
            pictures are not compressed.
        enlarge: share of samples from ``clean`` and ``pairs`` whose rainy and clean crop are
            enlarged together by 1.1 to 2.5, after the rain and before JPEG, bicubically or
            bilinearly; noisy pictures are not enlarged, and whole pictures cannot be.
        sharpen: share of samples of ``clean`` that are sharpened by an unsharp mask, the same in
            both pictures; it comes after the enlargement and before JPEG. Noisy pictures are not
            sharpened.
        scene_lines: share of samples of ``clean`` into whose scene thin lines are drawn before the
            rain, which a network must leave, see
            :class:`rainkit.datasets.sources.scene_lines.SceneLines`.
        sensor_noise: share of samples of ``clean`` with the noise of a sensor, the same in both
            pictures; it comes after the rain and before the enlargement, but before rain that is
            painted on the device.
        sensor_sigma: largest standard deviation of this noise in grey levels (0 to 255).
        shrink: smallest random scale of a clean photograph, or of both pictures of a pair, before
            the crop; whole pictures and frames of scenes are not scaled at random.
        match_tone: give the clean picture of each of ``pairs`` the tone of the rainy one first,
            see :func:`rainkit.datasets.sources.tone.tone_curve`.
        unreadable: what happens if a picture cannot be read: the training stops (``stop``), or
            another picture is drawn in its place (``skip``).
    """

    clean: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    layout: str | None = None
    rainy_side: str | None = None
    crop_to_common: bool = False
    clean_share: float = 0.5
    scene_target: Averaged = "mean"
    degradation: Degraded = "rain"
    rain: RainDistribution = field(default_factory=RainDistribution)
    rain_on: Painter = "workers"
    streaks: tuple[str, ...] = ()
    streak_share: float = 0.4
    streak_mix: float = 0.4
    noise: Noise = field(default_factory=Noise)
    rain_free: float = 0.04
    jpeg: float = 0.3
    enlarge: float = 0.0
    sharpen: float = 0.0
    scene_lines: float = 0.1
    sensor_noise: float = 0.2
    sensor_sigma: float = 6.0
    shrink: float = 0.6
    match_tone: bool = False
    unreadable: Unreadable = "stop"

    def reading(self) -> ReadOptions:
        """Return the options for reading the folders of ``pairs``."""
        return ReadOptions(
            layout=self.layout, rainy_side=self.rainy_side, crop_to_common=self.crop_to_common
        )

    def __post_init__(self) -> None:
        self.reading()  # it refuses an unknown side
        for name in _SHARES:
            value = getattr(self, name)
            if not (value > 0 if name == "shrink" else value >= 0) or not value <= 1:
                least = "above 0" if name == "shrink" else "from 0"
                raise UsageError(f"data.{name} = {value}: choose a number {least} to 1")
        if not 0 <= self.sensor_sigma <= 255:
            raise UsageError(f"data.sensor_sigma = {self.sensor_sigma}: choose 0 to 255 levels")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                chosen = getattr(self, name)
                raise UsageError(f"data.{name} = {chosen}: choose {' or '.join(known)}")
        for name, work in {"jpeg": "compress", "enlarge": "enlarge", "sharpen": "sharpen"}.items():
            if self.rain_on == "device" and getattr(self, name) > 0:
                raise UsageError(
                    f"data.{name} = {getattr(self, name)}: only workers {work} pictures; "
                    f"set data.{name} = 0 or data.rain_on = workers"
                )
        if self.streaks and self.degradation == "noise":
            raise UsageError(
                f"data.streaks = {self.streaks[0]}: noise has no streaks; set "
                "data.degradation = rain or leave data.streaks out"
            )


class Source(ABC):
    """A source of training samples: pairs of crops of one size, or of whole pictures.

    Attributes:
        name: name of the source for the log.
    """

    name: str

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of pictures to draw from."""

    @abstractmethod
    def draw(self, item: int, rng: np.random.Generator) -> tuple[RGB8 | SampledRain, RGB8]:
        """Return a degraded and a clean crop of picture ``item``, uint8 [H,W,3] RGB.

        If the rain is to be painted later, sampled rain stands in place of the degraded crop.

        Raises:
            ImageError, DatasetError: a picture cannot be read.
        """

    def amount(self) -> str:
        """Return the number of pictures for the log, such as ``4,000 of 5,000 pictures``."""
        return f"{len(self):,} pictures"

    def pair_files(self) -> Sequence[PairFiles]:
        """Return the files of the pairs, if the source takes pairs from files."""
        return ()


CACHE_BYTES = 1 << 30
"""Memory of the cache in each loading process; other pictures are decoded or averaged again."""


class Cache:
    """A cache of decoded pictures and averages of scenes; nothing is added once it is full."""

    def __init__(self) -> None:
        self._pictures: dict[ImageRef, RGB8] = {}
        self._averages: dict[Hashable, LeaveOneOutAverage] = {}
        self._free = CACHE_BYTES

    def read(self, place: ImageRef | Path, *, keep: bool = True) -> RGB8:
        """Return a picture, and keep it unless ``keep`` is False and if there is room.

        Raises:
            ImageError, DatasetError: the picture cannot be read.
        """
        ref = ImageRef(place) if isinstance(place, Path) else place
        if ref in self._pictures:
            return self._pictures[ref]
        picture = ref.read()
        if keep and picture.nbytes <= self._free:
            self._pictures[ref] = picture
            self._free -= picture.nbytes
        return picture

    def average(self, key: Hashable) -> LeaveOneOutAverage | None:
        """Return the average kept under a key, or None."""
        return self._averages.get(key)

    def keep(self, key: Hashable, average: LeaveOneOutAverage) -> None:
        """Keep an average if it fits; single pictures, which are read faster, make room for it."""
        if average.nbytes > self._free + sum(each.nbytes for each in self._pictures.values()):
            return
        while average.nbytes > self._free:
            self._free += self._pictures.pop(next(iter(self._pictures))).nbytes
        self._averages[key] = average
        self._free -= average.nbytes


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What the sources of a run share.

    Attributes:
        request: the request for training pictures.
        training: settings for crops, whole pictures and augmentation.
        seed: seed of the run; it decides which pairs are used if a count limits them.
        multiple_of: number that the sides of whole pictures are multiples of.
        cache: cache of pictures.
        textures: streak textures that fall on clean photographs; None if there are none.
    """

    request: DataRequest
    training: Training
    seed: int
    multiple_of: int = 1
    cache: Cache = field(default_factory=Cache)
    textures: Textures | None = None

    def augmentation(self) -> Augmentation:
        """Return a new augmentation, since each source needs its own."""
        return Augmentation(self.training, multiple_of=self.multiple_of)


def draw_seed(rng: np.random.Generator) -> int:
    """Draw a seed for another random generator."""
    return int(rng.integers(2**31))


def refuse_sizes(one: ImageRef | Path, first: RGB8, other: ImageRef | Path, second: RGB8) -> None:
    """Refuse two pictures that belong together but differ in size.

    Raises:
        DatasetError: the sizes differ; the message names both pictures.
    """
    if first.shape != second.shape:
        raise DatasetError(
            f"{one} and {other} differ in size: "
            f"{first.shape[1]}x{first.shape[0]} and {second.shape[1]}x{second.shape[0]}"
        )
