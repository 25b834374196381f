"""Cutting large pictures into tiles and putting the results together without seams.

Pure geometry over a function from pictures to pictures: nothing here knows a network. Each tile is
read with a halo of surrounding pixels that is cut off again. Where the halo covers everything that
can change the result, tiles equal the whole picture; otherwise neighbours overlap and fade into
each other. A tile that reaches the border of the picture ends there, without halo or fade, so that
the network pads it exactly as it pads the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Canvas", "Grid", "OnTile", "Tile", "plan", "run"]

OnTile: TypeAlias = Callable[[int, int], None]
"""Told after each tile how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How to cut.

    Attributes:
        side: largest side of the part of a tile that is used, in pixels; 0 = never cut.
        halo: pixels read around it and cut off.
        feather: pixels over which neighbouring tiles fade into each other.
        multiple_of: tiles start, and where possible end, at multiples of this.
        min_size: smallest side of what is read, where the picture is as large.
    """

    side: int
    halo: int
    feather: int = 0
    multiple_of: int = 1
    min_size: int = 1


@dataclass(frozen=True, slots=True)
class _Span:
    """A tile along one axis: what is read, what of it is used, and how long both ends fade."""

    read: slice
    used: slice
    fade_in: int
    fade_out: int

    def weight(self) -> Tensor:
        """[used] in (0,1]: linear ramps; those of overlapping neighbours add up to 1."""
        weight = torch.ones(self.used.stop - self.used.start)
        if self.fade_in:
            weight[: self.fade_in] = _ramp(self.fade_in)
        if self.fade_out:
            weight[-self.fade_out :] = 1 - _ramp(self.fade_out)
        return weight


@dataclass(frozen=True, slots=True)
class Tile:
    """One rectangle."""

    rows: _Span
    columns: _Span

    @property
    def read(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that go into the network."""
        return self.rows.read, self.columns.read

    @property
    def used(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that this tile contributes to."""
        return self.rows.used, self.columns.used

    @property
    def inner(self) -> tuple[slice, slice]:
        """``used`` within ``read``."""
        return _shifted(self.rows), _shifted(self.columns)

    def weight(self) -> Tensor:
        """[rows, columns] share of this tile; over all tiles it adds up to 1 everywhere."""
        return torch.outer(self.rows.weight(), self.columns.weight())


def plan(height: int, width: int, grid: Grid) -> Iterator[Tile]:
    """Tiles of even size that cover a picture, row by row."""
    columns = _spans(width, grid)
    for rows in _spans(height, grid):
        for column in columns:
            yield Tile(rows, column)


class Canvas:
    """Where the results of tiles come together.

    Attributes:
        picture: [B,C,H,W], once the first tile is there: as many channels as its result has.
    """

    picture: Tensor

    def __init__(self, size: tuple[int, int], grid: Grid, device: torch.device | None) -> None:
        self._size = size
        self._feathered = grid.feather > 0
        self._device = device
        self._begun = False

    def add(self, tile: Tile, result: Tensor) -> None:
        """Put in what the network made of a tile: [B,C,h,w], of the size that was read."""
        inner = result[(..., *tile.inner)].to(self._device)
        if not self._begun:
            self.picture = inner.new_zeros(*inner.shape[:2], *self._size)
            self._begun = True
        if self._feathered:
            inner = inner * tile.weight().to(inner.device)
        self.picture[(..., *tile.used)] += inner


def run(
    function: Callable[[Tensor], Tensor],
    cut: Callable[[slice, slice], Tensor],
    size: tuple[int, int],
    grid: Grid,
    on_tile: OnTile | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """Apply a function tile by tile.

    Args:
        function: [B,C,h,w] -> [B,D,h,w], same size.
        cut: gives the rows and columns of the picture as [B,C,h,w]; only one tile is held at a
            time, so a large uint8 array never becomes one large float tensor.
        size: height and width of the picture.
        grid: how to cut.
        on_tile: told after each tile.
        device: where results are gathered; None = where the function leaves them.

    Returns:
        [B,D,H,W].
    """
    every = list(plan(*size, grid))
    canvas = Canvas(size, grid, device)
    for number, tile in enumerate(every, 1):
        canvas.add(tile, function(cut(*tile.read)))
        if on_tile is not None:
            on_tile(number, len(every))
    return canvas.picture


def _spans(size: int, grid: Grid) -> list[_Span]:
    count = -(-size // grid.side) if grid.side else 1
    edges = [round(i * size / count) for i in range(count + 1)]
    # No more than two tiles may share a pixel, or their ramps would not add up to 1.
    feather = min(grid.feather, size // count)
    before, after = feather // 2, feather - feather // 2
    spans = []
    for i in range(count):
        first, last = i == 0, i == count - 1
        start = edges[i] if first else edges[i] - before
        stop = edges[i + 1] if last else edges[i + 1] + after
        read = _read(start, stop, size, grid)
        spans.append(
            _Span(read, slice(start, stop), 0 if first else feather, 0 if last else feather)
        )
    return spans


def _read(start: int, stop: int, size: int, grid: Grid) -> slice:
    step = grid.multiple_of
    low = max(0, start - grid.halo)
    high = min(size, stop + grid.halo)
    short = grid.min_size - (high - low)
    if short > 0:
        high = min(size, high + short)
        low = max(0, min(low, high - grid.min_size))
    return slice(low // step * step, min(size, -(-high // step) * step))


def _ramp(length: int) -> Tensor:
    return (torch.arange(length) + 0.5) / length


def _shifted(span: _Span) -> slice:
    return slice(span.used.start - span.read.start, span.used.stop - span.read.start)
