"""Averages of the frames of static scenes: deraining by looking long enough.

Rain moves and the scene does not. Over enough frames the mean thins the streaks out, and the median
leaves none where a pixel is dry most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.datasets.layouts import portable
from rainkit.datasets.sequences import FrameScene, find_scenes
from rainkit.errors import ImageError, UsageError

__all__ = ["AverageRequest", "AverageResult", "average", "merge"]

_STRIP = 64
"""Rows merged at a time: a median of float64 needs room."""


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
