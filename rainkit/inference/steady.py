"""Less flicker in derained videos, and a measure of it.

A network that sees each frame alone leaves a little of a streak here and takes a little of a wall
there, differently in every frame, so that what stands still flickers. The filter of this module
averages each pixel with the same pixel of the frames around it, where these show the same thing.

A neighbouring frame counts at a place to the degree to which one of two differences to it is small
in the surroundings: that of the rainy frames, since where the input is the same, the result has to
be; or that of the derained frames, since then little can go wrong. Where something moves, both are
large, and the frame keeps its own pixels: nothing is taken from a place where something else was.
The filter does not follow a camera that moves; it does next to nothing there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.images import LUMA_WEIGHTS, Pixels

__all__ = ["REACH", "STILL", "Flicker", "measure_flicker", "steadied"]

REACH = 3
"""Number of frames before and after a frame with which it is averaged."""

_ALIKE = 4.0
"""Mean difference in grey levels up to which a neighbour counts whole; from twice that on it does
not count. It bounds what a thing that moves can leave behind."""

_WIDE, _NARROW = 7, 3
"""Sides in pixels of the windows over which differences are averaged. The narrow one, which may
differ by more, protects what is only a few pixels wide."""

_NARROW_SHARE = 0.4
"""Weight of the difference in the narrow window against that in the wide one."""

STILL = 1.5
"""Change in grey levels of the blurred input below which a pixel counts as still."""

_BLUR = 4.0
"""Standard deviation in pixels of this blur, in which streaks vanish."""

T = TypeVar("T")


@dataclass(slots=True)
class _Held(Generic[T]):
    """A frame in the window, with the weights between it and the frames that follow it."""

    rainy: Pixels
    clean: Pixels
    item: T
    sound: bool
    weights: list[NDArray[np.float32] | None] = field(default_factory=list)


def steadied(frames: Iterable[tuple[Pixels, Pixels, T, bool]]) -> Iterator[tuple[Pixels, T]]:
    """Yield derained frames with less flicker.

    Each result depends on :data:`REACH` frames before and after it alone, so that it does not
    matter at which frame a video is taken up again.

    Args:
        frames: of each frame in order the rainy and the derained picture, [H,W,3] of uint8 or
            uint16; anything that goes with it; and whether it is sound: a damaged one goes through
            as it is and is averaged with no other.

    Yields:
        The picture of each frame, and what went with it.
    """
    window: deque[_Held[T]] = deque()
    place = 0  # in the window, of the frame that comes out next
    for rainy, clean, item, sound in frames:
        new = _Held(rainy, clean, item, sound)
        for old in list(window)[-REACH:]:
            old.weights.append(_weights(old, new))
        window.append(new)
        if len(window) - place > REACH:
            yield _averaged(window, place), window[place].item
            place += 1
        if place > REACH:
            window.popleft()
            place -= 1
    while place < len(window):
        yield _averaged(window, place), window[place].item
        place += 1


def _weights(one: _Held[T], other: _Held[T]) -> NDArray[np.float32] | None:
    """Return to what degree two frames show the same at each pixel, [H,W]; None for nowhere."""
    if not (one.sound and other.sound) or one.clean.shape != other.clean.shape:
        return None
    differences = [
        cv2.absdiff(a, b).max(axis=2)
        for a, b in ((one.rainy, other.rainy), (one.clean, other.clean))
    ]
    apart = np.minimum(*differences).astype(np.float32)
    if one.clean.dtype != np.uint8:
        apart /= 257
    wide = cv2.blur(apart, (_WIDE, _WIDE))
    narrow = cv2.blur(apart, (_NARROW, _NARROW)) * np.float32(_NARROW_SHARE)
    return np.asarray(np.clip(2 - np.maximum(wide, narrow) / _ALIKE, 0, 1), np.float32)


def _averaged(window: deque[_Held[T]], place: int) -> Pixels:
    """Return the picture of a frame, averaged with what is alike in those around it."""
    frame = window[place]
    total, sums = frame.clean.astype(np.float32), np.ones(frame.clean.shape[:2], np.float32)

    def add(weights: NDArray[np.float32] | None, picture: Pixels) -> None:
        if weights is not None:
            total[...] += weights[..., None] * picture
            sums[...] += weights

    for distance in range(1, min(REACH, place) + 1):
        before = window[place - distance]
        add(before.weights[distance - 1], before.clean)
    for distance, weights in enumerate(frame.weights, 1):
        add(weights, window[place + distance].clean)
    if sums.max() == 1:
        return frame.clean
    return np.asarray(np.rint(total / sums[..., None]), frame.clean.dtype)


@dataclass(frozen=True, slots=True)
class Flicker:
    """How much a video flickers where nothing moves.

    Attributes:
        mean: mean of half the absolute second difference in time of the luma, |Y(t-1) - 2 Y(t) +
            Y(t+1)| / 2, in grey levels, over the pixels that are still. Light that changes evenly
            counts nothing; a level that only one frame has counts whole.
        still: share of the pixels that are still: those whose rainy input, blurred until streaks
            vanish, changes by less than :data:`STILL` grey levels from frame to frame.
    """

    mean: float
    still: float


def measure_flicker(frames: Iterable[tuple[Pixels, Pixels]]) -> Flicker:
    """Measure the flicker of a video.

    Args:
        frames: of each frame in order the rainy picture, which tells where nothing moves, and the
            picture to measure; uint8 or uint16, [H,W,3]. At least three.

    Raises:
        ValueError: there are fewer than three frames, or no pixel is still.
    """
    blurred: deque[NDArray[np.float32]] = deque(maxlen=3)
    lumas: deque[NDArray[np.float32]] = deque(maxlen=3)
    total, still, pixels = 0.0, 0, 0
    for rainy, picture in frames:
        blurred.append(cv2.GaussianBlur(_luma(rainy), (0, 0), _BLUR))  # type: ignore[arg-type]
        lumas.append(_luma(picture))
        if len(lumas) < 3:
            continue
        changes = (np.abs(blurred[1] - blurred[0]), np.abs(blurred[2] - blurred[1]))
        mask = np.maximum(*changes) < STILL
        second = np.abs(lumas[0] - 2 * lumas[1] + lumas[2]) / 2
        total += float(second[mask].sum(dtype=np.float64))
        still += int(mask.sum())
        pixels += mask.size
    if not still:
        raise ValueError("a video of at least three frames in which something is still is needed")
    return Flicker(total / still, still / pixels)


def _luma(rgb: Pixels) -> NDArray[np.float32]:
    """Return the luma [H,W] in grey levels, 0 to 255."""
    plane = cv2.transform(rgb.astype(np.float32), LUMA_WEIGHTS)
    return np.asarray(plane if rgb.dtype == np.uint8 else plane / 257, np.float32)
