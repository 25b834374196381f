"""Scenes of frames: many rainy pictures of one place, and averages of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rainkit import images
from rainkit.datasets.writers import portable
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.files import natural
from rainkit.images import RGB8, SUFFIXES

__all__ = [
    "AllButOne",
    "AverageRequest",
    "AverageResult",
    "FrameScene",
    "average",
    "count_pairs",
    "find_scenes",
    "merge",
    "pair_of_frames",
]


_CLEAN = "clean"
_NOT_FRAMES = frozenset({_CLEAN, "median"})
"""Names, without suffix, of pictures in a scene's folder that are no frames of it."""


@dataclass(frozen=True, slots=True)
class FrameScene:
    """One scene.

    Attributes:
        name: unique in its dataset.
        frames: two pictures or more, of one size, in natural order of their names.
        clean: the scene without rain, where it is known.
    """

    name: str
    frames: tuple[Path, ...]
    clean: Path | None = None


def find_scenes(
    root: Path, *, split: str | None = None, leave_unreadable: bool = False
) -> tuple[FrameScene, ...]:
    """The scenes of a dataset: folders with two pictures or more, in natural order.

    Reads what ``rainkit synth --sequence`` and ``rainkit data frames`` write
    (``seq/<scene>/0001.png``, perhaps in a folder for each split, ``clean.png`` beside the frames),
    and any folder of folders of pictures. The folder of a single scene will do too.

    Args:
        root: the dataset's folder.
        split: of a dataset in parts, such as ``train`` and ``test``, take this one.
        leave_unreadable: leave frames that cannot be opened to be reported when they are read.

    Raises:
        UsageError: ``root`` is not a folder.
        DatasetError: it holds no scene, frames of a scene differ in size, or one cannot be opened.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give a folder of scenes")
    part = root / split if split and (root / split).is_dir() else root
    # Of a dataset that has them, what is not in such folders are maps and pictures of other kinds.
    homes = [path for path in (part / "seq", *sorted(part.glob("*/seq"))) if path.is_dir()]
    scenes = [
        scene for home in homes or [part] for scene in _scenes_in(home, root, leave_unreadable)
    ]
    if not scenes:
        raise DatasetError(
            f"{part}: holds no scenes; put two frames or more of each into a folder of its own"
        )
    return tuple(sorted(scenes, key=lambda scene: natural(scene.name)))


def count_pairs(scenes: Sequence[FrameScene]) -> int:
    """How many pairs of different frames of one scene there are, whichever comes first."""
    return sum(comb(len(scene.frames), 2) for scene in scenes)


def pair_of_frames(scene: FrameScene, rng: np.random.Generator) -> tuple[int, int]:
    """Draw two different frames by their places, all ordered pairs alike, in two draws."""
    first, second = int(rng.integers(len(scene.frames))), int(rng.integers(len(scene.frames) - 1))
    return first, second + (second >= first)


def _scenes_in(home: Path, root: Path, leave_unreadable: bool) -> Iterator[FrameScene]:
    for parent, folders, names in os.walk(home):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in names if _is_picture(name)]
        frames = [path for path in paths if path.stem.casefold() not in _NOT_FRAMES]
        if len(frames) < 2:
            continue
        frames.sort(key=lambda path: (natural(path.name), path.name))
        _refuse_sizes(frames, leave_unreadable)
        clean = next((path for path in paths if path.stem.casefold() == _CLEAN), None)
        name = Path(parent).relative_to(root).as_posix()
        yield FrameScene(root.resolve().name if name == "." else name, tuple(frames), clean)


def _refuse_sizes(frames: Sequence[Path], leave_unreadable: bool) -> None:
    """Refuse frames of several sizes, before a training is under way; only headers are read."""
    sizes = {}
    for path in frames:
        try:
            with Image.open(path) as image:
                sizes[image.size] = path
        except OSError as error:
            if leave_unreadable:
                continue
            raise DatasetError(f"{path}: not a picture that can be read; remove it") from error
    if len(sizes) > 1:
        ((one, path), (two, other)) = list(sizes.items())[:2]
        raise DatasetError(
            f"{path} and {other} differ in size: {one[0]}x{one[1]} and {two[0]}x{two[1]}; "
            "frames of a scene show the same place"
        )


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.casefold() in SUFFIXES


Sums = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]

_STRIP = 64
"""Rows sorted at a time: all frames of a scene take room enough."""


@dataclass(frozen=True, slots=True)
class AllButOne:
    """What the mean or median of any ``count - 1`` of a scene's frames follows from.

    Attributes:
        count: frames of the scene, two or more.
        by: ``mean`` or ``median``.
        kept: the sum of all frames, [H,W,3]; or, of each channel of each pixel, the two or three
            values around the middle of all frames in ascending order, uint8 [H,W,3] each.
    """

    count: int
    by: str
    kept: tuple[Sums, ...]

    @classmethod
    def of(cls, frames: Iterable[RGB8], *, by: str) -> AllButOne:
        """Take in the frames of a scene, uint8 [H,W,3] of one size; the median, all at once."""
        return _median(list(frames)) if by == "median" else _mean(frames)

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        return sum(each.nbytes for each in self.kept)

    def without(self, frame: RGB8) -> RGB8:
        """The average of all frames but ``frame``, which is one of them: uint8 [H,W,3].

        The same levels as :func:`rainkit.datasets.sequences.merge` of the others gives.
        """
        if self.by == "mean":
            (total,) = self.kept
            others = self.count - 1
            return ((total - frame + others // 2) // others).astype(np.uint8)
        # Value n of the others is value n of all, or the next where the frame's comes before it.
        middle = [
            np.where(frame <= low, high, low)
            for low, high in zip(self.kept, self.kept[1:], strict=False)
        ]
        return ((middle[0].astype(np.uint16) + middle[-1] + 1) // 2).astype(np.uint8)


def _mean(frames: Iterable[RGB8]) -> AllButOne:
    total: NDArray[np.uint32] | None = None
    count = 0
    for frame in frames:
        total = frame.astype(np.uint32) if total is None else total + frame
        count += 1
    if total is None:
        raise ValueError("no frames to average")
    # Half the room; with half of the others added for rounding it is no more either.
    small = count * 255 < 1 << 16
    return AllButOne(count, "mean", (total.astype(np.uint16) if small else total,))


def _median(frames: list[RGB8]) -> AllButOne:
    count = len(frames)
    # The others' middle is one value of an odd number, and between two of an even number.
    first = (count - 2) // 2
    places = range(first, first + 2 + count % 2)
    kept = tuple(np.empty_like(frames[0]) for _ in places)
    for top in range(0, len(frames[0]), _STRIP):
        rows = np.stack([frame[top : top + _STRIP] for frame in frames])
        rows.partition(list(places), axis=0)
        for each, place in zip(kept, places, strict=True):
            each[top : top + _STRIP] = rows[place]
    return AllButOne(count, "median", kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageRequest:
    """What to average, and for what.

    Attributes:
        scenes: a folder of scenes, see :func:`rainkit.datasets.sequences.find_scenes`.
        out: the folder to write.
        by: ``mean`` or ``median``, of each channel of each pixel.
        frames: how many frames of each scene, the first ones; None for all.
        pairs: make training pairs instead: each frame, and the average of as many others.
        overwrite: write over the files of an earlier call.
    """

    scenes: Path
    out: Path
    by: str = "mean"
    frames: int | None = None
    pairs: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.by not in ("mean", "median"):
            raise UsageError(f"--by {self.by}: choose mean or median")
        if self.frames is not None and self.frames < 1:
            raise UsageError(f"--frames {self.frames}: take 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageResult:
    """What was made.

    Attributes:
        out: the folder.
        scenes: how many scenes gave their average.
        pictures: averages written; with ``pairs`` one for each frame.
        frames: frames in each average, the least and the most.
        failures: scenes left out because a frame of theirs cannot be read, and why.
    """

    out: Path
    scenes: int
    pictures: int
    frames: tuple[int, int]
    failures: tuple[tuple[str, str], ...]

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "output": str(self.out),
            "scenes": self.scenes,
            "pictures": self.pictures,
            "frames": list(self.frames),
            "failures": [{"scene": name, "reason": why} for name, why in self.failures],
        }


def average(
    request: AverageRequest, on_scene: Callable[[int, int], None] | None = None
) -> AverageResult:
    """Average the frames of every scene.

    Writes ``average/SCENE.png``, and of scenes whose clean picture is known ``clean/SCENE.png`` and
    ``rainy/SCENE.png``, their first frame: ``rainkit eval OUT/average OUT/clean`` scores them. With
    ``pairs`` it writes ``input/SCENE_FRAME.png`` and ``target/SCENE_FRAME.png`` instead, for
    ``rainkit train --pairs OUT``; a frame never is in its own target.

    Args:
        request: what to average.
        on_scene: called after each scene with how many are done, and how many there are.

    Raises:
        UsageError: no such folder, or more frames asked for than a scene has.
        DatasetError: the folder holds no scenes.
        ImageError: a result cannot be written, or is there already.
    """
    found = find_scenes(request.scenes)
    counts = [_count(scene, request) for scene in found]
    names = _names(found)
    failures: list[tuple[str, str]] = []
    pictures = 0
    for done, (scene, name, count) in enumerate(zip(found, names, counts, strict=True), 1):
        try:
            frames = [images.read(path).rgb for path in scene.frames]
            clean = None if scene.clean is None else images.read(scene.clean).rgb
        except ImageError as error:
            failures.append((scene.name, str(error)))
            continue
        made = (
            _pairs(scene, name, frames, count, request.by)
            if request.pairs
            else _still(name, frames[:count], clean, request.by)
        )
        for place, rgb in made.items():
            picture = images.Picture(rgb)
            images.write(request.out / f"{place}.png", picture, overwrite=request.overwrite)
            pictures += place.startswith(("average/", "target/"))
        if on_scene is not None:
            on_scene(done, len(found))
    return AverageResult(
        out=request.out,
        scenes=len(found) - len(failures),
        pictures=pictures,
        frames=(min(counts), max(counts)),
        failures=tuple(failures),
    )


def merge(frames: Sequence[images.Pixels], by: str) -> images.Pixels:
    """The mean or the median of frames of one size, rounded, as what they are: uint8 or uint16.

    Args:
        frames: one or more, all [H,W,3] of one dtype.
        by: ``mean`` or ``median``.
    """
    first = frames[0]
    merged: NDArray[Any] = np.empty_like(first)
    for top in range(0, first.shape[0], _STRIP):
        rows = np.stack([frame[top : top + _STRIP] for frame in frames])
        middle = np.median(rows, axis=0) if by == "median" else rows.mean(axis=0)
        merged[top : top + _STRIP] = np.floor(middle + 0.5)
    return merged


def _still(
    name: str, frames: list[images.Pixels], clean: images.Pixels | None, by: str
) -> dict[str, images.Pixels]:
    made = {f"average/{name}": merge(frames, by)}
    if clean is not None:
        made |= {f"clean/{name}": clean, f"rainy/{name}": frames[0]}
    return made


def _pairs(
    scene: FrameScene, name: str, frames: list[images.Pixels], count: int, by: str
) -> dict[str, images.Pixels]:
    made = {}
    for place, path in enumerate(scene.frames):
        others = [frames[(place + step) % len(frames)] for step in range(1, count + 1)]
        made[f"input/{name}_{path.stem}"] = frames[place]
        made[f"target/{name}_{path.stem}"] = merge(others, by)
    return made


def _count(scene: FrameScene, request: AverageRequest) -> int:
    """Frames in an average of this scene."""
    there = len(scene.frames) - request.pairs
    if request.frames is not None and request.frames > there:
        others = "other frames" if request.pairs else "frames"
        raise UsageError(
            f"--frames {request.frames}: {scene.name} has {there} {others}; ask for fewer"
        )
    return request.frames or there


def _names(scenes: Sequence[FrameScene]) -> list[str]:
    """One file name each: the last part of the scene's, or all of it where that is not enough."""
    names = [scene.name.rsplit("/", 1)[-1] for scene in scenes]
    if len({name.casefold() for name in names}) < len(names):
        names = [scene.name for scene in scenes]
    return [portable(name) for name in names]
