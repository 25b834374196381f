"""Averages of all frames of a static scene but one, without merging anew for each frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AllButOne"]

Picture = NDArray[np.uint8]
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
    def of(cls, frames: Iterable[Picture], *, by: str) -> AllButOne:
        """Take in the frames of a scene, uint8 [H,W,3] of one size; the median, all at once."""
        return _median(list(frames)) if by == "median" else _mean(frames)

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        return sum(each.nbytes for each in self.kept)

    def without(self, frame: Picture) -> Picture:
        """The average of all frames but ``frame``, which is one of them: uint8 [H,W,3].

        The same levels as :func:`rainkit.datasets.averages.merge` of the others gives.
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


def _mean(frames: Iterable[Picture]) -> AllButOne:
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


def _median(frames: list[Picture]) -> AllButOne:
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
