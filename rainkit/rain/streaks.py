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

__all__ = ["thickness"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FIXED = 2.0**20  # integer sums do not depend on the order of their terms, float sums do
_MOST = 64.0  # thickness a single sample may add; more is opaque anyway and could overflow
_CHUNK = 32_768  # samples drawn at a time, so that temporaries stay in the processor's cache
_SHARPEST = 0.55  # px; blur widths are grouped into classes a factor sqrt(2) apart from here


class _Lines(NamedTuple):
    """Straight lines, each walked one px at a time along the axis in which it is longer.

    ``start`` and ``end`` bound a line along that major axis, ``minor`` is its minor coordinate at
    major coordinate 0 and ``slope`` the change of it per px; ``mass`` is the optical thickness per
    px along the major axis. ``swapped`` lines have x for their major axis, the others y.
    """

    start: Floats
    end: Floats
    minor: Floats
    slope: Floats
    mass: Floats
    swapped: npt.NDArray[np.bool_]

    def part(self, of: slice | npt.NDArray[np.bool_]) -> _Lines:
        return _Lines(
            start=self.start[of],
            end=self.end[of],
            minor=self.minor[of],
            slope=self.slope[of],
            mass=self.mass[of],
            swapped=self.swapped[of],
        )


def thickness(
    drops: Drops, chosen: npt.NDArray[np.intp], width: int, height: int
) -> npt.NDArray[np.float32]:
    """Optical thickness of the chosen drops' streaks, float32 [height, width], at least 0.

    Each blur class has a canvas of its own, drawn as sharp lines and blurred once.
    """
    total = np.zeros((height, width), np.float32)
    classes = np.maximum(np.rint(2 * np.log2(drops.sigma[chosen] / _SHARPEST)), 0).astype(np.int64)
    for level in np.unique(classes):
        sigma = _SHARPEST * 2 ** (float(level) / 2)
        radius = math.ceil(3 * sigma)
        pad = radius + 1
        canvas = np.zeros((height + 2 * pad, width + 2 * pad), np.int32)
        lines = _lines(drops, chosen[classes == level], pad, *canvas.shape)
        for chunk in _chunks(lines):
            _draw(canvas, chunk)
        blurred = cv2.GaussianBlur(canvas.astype(np.float32), (2 * radius + 1,) * 2, sigma)
        total += blurred[pad : pad + height, pad : pad + width]
    total *= np.float32(1 / _FIXED)
    return total


def _lines(drops: Drops, chosen: npt.NDArray[np.intp], pad: int, rows: int, columns: int) -> _Lines:
    """Turn drops into lines on a padded canvas, clipped to it; those outside are left out."""
    x, y = drops.x[chosen] + pad, drops.y[chosen] + pad
    dx, dy = drops.dx[chosen], drops.dy[chosen]
    swapped = np.abs(dx) > np.abs(dy)
    major, minor = np.where(swapped, x, y), np.where(swapped, y, x)
    along, across = np.where(swapped, dx, dy), np.where(swapped, dy, dx)
    half = np.abs(along) / 2
    slope = across / np.where(along == 0, 1.0, along)
    lines = _Lines(
        start=np.maximum(major - half, 0.0),
        end=np.minimum(major + half, np.where(swapped, columns, rows)),
        minor=minor - slope * major,
        slope=slope,
        mass=drops.mass[chosen] * np.sqrt(1 + slope**2),
        swapped=swapped,
    )
    return lines.part(lines.end > lines.start)


def _chunks(lines: _Lines) -> Iterator[_Lines]:
    """Split lines into runs of about ``_CHUNK`` samples."""
    samples = np.cumsum(np.ceil(lines.end) - np.floor(lines.start))
    if not samples.size:
        return
    cuts = np.searchsorted(samples, np.arange(_CHUNK, samples[-1], _CHUNK), side="right")
    bounds = np.unique(np.concatenate(([0], cuts, [len(samples)])))
    for first, last in itertools.pairwise(bounds):
        yield lines.part(slice(int(first), int(last)))


def _draw(canvas: npt.NDArray[np.int32], lines: _Lines) -> None:
    """Add lines to a canvas, bilinear across and exact in coverage along their major axis."""
    first = np.floor(lines.start).astype(np.int64)
    counts = np.ceil(lines.end).astype(np.int64) - first
    line = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    major = np.arange(len(line)) + (first - (ends - counts))[line]

    low = np.maximum(major, lines.start[line])
    high = np.minimum(major + 1, lines.end[line])
    # Pixel centres lie at halves, hence -0.5 from a coordinate to an index.
    minor = lines.minor[line] + lines.slope[line] * ((low + high) / 2) - 0.5
    column = np.floor(minor)
    mass = np.rint(np.minimum(lines.mass[line] * (high - low), _MOST) * _FIXED)
    right = np.rint(mass * (minor - column))

    rows, columns = canvas.shape
    swapped = lines.swapped[line]
    lower = column.astype(np.int64)
    inside = (lower >= 0) & (lower < np.where(swapped, rows - 1, columns - 1))
    step = np.where(swapped, columns, 1)
    at = major * np.where(swapped, 1, columns) + lower * step
    flat = canvas.reshape(-1)
    at, step = at[inside], step[inside]
    np.add.at(flat, at, (mass - right)[inside].astype(np.int32))
    np.add.at(flat, at + step, right[inside].astype(np.int32))
