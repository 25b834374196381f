"""The work size: the resolution at which a network sees streaks as wide as those it knows.

Networks learn streaks of a few pixels. In a photograph of 12 megapixels a streak is ten or more
pixels wide, and a network that works at full size takes it for a part of the scene. So the picture
is shrunk, the rain layer is found there, and the enlarged rain layer is taken off the full picture,
which keeps its detail.

In a small picture that was sharpened, or shrunk much, drops can be finer than any that networks
know. Where a network finds such rain, it looks once more, at the picture enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.errors import UsageError
from rainkit.images import MAX_PIXELS, shrink
from rainkit.runtime_options import Magnification

__all__ = [
    "can_be_enlarged",
    "choose_longest_side",
    "enlarge",
    "enlarge_fine",
    "longest_seen",
    "resized",
    "stays_full",
    "streak_width",
]

Plane: TypeAlias = NDArray[np.float32]
FindRain: TypeAlias = Callable[[NDArray[Any]], Plane]
"""Takes a picture [H,W,3], returns the luma of the rain that a network takes off it, [H,W]."""

_KNOWN_WIDTH = 2.5
"""Width in pixels of the streaks that networks are trained on, as :func:`streak_width` measures it;
docs/benchmarks/work_size.md has the measurements."""

_THUMBNAIL = 640
"""Longest side in pixels of the first look; hardly larger pictures are left as they are."""

_FINEST, _WIDEST = 2.3, 4.0
"""Widths in pixels between which a look is trusted: shrinking blurs finer streaks to about 2, and
wider ones are measured too narrow, since the layer's local mean is taken off."""

_FINER = 1.5
"""Factor between a look and the next finer one, and between a picture and its enlargement."""

_TOO_FINE = 1.9
"""Width in pixels below which streaks are finer than those that networks know."""

_LITTLE, _MUCH = 0.4, 12.0
"""Grey levels between which the mean of the rain is where a finer look pays: below, it is detail of
the scene; above, streaks overlap, and what is measured is the width of the gaps between them."""

_LARGEST = 1200
"""Longest side in pixels of pictures that are enlarged, so that none takes long."""

_SMALLEST = 200
"""Shortest longest side in pixels; smaller pictures show too little."""

_NARROWEST = 64
"""Shortest side in pixels of pictures whose streaks can be measured."""

_SPARED = 0.8
"""Work sizes above this share of the full size are not worth a second resolution."""


def choose_longest_side(picture: NDArray[Any], find_rain: FindRain) -> int:
    """Return the longest side in pixels at which a picture's streaks have the width that is known.

    The network takes the rain off a thumbnail. The width of what it finds there says how much
    larger or smaller the picture has to be. If the streaks are too fine for the thumbnail, the part
    with most rain is looked at at a higher resolution; if they are too wide, a smaller thumbnail.

    Args:
        picture: [H,W,3] uint8 or uint16.
        find_rain: the network.

    Returns:
        At most the picture's own longest side, which stands for working at full size.
    """
    full = int(max(picture.shape[:2]))
    side, seen = _THUMBNAIL, picture
    while side < _SPARED * full:
        rain = find_rain(shrink(seen, round(side * max(seen.shape[:2]) / full)))
        width = streak_width(rain)
        wanted = round(side * _KNOWN_WIDTH / width)
        if width < _FINEST:
            side = round(_FINER * side)
            seen = _rainiest(seen, rain, round(_THUMBNAIL * full / side))
        elif width > _WIDEST and wanted >= _SMALLEST:
            side = wanted
        else:
            return max(wanted, _SMALLEST) if wanted <= _SPARED * full else full
    return full


def stays_full(longest: int) -> bool:
    """Return whether pictures of a longest side are left at full size without a look."""
    return _SPARED * longest <= _THUMBNAIL


def longest_seen(work_size: int | Magnification, longest: int) -> int:
    """Return the longest side in pixels at which a network sees pictures of a longest side.

    Args:
        work_size: as in :class:`rainkit.runtime_options.RuntimeOptions`, but for None.
        longest: their own longest side.
    """
    if isinstance(work_size, Magnification):
        return max(1, round(work_size.factor * longest))
    return min(work_size or longest, longest)


def can_be_enlarged(height: int, width: int) -> bool:
    """Return whether :func:`enlarge_fine` takes pictures of a size in pixels."""
    return _SMALLEST <= max(height, width) <= _LARGEST and min(height, width) >= _NARROWEST


def enlarge_fine(picture: NDArray[Any], rain: Plane) -> NDArray[Any] | None:
    """Return a picture enlarged by one and a half, if its rain is too fine for a network.

    Args:
        picture: [H,W,3] of any type, of a size that :func:`can_be_enlarged`.
        rain: the luma of what the network took off it, [H,W] in grey levels (0 to 255).

    Returns:
        The larger picture, bicubic, of the same type; None if this one suits the network.
    """
    if not _LITTLE <= float(rain.mean()) <= _MUCH or streak_width(rain) >= _TOO_FINE:
        return None
    return enlarge(picture, round(_FINER * max(picture.shape[:2])))


def enlarge(picture: NDArray[Any], longest: int) -> NDArray[Any]:
    """Return a picture [H,W,3] of any type at a larger longest side in pixels, bicubic.

    Raises:
        UsageError: it would have more pixels than any picture that is read.
    """
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    size = max(1, round(factor * width)), max(1, round(factor * height))
    if math.prod(size) > MAX_PIXELS:
        raise UsageError(
            f"enlarged to {size[0]}x{size[1]} it has more than {MAX_PIXELS} pixels: "
            "give a smaller --work-size"
        )
    larger = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    if np.issubdtype(picture.dtype, np.floating):
        np.clip(larger, 0, 1, out=larger)
    return np.asarray(larger)


def _rainiest(picture: NDArray[Any], rain: Plane, side: int) -> NDArray[Any]:
    """Return the part of a picture in which most rain was found.

    Args:
        picture: [H,W,3].
        rain: what was found in it, [h,w], at another resolution.
        side: longest side of the part in pixels.
    """
    height, width = (min(side, each) for each in picture.shape[:2])
    scale = rain.shape[0] / picture.shape[0]
    window = max(1, round(width * scale)), max(1, round(height * scale))
    sums = cv2.blur(rain, window, borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    top = min(max(0, round(row / scale - height / 2)), picture.shape[0] - height)
    left = min(max(0, round(column / scale - width / 2)), picture.shape[1] - width)
    return picture[top : top + height, left : left + width]


def streak_width(rain: Plane) -> float:
    """Return the width of the streaks in a rain layer [H,W] in pixels.

    It is the full width at half maximum of the layer's autocorrelation across the streaks: along
    that of four directions in which it falls off first. A layer without structure counts as a
    single pixel.
    """
    layer = rain - cv2.blur(rain, (31, 31), borderType=cv2.BORDER_REFLECT)
    power = float(np.mean(layer * layer))
    if power <= 0.0:
        return 1.0
    return min(
        _half_width(layer, step, power) * 2 * float(np.hypot(*step))
        for step in ((0, 1), (1, 0), (1, 1), (1, -1))
    )


def _half_width(layer: Plane, step: tuple[int, int], power: float) -> float:
    """Return after how many steps the autocorrelation has fallen to a half."""
    before = 1.0
    for count in range(1, min(16, *layer.shape)):
        down, right = step[0] * count, step[1] * count
        one = layer[down:, max(right, 0) : layer.shape[1] + min(right, 0)]
        other = layer[: layer.shape[0] - down, max(-right, 0) : layer.shape[1] - max(right, 0)]
        now = float(np.mean(one * other)) / power
        if now < 0.5:
            return count - 1 + (before - 0.5) / (before - now)
        before = now
    return float(min(16, *layer.shape))


def resized(layer: Plane, size: tuple[int, int]) -> Plane:
    """Return a layer [h,w] at another height and width, bicubic.

    Bicubic sampling undoes the enlargement of a picture; means over areas would blur it. A guided
    filter, which follows the edges of the full picture, restores less where the layer is enlarged:
    its local fits take texture for rain. ``examples/benchmarks/work_size.py`` compares both.
    """
    height, width = size
    return np.asarray(cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC))
