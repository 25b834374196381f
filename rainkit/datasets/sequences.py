"""Scenes of frames: many rainy pictures of one place from one standpoint.

Two frames of a scene differ in their rain alone: a network that must tell one from the other's
scene learns without any clean picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

import numpy as np
from PIL import Image

from rainkit.errors import DatasetError, UsageError
from rainkit.files import natural
from rainkit.images import SUFFIXES

__all__ = ["FrameScene", "count_pairs", "find_scenes", "pair_of_frames"]

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

    Reads what ``rainkit synth --sequence`` and ``--from-video`` write (``seq/<scene>/0001.png``,
    perhaps in a folder for each split, ``clean.png`` beside the frames), and any folder of folders
    of pictures. The folder of a single scene will do too.

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
