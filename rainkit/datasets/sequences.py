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

from rainkit import images
from rainkit.datasets.writers import portable
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.files import natural
from rainkit.images import RGB8, SUFFIXES

__all__ = [
    "AverageRequest",
    "AverageResult",
    "FrameScene",
    "LeaveOneOutAverage",
    "average_frames",
    "average_scenes",
    "count_pairs",
    "find_scenes",
    "pair_of_frames",
]


_CLEAN = "clean"
_NOT_FRAMES = frozenset({_CLEAN, "median"})
"""Names, without suffix, of pictures in a scene's folder that are not frames."""


@dataclass(frozen=True, slots=True)
class FrameScene:
    """A scene with its frames.

    Attributes:
        name: name of the scene, unique in its dataset.
        frames: two or more pictures of one size, in natural order of their names.
        clean: picture of the scene without rain, if there is one.
    """

    name: str
    frames: tuple[Path, ...]
    clean: Path | None = None


def find_scenes(
    root: Path, *, split: str | None = None, leave_unreadable: bool = False, check: bool = True
) -> tuple[FrameScene, ...]:
    """Return the scenes of a dataset, folders with two or more pictures, in natural order.

    The dataset may be one that ``rainkit synth --sequence`` or ``rainkit data frames`` wrote
    (``seq/<scene>/0001.png``, perhaps in a folder for each split, with ``clean.png`` beside the
    frames), any folder of folders of pictures, or the folder of a single scene.

    Args:
        root: the dataset's folder.
        split: the split to take, such as ``train``, if the dataset has splits.
        leave_unreadable: pass over frames that cannot be opened; they are reported when read.
        check: open the frames; False if the caller checks scene by scene.

    Raises:
        UsageError: ``root`` is not a folder.
        DatasetError: there are no scenes, frames of a scene differ in size, or a frame cannot be
            opened.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give a folder of scenes")
    part = root / split if split and (root / split).is_dir() else root
    scenes = [scene for home in _homes(part) for scene in _scenes_in(home, root)]
    for scene in scenes if check else ():
        _refuse_sizes(scene.frames, leave_unreadable)
    if not scenes:
        raise DatasetError(
            f"{part}: holds no scenes; put two frames or more of each into a folder of its own"
        )
    return tuple(sorted(scenes, key=lambda scene: natural(scene.name)))


def count_pairs(scenes: Sequence[FrameScene]) -> int:
    """Return the number of unordered pairs of different frames of one scene."""
    return sum(comb(len(scene.frames), 2) for scene in scenes)


def pair_of_frames(scene: FrameScene, rng: np.random.Generator) -> tuple[int, int]:
    """Draw the indices of two different frames; all ordered pairs are equally likely."""
    first, second = int(rng.integers(len(scene.frames))), int(rng.integers(len(scene.frames) - 1))
    return first, second + (second >= first)


def _homes(part: Path) -> list[Path]:
    """Return the folders that are searched for scenes."""
    # In a dataset with such folders, all other folders hold maps and pictures of other kinds.
    homes = [path for path in (part / "seq", *sorted(part.glob("*/seq"))) if path.is_dir()]
    return homes or [part]


def _scenes_in(home: Path, root: Path) -> Iterator[FrameScene]:
    for parent, folders, names in os.walk(home):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in names if _is_picture(name)]
        frames = [path for path in paths if path.stem.casefold() not in _NOT_FRAMES]
        if len(frames) < 2:
            continue
        frames.sort(key=lambda path: (natural(path.name), path.name))
        clean = next((path for path in paths if path.stem.casefold() == _CLEAN), None)
        name = Path(parent).relative_to(root).as_posix()
        yield FrameScene(root.resolve().name if name == "." else name, tuple(frames), clean)


def _refuse_sizes(frames: Sequence[Path], leave_unreadable: bool) -> None:
    """Refuse frames of several sizes before a training starts; only headers are read."""
    sizes = {}
    for path in frames:
        try:
            with images.open_file(path) as file:
                sizes[images.size(file, path)] = path
        except ImageError as error:
            if leave_unreadable:
                continue
            raise DatasetError(f"{path}: cannot be read as a picture; remove it") from error
    if len(sizes) > 1:
        ((one, path), (two, other)) = list(sizes.items())[:2]
        raise DatasetError(
            f"{path} and {other} differ in size: {one[0]}x{one[1]} and {two[0]}x{two[1]}; "
            "frames of a scene show the same place"
        )


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.casefold() in SUFFIXES


_STRIP = 64
"""Number of rows averaged at a time, since all frames of a scene are in memory already."""


@dataclass(frozen=True, slots=True)
class LeaveOneOutAverage:
    """The averages of a scene's frames with any one of them left out.

    Attributes:
        count: number of frames of the scene, two or more.
        by: ``mean`` or ``median``.
        kept: for the mean, the sum of all frames, [H,W,3]; for the median, the two or three
            values of each channel around the middle of all frames in ascending order, as two or
            three arrays uint8 [H,W,3].
    """

    count: int
    by: str
    kept: tuple[NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32], ...]

    @classmethod
    def of(cls, frames: Iterable[RGB8], *, by: str) -> LeaveOneOutAverage:
        """Prepare the averages of a scene's frames, uint8 [H,W,3] of one size.

        The mean takes one frame at a time, while the median holds all of them in memory.
        """
        return _median(list(frames)) if by == "median" else _mean(frames)

    @property
    def nbytes(self) -> int:
        """Return the size in bytes of what is kept."""
        return sum(each.nbytes for each in self.kept)

    def without(self, frame: RGB8) -> RGB8:
        """Return the average of all frames but ``frame``, which is one of them: uint8 [H,W,3].

        It equals what :func:`average_frames` gives for the other frames.
        """
        if self.by == "mean":
            (total,) = self.kept
            others = self.count - 1
            return ((total - frame + others // 2) // others).astype(np.uint8)
        # The others' value at place n is that of all frames at place n, or the next one where the
        # frame's own value comes before it.
        middle = [
            np.where(frame <= low, high, low)
            for low, high in zip(self.kept, self.kept[1:], strict=False)
        ]
        return ((middle[0].astype(np.uint16) + middle[-1] + 1) // 2).astype(np.uint8)


def _mean(frames: Iterable[RGB8]) -> LeaveOneOutAverage:
    total: NDArray[np.uint32] | None = None
    count = 0
    for frame in frames:
        total = frame.astype(np.uint32) if total is None else total + frame
        count += 1
    if total is None:
        raise ValueError("no frames to average")
    # uint16 takes half the memory, and the rounding in `without` does not overflow it.
    small = count * 255 < 1 << 16
    return LeaveOneOutAverage(count, "mean", (total.astype(np.uint16) if small else total,))


def _median(frames: list[RGB8]) -> LeaveOneOutAverage:
    count = len(frames)
    # An odd number of other frames has one middle value, an even number has two.
    first = (count - 2) // 2
    places = range(first, first + 2 + count % 2)
    kept = tuple(np.empty_like(frames[0]) for _ in places)
    for top in range(0, len(frames[0]), _STRIP):
        rows = np.stack([frame[top : top + _STRIP] for frame in frames])
        rows.partition(list(places), axis=0)
        for each, place in zip(kept, places, strict=True):
            each[top : top + _STRIP] = rows[place]
    return LeaveOneOutAverage(count, "median", kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageRequest:
    """A request to average the frames of scenes.

    Attributes:
        scenes: folder of scenes, see :func:`find_scenes`.
        out: folder to write to.
        by: ``mean`` or ``median``, taken of each channel of each pixel.
        frames: number of frames of each scene to average, the first ones; None for all.
        pairs: write training pairs instead, each of a frame and the average of other frames.
        overwrite: replace the files of an earlier call.
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
    """The result of averaging scenes.

    Attributes:
        out: folder that was written to.
        scenes: number of scenes that were averaged.
        pictures: number of averages written; with ``pairs`` one for each frame.
        frames: smallest and largest number of frames in an average.
        failures: scenes left out because a frame cannot be read or differs in size, each with the
            reason.
    """

    out: Path
    scenes: int
    pictures: int
    frames: tuple[int, int]
    failures: tuple[tuple[str, str], ...]

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "output": str(self.out),
            "scenes": self.scenes,
            "pictures": self.pictures,
            "frames": list(self.frames),
            "failures": [{"scene": name, "reason": why} for name, why in self.failures],
        }


def average_scenes(
    request: AverageRequest, on_scene: Callable[[int, int], None] | None = None
) -> AverageResult:
    """Average the frames of every scene.

    The averages are written to ``average/SCENE.png``. For scenes with a clean picture,
    ``clean/SCENE.png`` and ``rainy/SCENE.png``, the first frame, are written too, so that
    ``rainkit score OUT/average OUT/clean`` scores the averages. With ``pairs``,
    ``input/SCENE_FRAME.png`` and ``target/SCENE_FRAME.png`` are written instead, for
    ``rainkit train --pairs OUT``; a frame is never part of its own target.

    Args:
        request: the scenes and how they are averaged.
        on_scene: called after each scene with the number of scenes done and of all scenes.

    Raises:
        UsageError: the folder does not exist, a scene has fewer frames than asked for, or the
            output folder lies where scenes are searched for.
        DatasetError: the folder holds no scenes.
        ImageError: a result cannot be written, or exists already.
    """
    found = find_scenes(request.scenes, check=False)
    _refuse_inside(request)
    counts = [_count(scene, request) for scene in found]
    names = _names(found, pairs=request.pairs)
    if not request.overwrite:
        _refuse_existing(request, found, names)
    failures: list[tuple[str, str]] = []
    pictures = 0
    for done, (scene, own, count) in enumerate(zip(found, names, counts, strict=True), 1):
        try:
            frames, clean = _read(scene)
        except (DatasetError, ImageError) as error:
            failures.append((scene.name, str(error)))
        else:
            made = (
                _pairs(own, frames, count, request.by)
                if request.pairs
                else _still(own[0], frames[:count], clean, request.by)
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


def average_frames(frames: Sequence[images.Pixels], by: str) -> images.Pixels:
    """Return the mean or the median of frames, rounded, in the dtype of the deepest one.

    Args:
        frames: one or more frames of one size, uint8 or uint16 [H,W,3].
        by: ``mean`` or ``median``.
    """
    if len({frame.dtype for frame in frames}) > 1:
        # 65535 = 255 * 257, so that white stays white.
        frames = [f.astype(np.uint16) * 257 if f.dtype == np.uint8 else f for f in frames]
    first = frames[0]
    merged: NDArray[Any] = np.empty_like(first)
    for top in range(0, first.shape[0], _STRIP):
        rows = np.stack([frame[top : top + _STRIP] for frame in frames])
        middle = np.median(rows, axis=0) if by == "median" else rows.mean(axis=0)
        merged[top : top + _STRIP] = np.floor(middle + 0.5)
    return merged


def _refuse_inside(request: AverageRequest) -> None:
    """Refuse an output folder whose averages would be frames of a scene the next time."""
    for home in _homes(request.scenes):
        if request.out.resolve().is_relative_to(home.resolve()):
            raise UsageError(
                f"--output {request.out}: lies in {home}, which is searched for scenes; name a"
                " folder outside of it"
            )


def _refuse_existing(
    request: AverageRequest, scenes: Sequence[FrameScene], names: Sequence[Sequence[str]]
) -> None:
    """Refuse files of an earlier call before a part of them is written."""
    for scene, own in zip(scenes, names, strict=True):
        kinds = ["input", "target"] if request.pairs else ["average"]
        if scene.clean is not None and not request.pairs:
            kinds += ["clean", "rainy"]
        for place in (request.out / kind / f"{name}.png" for name in own for kind in kinds):
            if place.exists():
                raise ImageError(f"{place}: exists; pass --overwrite, or write somewhere else")


def _read(scene: FrameScene) -> tuple[list[images.Pixels], images.Pixels | None]:
    """Return the frames of a scene and its clean picture, if there is one."""
    _refuse_sizes(scene.frames, leave_unreadable=False)
    clean = None if scene.clean is None else images.read(scene.clean).rgb
    return [images.read(path).rgb for path in scene.frames], clean


def _still(
    name: str, frames: list[images.Pixels], clean: images.Pixels | None, by: str
) -> dict[str, images.Pixels]:
    made = {f"average/{name}": average_frames(frames, by)}
    if clean is not None:
        made |= {f"clean/{name}": clean, f"rainy/{name}": frames[0]}
    return made


def _pairs(
    names: Sequence[str], frames: list[images.Pixels], count: int, by: str
) -> dict[str, images.Pixels]:
    made = {}
    for place, name in enumerate(names):
        others = [frames[(place + step) % len(frames)] for step in range(1, count + 1)]
        made[f"input/{name}"] = frames[place]
        made[f"target/{name}"] = average_frames(others, by)
    return made


def _count(scene: FrameScene, request: AverageRequest) -> int:
    """Return the number of frames in an average of this scene."""
    there = len(scene.frames) - request.pairs
    if request.frames is not None and request.frames > there:
        others = "other frames" if request.pairs else "frames"
        raise UsageError(
            f"--frames {request.frames}: {scene.name} has {there} {others}; ask for fewer"
        )
    return request.frames or there


def _names(scenes: Sequence[FrameScene], *, pairs: bool) -> list[list[str]]:
    """Return the names of the files of each scene, all different: one, or one for each frame.

    A scene goes by the last part of its name, or by all of it if that is ambiguous. Names that are
    still equal, on systems that ignore case too, are numbered.
    """
    names = [scene.name.rsplit("/", 1)[-1] for scene in scenes]
    if len({name.casefold() for name in names}) < len(names):
        names = [scene.name for scene in scenes]
    wanted = [
        [f"{portable(name)}_{path.stem}" for path in scene.frames] if pairs else [portable(name)]
        for scene, name in zip(scenes, names, strict=True)
    ]
    # A number must not make the name of another file.
    taken = {name.casefold() for own in wanted for name in own}
    used: set[str] = set()
    for own in wanted:
        for place, name in enumerate(own):
            number = 1
            while own[place].casefold() in (used if number == 1 else used | taken):
                number += 1
                own[place] = f"{name}_{number}"
            used.add(own[place].casefold())
    return wanted
