"""Drawing drops as streaks of optical thickness."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.rain.drops import Drops

__all__ = ["FIXED", "Blur", "Samples", "blurs", "kernel", "samples", "thickness"]

FIXED = 2.0**20
"""Steps of an integer canvas per unit of thickness: integer sums do not depend on the order of
their terms, float sums do."""

_MOST = 64.0  # thickness a single sample may add; more is opaque anyway and could overflow
_CHUNK = 32_768  # samples drawn at a time, so that temporaries stay in the processor's cache
_PARTS = 4096  # steps of a position across a streak per px
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
    total: npt.NDArray[np.float32] | None = None
    for blur in blurs(drops, chosen):
        pad, size = blur.pad, 2 * blur.radius + 1
        canvas = np.zeros((height + 2 * pad, width + 2 * pad), np.int32)
        flat = canvas.reshape(-1)
        for part in samples(drops, blur, *canvas.shape):
            np.add.at(flat, part.at, part.left)
            part.at[...] += part.step
            np.add.at(flat, part.at, part.right)
        blurred = cv2.GaussianBlur(canvas.astype(np.float32), (size, size), blur.sigma)
        layer = np.asarray(blurred[pad : pad + height, pad : pad + width], np.float32)
        total = layer if total is None else np.add(total, layer, out=total)
    return np.zeros((height, width), np.float32) if total is None else total


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
    """The blur's weights along one axis, float32 [2 radius + 1]."""
    return np.asarray(
        cv2.getGaussianKernel(2 * blur.radius + 1, blur.sigma, cv2.CV_32F), np.float32
    ).reshape(-1)


def samples(drops: Drops, blur: Blur, rows: int, columns: int) -> Iterator[Samples]:
    """Streaks of one blur class as sums into a padded canvas [rows, columns], in chunks.

    A streak is walked one px at a time along the axis in which it is longer, spread over the two
    nearest pixels across that axis, and exact in coverage along it.
    """
    flat = np.abs(drops.dx[blur.chosen]) > np.abs(drops.dy[blur.chosen])
    for swapped in (False, True):
        chosen = blur.chosen[flat] if swapped else blur.chosen[~flat]
        if chosen.size:
            yield from _walk(drops, chosen, blur.pad, rows, columns, swapped=swapped)


def _walk(
    drops: Drops, chosen: Ints, pad: int, rows: int, columns: int, *, swapped: bool
) -> Iterator[Samples]:
    """Lines along y, or along x when ``swapped``."""
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
    whole_counts = counts.astype(np.int32)
    rounded = _Lines(
        offset=np.rint(offset * _PARTS).astype(np.int32),
        slope=np.rint(slope * _PARTS).astype(np.int32),
        base=first.astype(np.int32) * stride,
        mass=mass.astype(np.float32),
        head=(mass * head).astype(np.float32),
        tail=tail.astype(np.float32),
        counts=whole_counts,
    )
    done = np.cumsum(whole_counts)
    if not done.size:
        return
    cuts = np.searchsorted(done, np.arange(_CHUNK, done[-1], _CHUNK), side="right")
    for low, high in itertools.pairwise(np.unique([0, *cuts, len(done)]).tolist()):
        yield _spread(rounded.part(slice(low, high)), stride, step, wide - 2)


class _Lines(NamedTuple):
    """Lines to walk, one entry each.

    ``offset`` is the minor coordinate of the first sample in steps of 1/_PARTS px and ``slope`` its
    change per px, ``base`` the address of the first row, ``mass`` what a whole px adds, ``head``
    what the first sample adds, ``tail`` the share of the last one that is covered, ``counts`` the
    number of samples.
    """

    offset: Whole
    slope: Whole
    base: Whole
    mass: Singles
    head: Singles
    tail: Singles
    counts: Whole

    def part(self, of: slice) -> _Lines:
        return _Lines(
            offset=self.offset[of],
            slope=self.slope[of],
            base=self.base[of],
            mass=self.mass[of],
            head=self.head[of],
            tail=self.tail[of],
            counts=self.counts[of],
        )


def _spread(lines: _Lines, stride: int, step: int, last: int) -> Samples:
    counts = lines.counts
    ends = np.cumsum(counts, dtype=np.int32)
    starts = ends - counts
    index = np.arange(ends[-1], dtype=np.int32)
    # Sample k of a line has index = its start + k; products may wrap around, their sums do not.
    across = np.repeat(lines.slope, counts)
    across *= index
    across += np.repeat(lines.offset - lines.slope * starts, counts)
    # What leaves the canvas lands in its outermost columns, which the blur keeps out of the view.
    np.clip(across, 0, last * _PARTS, out=across)
    mass = np.repeat(lines.mass, counts)
    mass[starts] = lines.head
    mass[ends - 1] *= lines.tail
    right = (across & (_PARTS - 1)).astype(np.float32)
    right *= mass
    right *= np.float32(1 / _PARTS)
    whole, part = mass.astype(np.int32), right.astype(np.int32)
    whole -= part
    index *= stride
    index += np.repeat(lines.base - starts * stride, counts)
    across >>= _PARTS.bit_length() - 1
    if step != 1:
        across *= step
    index += across
    return Samples(index.astype(np.int64), step, whole, part)
