"""Drawing drops as streaks of optical thickness."""

from __future__ import annotations

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
    "FIXED",
    "PARTS",
    "Blur",
    "Lines",
    "Samples",
    "blurs",
    "kernel",
    "lines",
    "samples",
    "thickness",
]

FIXED = 2.0**20
"""Steps of an integer canvas per unit of thickness: integer sums do not depend on the order of
their terms, float sums do."""

PARTS = 4096
"""Steps of a position across a streak per px."""

_MOST = 64.0  # thickness a single sample may add; more is opaque anyway and could overflow
_CHUNK = 65_536  # samples drawn at a time, so that temporaries stay in the processor's cache
_FEW = 64  # drops, below which it pays to look where they are
_SHARPEST = 0.55  # px; blur widths are grouped into classes a factor 2 apart from here

Ints = npt.NDArray[np.int64]
Whole = npt.NDArray[np.int32]
Singles = npt.NDArray[np.float32]


class Blur(NamedTuple):
    """Drops of one blur class: the blur's σ in px and the drops' indices."""

    sigma: float
    chosen: npt.NDArray[np.intp]

    @property
    def radius(self) -> int:
        """Reach of the blur's kernel in px."""
        return math.ceil(3 * self.sigma)

    @property
    def pad(self) -> int:
        """Px to add around the picture on each side: the kernel's reach and a guard column."""
        return self.radius + 1


@dataclass(frozen=True)
class Lines:
    """Lines to walk one px at a time over a flat canvas, one entry each.

    ``drop`` is the index of its drop, ``offset`` the minor coordinate of the first sample in steps
    of 1/PARTS px and ``slope`` its change per px, ``base`` the address of the first row, ``mass``
    what a whole px adds, ``head`` what the first sample adds, ``tail`` the share of the last one
    that is covered, ``counts`` the number of samples. From a sample to the next is ``stride``
    addresses, to the pixel beside it ``step``; ``last`` is the outermost minor coordinate.
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
        """Runs of these lines with about ``most`` samples each."""
        done = np.cumsum(self.counts)
        if not done.size:
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
    """What a chunk of streaks adds to a flat canvas: ``left`` at ``at``, ``right`` a step on.

    ``at`` int64, ``left`` and ``right`` int32 in steps of 1/FIXED.
    """

    at: Ints
    step: int
    left: Whole
    right: Whole


def thickness(
    drops: Drops, chosen: npt.NDArray[np.intp], width: int, height: int
) -> npt.NDArray[np.float32]:
    """Optical thickness of the chosen drops' streaks, float32 [height, width], in steps of 1/FIXED.

    Each blur class has a canvas of its own, drawn as sharp lines and blurred once.
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
        # Whole numbers times weights of few bits: float64 holds every sum exactly, so that it does
        # not matter in which order, or with which instructions, a processor adds them up.
        weights = kernel(blur).astype(np.float64)
        blurred = cv2.sepFilter2D(canvas.astype(np.float64), cv2.CV_64F, weights, weights)
        layer = blurred[pad : pad + rows, pad : pad + columns].astype(np.float32)
        total[view.top : view.bottom, view.left : view.right] += layer
    return total


class _View(NamedTuple):
    """A part of the picture, in whole px."""

    left: int
    top: int
    right: int
    bottom: int


def _view(drops: Drops, blur: Blur, width: int, height: int) -> _View:
    """The part of the picture that a blur class can reach; all of it when it has many drops.

    Most classes hold a handful of near drops, and blurring is what they cost.
    """
    of = blur.chosen
    if len(of) > _FEW:
        return _View(0, 0, width, height)
    half_x, half_y = np.abs(drops.dx[of]) / 2 + blur.pad, np.abs(drops.dy[of]) / 2 + blur.pad
    return _View(
        left=max(0, math.floor((drops.x[of] - half_x).min())),
        top=max(0, math.floor((drops.y[of] - half_y).min())),
        right=min(width, math.ceil((drops.x[of] + half_x).max())),
        bottom=min(height, math.ceil((drops.y[of] + half_y).max())),
    )


def blurs(drops: Drops, chosen: npt.NDArray[np.intp]) -> Iterator[Blur]:
    """Group the chosen drops by blur width."""
    # Thresholds lie midway between classes on a log scale.
    most = float(drops.sigma[chosen].max(initial=_SHARPEST))
    count = 1 + max(0, math.ceil(math.log2(most / _SHARPEST)))
    bounds = _SHARPEST * 2.0 ** (np.arange(count - 1) + 0.5)
    classes = np.searchsorted(bounds, drops.sigma[chosen])
    for level in range(count):
        members = chosen[classes == level]
        if members.size:
            yield Blur(_SHARPEST * 2.0**level, members)


def kernel(blur: Blur) -> Singles:
    """The blur's weights along one axis, multiples of 1/4096 that add up to 1, [2 radius + 1]."""
    reach = np.arange(-blur.radius, blur.radius + 1) / blur.sigma
    bell = np.exp(-np.square(reach) / 2)
    weights = np.rint(bell / bell.sum() * 4096)
    weights[blur.radius] += 4096 - weights.sum()
    return np.asarray(weights / 4096, np.float32)


def samples(drops: Drops, blur: Blur, rows: int, columns: int) -> Iterator[Samples]:
    """Streaks of one blur class as sums into a padded canvas [rows, columns], in chunks.

    A streak is walked one px at a time along the axis in which it is longer, spread over the two
    nearest pixels across that axis, and exact in coverage along it.
    """
    for walked in lines(drops, blur, rows, columns):
        for part in walked.chunks(_CHUNK):
            yield _spread(part)


def lines(drops: Drops, blur: Blur, rows: int, columns: int) -> Iterator[Lines]:
    """Streaks of one blur class as lines on a padded canvas [rows, columns], and clipped to it.

    Those longer along y come first, those longer along x second.
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
    # Pixel centres lie at halves: -0.5 from a coordinate to an index across, +0.5 along.
    offset = minor[seen] + slope * (first + 0.5 - major[seen]) - 0.5
    head = np.minimum(first + 1, end) - start
    tail = np.where(counts > 1, end - (first + counts - 1), 1.0)

    mass = np.minimum(mass, _MOST) * FIXED
    return Lines(
        drop=chosen[seen],
        offset=np.rint(offset * PARTS).astype(np.int32),
        slope=np.rint(slope * PARTS).astype(np.int32),
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
    # Sample k of a line has index = its start + k; products may wrap around, their sums do not.
    across = np.repeat(lines.slope, counts)
    across *= index
    across += np.repeat(lines.offset - lines.slope * starts, counts)
    # What leaves the canvas lands in its outermost columns, which the blur keeps out of the view.
    np.clip(across, 0, lines.last * PARTS, out=across)
    mass = np.repeat(lines.mass, counts)
    mass[starts] = lines.head
    mass[ends - 1] *= lines.tail
    right = (across & (PARTS - 1)).astype(np.float32)
    right *= mass
    right *= np.float32(1 / PARTS)
    whole, part = mass.astype(np.int32), right.astype(np.int32)
    whole -= part
    index *= stride
    index += np.repeat(lines.base - starts * stride, counts)
    across >>= PARTS.bit_length() - 1
    if step != 1:
        across *= step
    index += across
    return Samples(index.astype(np.int64), step, whole, part)
