"""Traces: what a network takes off that is too faint, or too wide, to be rain.

A network that takes rain off photographs also changes those without rain a little: it shifts the
colour of wide areas by a level or two, and dims texture here and there. Rain is different: it adds
light, in streaks, and where it falls there is much of it. So the change is split:

- what is white over an area wider than streaks, such as an overcast sky, was white before: all of
  what was taken off it is given back;

- where most pixels are as good as dry, the local mean of what was taken off them is a shift of
  colour, and is given back;
- what is then fainter than a threshold is given back, too. The threshold is the lower, the more
  of the area around holds rain: where rain covers everything it is a fraction of a level, in a
  dry picture up to 16.

``docs/benchmarks/dry.md`` has what this is worth.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.images import LUMA_WEIGHTS

__all__ = ["spare_traces"]

Plane: TypeAlias = NDArray[np.float32]

_DRY = 4.0
"""Grey levels up to which a pixel counts as dry; at twice as many it does not count at all."""

_DRY_SHARES = 0.3, 0.7
"""Shares of dry pixels around a place between which the shift of colour is given back."""

_FULL = 4.0
"""Grey levels from which on all rain counts alike, so that much faint rain counts more than one
bright streak."""

_AMOUNT = 8.0
"""Product of the threshold and of the mean square around of what counts, in cubed grey levels."""

_HIGHEST = 16.0
"""Highest threshold in grey levels; below a half of it all is given back."""

_BLOCK = 8
"""Side in pixels of the blocks that means are taken over; small pictures have smaller ones."""

_SHIFT_SIDE, _RAIN_SIDE = 61, 255
"""Sides in pixels of the squares that a shift, and the amount of rain, is measured over."""

_WHITE = 246.0, 252.0
"""Grey levels between which a pixel is the more of a white area, the brighter it is."""

_WHITE_BLOCKS = 3
"""Side in blocks of the squares that a white area is made of, at least."""

_BAND = 256
"""Rows that are handled at a time."""

_REACH = 6
"""Rows that the threshold looks beyond a row: the radii of its blur and of its dilation."""


def spare_traces(rainy: NDArray[Any], clean: NDArray[Any]) -> None:
    """Give traces back to a derained picture, in place.

    Args:
        rainy: the rainy picture, [H,W,3] of uint8, uint16 or float32 in [0,1].
        clean: the derained picture, with the same shape and type.
    """
    height, width = rainy.shape[:2]
    shift, threshold, white = _maps(rainy, clean)
    before: NDArray[Any] | None = None
    for top in range(0, height, _BAND):
        stop = min(top + _BAND, height)
        low, high = max(0, top - _REACH), min(height, stop + _REACH)
        given = clean[low:high].copy()
        if before is not None:  # the rows above are changed already
            given[: top - low] = before
        before = clean[max(0, stop - _REACH) : stop].copy()
        rain = _levels(rainy[low:high]) - _levels(given)
        rain -= _enlarged(shift, low, high, (height, width))
        kept = _kept(rain, _enlarged(threshold, low, high, (height, width)))
        inner = slice(top - low, stop - low)
        levels = _levels(rainy[top:stop])
        of_white = _enlarged(white, top, stop, (height, width))
        kept = kept[inner] * (1 - of_white * _smooth_step(levels.min(axis=2), *_WHITE))
        clean[top:stop] = _stored(levels - rain[inner] * kept[..., None], clean.dtype)


def _maps(rainy: NDArray[Any], clean: NDArray[Any]) -> tuple[Plane, Plane, Plane]:
    """Return the shift of colour [h,w,3], the threshold [h,w] and white areas [h,w].

    All are in coarse pixels; the first two in levels, the third is 1 in and around white areas.
    """
    height, width = rainy.shape[:2]
    block = max(1, min(_BLOCK, min(height, width) // 8))
    size = -(-height // block), -(-width // block)
    # Dry pixels, what was taken off these (three channels), the squares of what counts as rain, and
    # white pixels.
    sums = np.empty((*size, 6), np.float32)
    rows = _BAND // block * block
    for top in range(0, height, rows):
        levels = _levels(rainy[top : top + rows])
        rain = levels - _levels(clean[top : top + rows])
        luma = _luma(rain)
        dry = np.clip(2 - np.abs(luma) / _DRY, 0, 1)
        white = levels.min(axis=2) >= sum(_WHITE) / 2
        counted = np.minimum(np.abs(luma), _FULL) ** 2
        layers = np.dstack([dry, rain * dry[..., None], counted, white])
        down, right = -rain.shape[0] % block, -rain.shape[1] % block
        if down or right:
            layers = cv2.copyMakeBorder(layers, 0, down, 0, right, cv2.BORDER_REPLICATE)
        shape = layers.shape[0] // block, block, layers.shape[1] // block, block, 6
        means = layers.reshape(shape).mean(axis=(1, 3))
        sums[top // block : top // block + len(means)] = means
    near = _blurred(sums[..., :4], _SHIFT_SIDE / block)
    dry_share = near[..., :1]
    given_back = _smooth_step(dry_share, *_DRY_SHARES)
    shift = np.asarray(near[..., 1:] / np.maximum(dry_share, 1e-3) * given_back, np.float32)
    # Rain over a bright sky is faint, but it is rain if there is much of it elsewhere.
    counted = np.maximum(sums[..., 4:5] - _luma(shift)[..., None] ** 2, 0)  # a shift is no rain
    amount = np.maximum(_blurred(counted, _RAIN_SIDE / block), counted.mean())
    threshold = np.minimum(_AMOUNT / np.maximum(amount, 1e-6), _HIGHEST)
    areas = cv2.morphologyEx(
        (sums[..., 5] == 1).astype(np.uint8), cv2.MORPH_OPEN, np.ones((_WHITE_BLOCKS,) * 2)
    )
    # Blocks at the rim are white in part; which of their pixels are, is seen at full size.
    areas = cv2.dilate(areas, np.ones((3, 3)))
    return (
        shift,
        np.asarray(threshold.squeeze(2), np.float32),
        np.asarray(areas, np.float32),
    )


def _kept(rain: Plane, threshold: Plane) -> Plane:
    """Return the share of each pixel's rain that is taken off, [H,W]."""
    light = np.maximum(_luma(rain), 0)
    # Flanks of a streak go with its middle.
    spread = cv2.dilate(cv2.GaussianBlur(light, (0, 0), 1.0), np.ones((3, 3), np.uint8))
    return _smooth_step(np.asarray(spread, np.float32), threshold / 2, threshold)


def _smooth_step(values: Plane, low: Any, high: Any) -> Plane:
    """Return 0 below a bound and 1 above another, and a smooth rise between them."""
    share = np.clip((values - low) / np.maximum(high - low, 1e-6), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _luma(rgb: Plane) -> Plane:
    return np.asarray(cv2.transform(rgb, LUMA_WEIGHTS), np.float32)


def _blurred(planes: Plane, side: float) -> Plane:
    """Return means over squares whose side is rounded to an odd number of coarse pixels."""
    odd = 2 * round((side - 1) / 2) + 1
    blurred = cv2.blur(planes, (odd, odd), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32).reshape(planes.shape)


def _enlarged(plane: Plane, low: int, high: int, size: tuple[int, int]) -> Plane:
    """Return rows of a coarse plane, enlarged to the size of the picture."""
    height, width = size
    # Centres of coarse pixels lie at the centres of their blocks.
    scale = np.float32(plane.shape[0] / height), np.float32(plane.shape[1] / width)
    rows = (np.arange(low, high, dtype=np.float32) + 0.5) * scale[0] - 0.5
    columns = (np.arange(width, dtype=np.float32) + 0.5) * scale[1] - 0.5
    across, along = np.meshgrid(columns, rows)
    wide = cv2.remap(plane, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(wide, np.float32)


def _levels(rgb: NDArray[Any]) -> Plane:
    """Return a picture in grey levels (0 to 255)."""
    scale = {"uint8": 1.0, "uint16": 255 / 65535}.get(rgb.dtype.name, 255.0)
    return np.asarray(np.multiply(rgb, np.float32(scale), dtype=np.float32), np.float32)


def _stored(levels: Plane, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return grey levels in a picture's own type."""
    if dtype == np.uint8:
        return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)
    if dtype == np.uint16:
        return np.asarray(np.clip(np.rint(levels * (65535 / 255)), 0, 65535), np.uint16)
    return np.asarray(levels / 255, dtype)
