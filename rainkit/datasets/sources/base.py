"""What all sources have in common: their interface, their settings, and decoded pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rainkit.api import Training
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.sequences import AllButOne
from rainkit.datasets.sources.augmentation import Augmentation
from rainkit.datasets.sources.request import DataRequest
from rainkit.errors import DatasetError
from rainkit.images import RGB8
from rainkit.rain.render import SampledRain

__all__ = ["Cache", "Common", "Source", "draw_seed", "refuse_sizes"]

CACHE_BYTES = 1 << 30
"""What is kept per loading process; what does not fit is decoded or averaged again."""


class Source(ABC):
    """Something that can be asked for pairs of pictures: crops of one size, or whole ones."""

    name: str

    @abstractmethod
    def __len__(self) -> int:
        """Pictures to draw from."""

    @abstractmethod
    def draw(self, item: int, rng: np.random.Generator) -> tuple[RGB8 | SampledRain, RGB8]:
        """A degraded and a clean crop of picture ``item``, HWC uint8 RGB.

        Or the rain that is to be painted over the clean crop, and that crop.

        Raises:
            ImageError, DatasetError: a picture cannot be read.
        """

    def amount(self) -> str:
        """For the log: how much there is to draw from, such as ``4,000 of 5,000 pictures``."""
        return f"{len(self):,} pictures"


class Cache:
    """Decoded pictures and averages of scenes, until the budget is spent."""

    def __init__(self) -> None:
        self._pictures: dict[ImageRef, RGB8] = {}
        self._averages: dict[Hashable, AllButOne] = {}
        self._free = CACHE_BYTES

    def read(self, picture_of: ImageRef | Path, *, keep: bool = True) -> RGB8:
        """A picture; ``keep`` = False of one that is not likely to be wanted again soon.

        Raises:
            ImageError, DatasetError: it cannot be read.
        """
        stored = ImageRef(picture_of) if isinstance(picture_of, Path) else picture_of
        if stored in self._pictures:
            return self._pictures[stored]
        picture = stored.read()
        if keep and picture.nbytes <= self._free:
            self._pictures[stored] = picture
            self._free -= picture.nbytes
        return picture

    def average(self, key: Hashable) -> AllButOne | None:
        """What was kept under a key."""
        return self._averages.get(key)

    def keep(self, key: Hashable, average: AllButOne) -> None:
        """Keep what took many pictures to make, rather than single pictures, if it fits."""
        if average.nbytes > self._free + sum(each.nbytes for each in self._pictures.values()):
            return
        while average.nbytes > self._free:
            self._free += self._pictures.pop(next(iter(self._pictures))).nbytes
        self._averages[key] = average
        self._free -= average.nbytes


@dataclass(frozen=True, kw_only=True)
class Common:
    """What the sources of a run share.

    Attributes:
        request: what was asked for.
        training: crops or whole pictures, and how they are augmented.
        seed: of the run; decides which pairs are taken where only some are.
        multiple_of: sides of whole pictures are multiples of this.
        cache: of pictures.
    """

    request: DataRequest
    training: Training
    seed: int
    multiple_of: int = 1
    cache: Cache = field(default_factory=Cache)

    def augmentation(self) -> Augmentation:
        """One of its own for each source."""
        return Augmentation(self.training, multiple_of=self.multiple_of)


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for something that draws by itself."""
    return int(rng.integers(2**31))


def refuse_sizes(one: ImageRef | Path, first: RGB8, other: ImageRef | Path, second: RGB8) -> None:
    """Refuse two pictures that belong together and differ in size.

    Raises:
        DatasetError: naming both.
    """
    if first.shape != second.shape:
        raise DatasetError(
            f"{one} and {other} differ in size: "
            f"{first.shape[1]}x{first.shape[0]} and {second.shape[1]}x{second.shape[0]}"
        )
