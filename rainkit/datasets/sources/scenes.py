"""Static scenes from disk: two frames of one, or a frame and the average of the others."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from rainkit.datasets.counted import CountedFolder, choose
from rainkit.datasets.leaveout import AllButOne
from rainkit.datasets.sequences import FrameScene, find_scenes, pair_of_frames
from rainkit.datasets.sources.base import Common, Picture, Source, draw_seed, refuse_sizes
from rainkit.errors import DatasetError, ImageError

__all__ = ["FrameScenes", "SceneAverages"]


class _Scenes(Source):
    """Scenes of a folder, or some of them; the test scenes of a split dataset are left out."""

    def __init__(self, folder: CountedFolder, common: Common) -> None:
        skip = common.request.unreadable == "skip"
        there = find_scenes(folder.path, split="train", leave_unreadable=skip)
        chosen = choose([scene.name for scene in there], folder, common.seed, kind="scenes")
        self.name = str(folder.path)
        self._scenes = [there[number] for number in chosen]
        self._there = len(there)
        self._ends = np.cumsum([len(scene.frames) for scene in self._scenes])
        self._augment = common.augmentation()
        self._cache = common.cache

    def __len__(self) -> int:
        return int(self._ends[-1])

    def amount(self) -> str:
        """How many frames, and of which scenes if not of all."""
        pictures = f"{len(self):,} pictures"
        if len(self._scenes) == self._there:
            return pictures
        return f"{len(self._scenes):,} of {self._there:,} scenes, {pictures}"

    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """The same crop and turn of two pictures of the scene that frame ``item`` belongs to."""
        number = int(np.searchsorted(self._ends, item, side="right"))
        scene = self._scenes[number]
        place = item - int(self._ends[number]) + len(scene.frames)
        first, second = self._two(scene, place, rng)
        return self._augment(first, second, draw_seed(rng))

    @abstractmethod
    def _two(
        self, scene: FrameScene, place: int, rng: np.random.Generator
    ) -> tuple[Picture, Picture]:
        """Two whole pictures of a scene of which frame ``place`` was drawn."""

    def _read(self, scene: FrameScene, place: int, *, keep: bool = True) -> Picture:
        return self._cache.read(scene.frames[place], keep=keep)


class FrameScenes(_Scenes):
    """Two different frames of a static scene, for methods that learn from frames."""

    def _two(
        self, scene: FrameScene, place: int, rng: np.random.Generator
    ) -> tuple[Picture, Picture]:
        one, other = pair_of_frames(scene, rng)
        first, second = self._read(scene, one), self._read(scene, other)
        refuse_sizes(scene.frames[one], first, scene.frames[other], second)
        return first, second


class SceneAverages(_Scenes):
    """A frame and the average of the other frames of its scene, for methods that learn from pairs.

    What is needed of a scene is prepared when it is first drawn, and kept as long as the cache has
    room: a frame is never in its own target. A scene with a frame that cannot be read has no
    averages.
    """

    def __init__(self, folder: CountedFolder, common: Common) -> None:
        super().__init__(folder, common)
        self._by = common.request.scene_target
        self.name = f"{folder.path}, frames and the {self._by} of the others"
        self._broken: dict[FrameScene, ImageError | DatasetError] = {}

    def _two(
        self, scene: FrameScene, place: int, rng: np.random.Generator
    ) -> tuple[Picture, Picture]:
        averages = self._averages(scene)
        frame = self._read(scene, place)
        return frame, averages.without(frame)

    def _averages(self, scene: FrameScene) -> AllButOne:
        if (known := self._cache.average((self._by, scene))) is not None:
            return known
        if scene in self._broken:  # otherwise all frames before the broken one were read again
            raise self._broken[scene].with_traceback(None)
        try:
            made = AllButOne.of(self._frames(scene), by=self._by)
        except (ImageError, DatasetError) as error:
            self._broken[scene] = error
            raise
        self._cache.keep((self._by, scene), made)
        return made

    def _frames(self, scene: FrameScene) -> Iterator[Picture]:
        """All frames; they are not kept, as their average is."""
        first: Picture | None = None
        for place, path in enumerate(scene.frames):
            frame = self._read(scene, place, keep=False)
            first = frame if first is None else first
            refuse_sizes(scene.frames[0], first, path, frame)
            yield frame
