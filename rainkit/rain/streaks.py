"""Drawing of drops as streaks of optical thickness."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.rain.drops import Drops

__all__ = [
    "POSITION_STEPS",
    "THICKNESS_STEPS",
    "Blur",
    "Lines",
    "Samples",
    "blurs",
    "kernel",
    "lines",
    "samples",
    "thickness",
]

THICKNESS_STEPS = 2.0**20
"""Steps of an integer canvas per unit of thickness.

Sums of integers, unlike those of floats, do not depend on the order of their terms.
"""

POSITION_STEPS = 4096
"""Steps per px of a position across a streak."""

_THICKEST = 64.0  # most that one sample adds; more would be opaque too, and could overflow
_CHUNK = 65_536  # samples drawn at a time, so that temporaries stay in the processor's cache
_FEW_DROPS = 64  # up to this many drops, finding the part of the picture they reach saves time
_SHARPEST = 0.55  # px; the blur of the sharpest class, from which each next one is twice as wide

Ints = npt.NDArray[np.int64]
Whole = npt.NDArray[np.int32]
Singles = npt.NDArray[np.float32]


class Blur(NamedTuple):
    """The drops of one blur class: the blur's σ in px and the indices of the drops."""

    sigma: float
    chosen: npt.NDArray[np.intp]

    @property
    def radius(self) -> int:
        """Radius of the blur's kernel in px."""
        return math.ceil(3 * self.sigma)

    @property
    def pad(self) -> int:
        """Padding of the picture in px on each side: the kernel's radius and a guard column."""
        return self.radius + 1


@dataclass(frozen=True)
class Lines:
    """Lines that are walked one px at a time over a flat canvas, one array entry per line.

    ``drop`` is the index of the line's drop. ``offset`` is the minor coordinate of its first
    sample in steps of 1/POSITION_STEPS px, and ``slope`` the change of that per px. ``base`` is
    the address of the first row. A whole px adds ``mass`` and the first sample adds ``head``; the
    last one is covered to the share ``tail``. ``counts`` is the number of samples. The next sample
    is ``stride`` addresses away and the neighbouring pixel ``step``; ``last`` is the outermost
    minor coordinate.
    """

    drop: Ints
    offset: Whole
    slope: Whole
    base: Whole
    mass: Singles
    head: Singles
    tail: Singles
    counts: Whole
    stride: int
    step: int
    last: int

    def chunks(self, most: int) -> Iterator[Lines]:
        """Yield these lines in parts of about ``most`` samples each."""
        done = np.cumsum(self.counts)
        if not done.size:
            return
        if done[-1] <= most:
            yield self
            return
        cuts = np.searchsorted(done, np.arange(most, done[-1], most), side="right")
        for low, high in itertools.pairwise(np.unique([0, *cuts, len(done)]).tolist()):
            of = slice(low, high)
            yield replace(
                self,
                drop=self.drop[of],
                offset=self.offset[of],
                slope=self.slope[of],
                base=self.base[of],
                mass=self.mass[of],
                head=self.head[of],
                tail=self.tail[of],
                counts=self.counts[of],
            )


class Samples(NamedTuple):
    """Additions of a chunk of streaks to a flat canvas: ``left`` at ``at``, ``right`` one step on.

    ``at`` is int64; ``left`` and ``right`` are int32 in steps of 1/THICKNESS_STEPS.
    """

    at: Ints
    step: int
    left: Whole
    right: Whole


def thickness(
    drops: Drops, chosen: npt.NDArray[np.intp], width: int, height: int
) -> npt.NDArray[np.float32]:
    """Return the optical thickness of the chosen drops' streaks, in steps of 1/THICKNESS_STEPS.

    The result is float32 [height, width]. Each blur class has a canvas of its own, on which sharp
    lines are drawn and which is then blurred once.
    """
    total = np.zeros((height, width), np.float32)
    for blur in blurs(drops, chosen):
        view = _view(drops, blur, width, height)
        rows, columns, pad = view.bottom - view.top, view.right - view.left, blur.pad
        if rows <= 0 or columns <= 0:
            continue
        seen = drops
        if view.left or view.top:
            seen = replace(drops, x=drops.x - view.left, y=drops.y - view.top)
        canvas = np.zeros((rows + 2 * pad, columns + 2 * pad), np.int32)
        flat = canvas.reshape(-1)
        for part in samples(seen, blur, *canvas.shape):
            np.add.at(flat, part.at, part.left)
            part.at[...] += part.step
            np.add.at(flat, part.at, part.right)
        # float64 holds every sum of whole numbers times weights of few bits exactly, so that it
        # does not matter in which order or with which instructions a processor adds them up.
        weights = kernel(blur).astype(np.float64)
        blurred = cv2.sepFilter2D(canvas.astype(np.float64), cv2.CV_64F, weights, weights)
        layer = blurred[pad : pad + rows, pad : pad + columns].astype(np.float32)
        total[view.top : view.bottom, view.left : view.right] += layer
    return total


class _View(NamedTuple):
    """A rectangle in the picture, in whole px."""

    left: int
    top: int
    right: int
    bottom: int


def _view(drops: Drops, blur: Blur, width: int, height: int) -> _View:
    """Return the part of the picture that a blur class reaches, or all of it for many drops.

    Most classes hold a handful of near drops, and nearly all of their cost is the blurring.
    """
    of = blur.chosen
    if len(of) > _FEW_DROPS:
        return _View(0, 0, width, height)
    half_x, half_y = np.abs(drops.dx[of]) / 2 + blur.pad, np.abs(drops.dy[of]) / 2 + blur.pad
    return _View(
        left=max(0, math.floor((drops.x[of] - half_x).min())),
        top=max(0, math.floor((drops.y[of] - half_y).min())),
        right=min(width, math.ceil((drops.x[of] + half_x).max())),
        bottom=min(height, math.ceil((drops.y[of] + half_y).max())),
    )


def blurs(drops: Drops, chosen: npt.NDArray[np.intp]) -> Iterator[Blur]:
    """Yield the chosen drops grouped by the width of their blur."""
    # The thresholds lie midway between the classes on a log scale.
    most = float(drops.sigma[chosen].max(initial=_SHARPEST))
    count = 1 + max(0, math.ceil(math.log2(most / _SHARPEST)))
    bounds = _SHARPEST * 2.0 ** (np.arange(count - 1) + 0.5)
    classes = np.searchsorted(bounds, drops.sigma[chosen])
    for level in range(count):
        members = chosen[classes == level]
        if members.size:
            yield Blur(_SHARPEST * 2.0**level, members)


def kernel(blur: Blur) -> Singles:
    """Return the blur's weights along one axis, [2 radius + 1].

    They are multiples of 1/4096 and add up to 1, and must not be changed.
    """
    return _kernel(blur.sigma, blur.radius)


@functools.cache
def _kernel(sigma: float, radius: int) -> Singles:
    reach = np.arange(-radius, radius + 1) / sigma
    bell = np.exp(-np.square(reach) / 2)
    weights = np.rint(bell / bell.sum() * 4096)
    weights[radius] += 4096 - weights.sum()
    return np.asarray(weights / 4096, np.float32)


def samples(drops: Drops, blur: Blur, rows: int, columns: int) -> Iterator[Samples]:
    """Yield, in chunks, what the streaks of one blur class add to a padded canvas [rows, columns].

    A streak is walked one px at a time along the axis in which it is longer. It is spread over the
    two nearest pixels across that axis, and its coverage along the axis is exact.
    """
    for walked in lines(drops, blur, rows, columns):
        for part in walked.chunks(_CHUNK):
            yield _spread(part)


def lines(drops: Drops, blur: Blur, rows: int, columns: int) -> Iterator[Lines]:
    """Yield the streaks of one blur class as lines, clipped to a padded canvas [rows, columns].

    Streaks that are longer along y come first, those that are longer along x second.
    """
    flat = np.abs(drops.dx[blur.chosen]) > np.abs(drops.dy[blur.chosen])
    for swapped in (False, True):
        chosen = blur.chosen[flat] if swapped else blur.chosen[~flat]
        if chosen.size:
            yield _lines(drops, chosen, blur.pad, rows, columns, swapped=swapped)


def _lines(
    drops: Drops, chosen: Ints, pad: int, rows: int, columns: int, *, swapped: bool
) -> Lines:
    major, minor = drops.y[chosen] + pad, drops.x[chosen] + pad
    along, across = drops.dy[chosen], drops.dx[chosen]
    most, wide = rows, columns
    stride, step = columns, 1
    if swapped:
        major, minor, along, across = minor, major, across, along
        most, wide, stride, step = wide, most, step, stride
    half = np.abs(along) / 2
    slope = across / np.where(along == 0, 1.0, along)
    start, end = np.maximum(major - half, 0.0), np.minimum(major + half, most)
    seen = end > start
    start, end, slope = start[seen], end[seen], slope[seen]
    mass = drops.mass[chosen[seen]] * np.sqrt(1 + slope**2)
    first = np.floor(start)
    counts = np.ceil(end) - first
    # Pixel centres lie at halves, so that an index is the coordinate - 0.5 across the line, and a
    # sample's coordinate is its index + 0.5 along it.
    offset = minor[seen] + slope * (first + 0.5 - major[seen]) - 0.5
    head = np.minimum(first + 1, end) - start
    tail = np.where(counts > 1, end - (first + counts - 1), 1.0)

    mass = np.minimum(mass, _THICKEST) * THICKNESS_STEPS
    return Lines(
        drop=chosen[seen],
        offset=np.rint(offset * POSITION_STEPS).astype(np.int32),
        slope=np.rint(slope * POSITION_STEPS).astype(np.int32),
        base=first.astype(np.int32) * stride,
        mass=mass.astype(np.float32),
        head=(mass * head).astype(np.float32),
        tail=tail.astype(np.float32),
        counts=counts.astype(np.int32),
        stride=stride,
        step=step,
        last=wide - 2,
    )


def _spread(lines: Lines) -> Samples:
    counts, stride, step = lines.counts, lines.stride, lines.step
    ends = np.cumsum(counts, dtype=np.int32)
    starts = ends - counts
    index = np.arange(ends[-1], dtype=np.int32)
    # Sample k of a line has the index start + k. Products may wrap around; their sums do not.
    across = np.repeat(lines.slope, counts)
    across *= index
    across += np.repeat(lines.offset - lines.slope * starts, counts)
    # Samples outside the canvas are added to its outermost columns, which the padding for the blur
    # keeps out of the view.
    np.clip(across, 0, lines.last * POSITION_STEPS, out=across)
    mass = np.repeat(lines.mass, counts)
    mass[starts] = lines.head
    mass[ends - 1] *= lines.tail
    right = (across & (POSITION_STEPS - 1)).astype(np.float32)
    right *= mass
    right *= np.float32(1 / POSITION_STEPS)
    whole, part = mass.astype(np.int32), right.astype(np.int32)
    whole -= part
    index *= stride
    index += np.repeat(lines.base - starts * stride, counts)
    across >>= POSITION_STEPS.bit_length() - 1
    if step != 1:
        across *= step
    index += across
    return Samples(index.astype(np.int64), step, whole, part)
