"""Tiles of large pictures: cutting, running a network over them, joining the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rainkit import images
from rainkit.api import ImageSpec
from rainkit.images import Pixels
from rainkit.networks import ImageOnly
from rainkit.objective import Derained
from rainkit.runtime_options import Effort

__all__ = [
    "Canvas",
    "Grid",
    "NetworkOutput",
    "OnTile",
    "Plan",
    "RoundingCanvas",
    "Tile",
    "plan_tiles",
    "run_network",
    "run_tiles",
]


_AUTO_SIDE = {"cpu": 768, "mps": 1024, "cuda": 2048}
"""Sides at which the halo costs little, and which fit most memories and the caches of CPUs."""

_HALO, _FEATHER = 48, 32
"""Of methods whose tiles are approximate: their receptive field is larger than any halo, but most
of the error lies near the cut."""

OnTile: TypeAlias = Callable[[int, int], None]
"""Called after each tile with the number of tiles done and the number of all tiles."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Grid that a picture is cut into tiles by.

    Attributes:
        side: largest side in pixels of the part of a tile that is used; 0 for a single tile.
        halo: width in pixels of the border that is read around this part and then dropped.
        feather: number of pixels over which neighbouring tiles fade into each other.
        multiple_of: tiles start, and if possible end, at multiples of this number.
        min_size: smallest side of what is read, if the picture is that large.
    """

    side: int
    halo: int
    feather: int = 0
    multiple_of: int = 1
    min_size: int = 1

    @classmethod
    def of_method(cls, spec: ImageSpec, tile: int | None, device: str) -> Grid:
        """Return the grid that suits a method's network.

        If its tiles are exact, the halo is its receptive radius, so that they join without a seam.

        Args:
            spec: what the method states about its network.
            tile: side of the tiles in pixels; 0 for whole pictures; None for one that suits the
                device.
            device: type of the device: ``cpu``, ``cuda`` or ``mps``.
        """
        side = _AUTO_SIDE[device] if tile is None else tile
        radius = spec.receptive_radius
        exact = spec.tiling == "exact" and radius is not None
        return cls(
            side=0 if spec.tiling == "never" else side,
            halo=radius if exact and radius is not None else min(radius or _HALO, _HALO),
            feather=0 if exact else _FEATHER,
            multiple_of=math.lcm(spec.multiple_of, spec.tile_step),
            min_size=spec.min_size,
        )


@dataclass(frozen=True, slots=True)
class _Span:
    """A tile along one axis: what is read, what is used, and how long both ends fade."""

    read: slice
    used: slice
    fade_in: int
    fade_out: int

    def weight(self) -> Tensor:
        """Return weights [used] in (0,1]; the ramps of overlapping neighbours add up to 1."""
        weight = torch.ones(self.used.stop - self.used.start)
        if self.fade_in:
            weight[: self.fade_in] = _ramp(self.fade_in)
        if self.fade_out:
            weight[-self.fade_out :] = 1 - _ramp(self.fade_out)
        return weight


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of the picture."""

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
        """``used``, relative to ``read``."""
        return _shifted(self.rows), _shifted(self.columns)

    def weight(self) -> Tensor:
        """Return weights [rows, columns]; those of all tiles add up to 1 at each pixel."""
        return torch.outer(self.rows.weight(), self.columns.weight())


def plan_tiles(height: int, width: int, grid: Grid) -> Iterator[Tile]:
    """Yield tiles of even size that cover a picture, row by row."""
    columns = _spans(width, grid)
    for rows in _spans(height, grid):
        for column in columns:
            yield Tile(rows, column)


class RoundingCanvas:
    """An array that the results of tiles are rounded into, so that no picture of floats exists.

    Only the rows that further tiles add to are kept as floats.

    Attributes:
        finite: whether all results were finite.
    """

    def __init__(self, into: Pixels, grid: Grid) -> None:
        self.finite = True
        self._into = into
        self._feathered = grid.feather > 0
        self._band = torch.zeros(1, 3, 0, into.shape[1])
        self._top = 0

    def add(self, tile: Tile, result: Tensor) -> None:
        """Add the picture of a tile's result, [1,3 or more,h,w] with the size that was read."""
        inner = result[:, :3][(..., *tile.inner)].cpu()
        self.finite = self.finite and bool(torch.isfinite(inner).all())
        if not self.finite:
            return
        rows, columns = tile.used
        if not self._feathered:
            self._into[rows, columns] = self._rounded(inner)
            return
        if rows.start > self._top:
            self._settle(rows.start)
        missing = rows.stop - self._top - self._band.shape[2]
        if missing > 0:
            below = self._band.new_zeros(1, 3, missing, self._into.shape[1])
            self._band = torch.cat([self._band, below], dim=2)
        inner = inner * tile.weight()
        self._band[:, :, rows.start - self._top : rows.stop - self._top, columns] += inner

    def finish(self) -> None:
        """Round what is left."""
        self._settle(self._top + self._band.shape[2])

    def _settle(self, top: int) -> None:
        """Round the rows above one that further tiles begin with."""
        number = top - self._top
        self._into[self._top : top] = self._rounded(self._band[:, :, :number])
        self._band, self._top = self._band[:, :, number:].clone(), top

    def _rounded(self, values: Tensor) -> Pixels:
        return images.to_array(values, np.uint8 if self._into.dtype == np.uint8 else np.uint16)


class Canvas:
    """The picture that the results of tiles are added up in.

    Attributes:
        picture: [B,C,H,W], with the channels of the first result; it exists after the first tile.
    """

    picture: Tensor

    def __init__(self, size: tuple[int, int], grid: Grid, device: torch.device | None) -> None:
        self._size = size
        self._feathered = grid.feather > 0
        self._device = device
        self._begun = False

    def add(self, tile: Tile, result: Tensor) -> None:
        """Add the result [B,C,h,w] of a tile, which has the size that was read."""
        inner = result[(..., *tile.inner)].to(self._device)
        if not self._begun:
            self.picture = inner.new_zeros(*inner.shape[:2], *self._size)
            self._begun = True
        if self._feathered:
            inner = inner * tile.weight().to(inner.device)
        self.picture[(..., *tile.used)] += inner


def run_tiles(
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
        cut: returns rows and columns of the picture as [B,C,h,w]; only one tile is held at a time,
            so that a large uint8 array never becomes one large float tensor.
        size: height and width of the picture.
        grid: how the picture is cut.
        on_tile: called after each tile.
        device: the device that results are gathered on; None for the device of the results.

    Returns:
        [B,D,H,W].
    """
    every = list(plan_tiles(*size, grid))
    canvas = Canvas(size, grid, device)
    for number, tile in enumerate(every, 1):
        canvas.add(tile, function(cut(*tile.read)))
        if on_tile is not None:
            on_tile(number, len(every))
    return canvas.picture


def _spans(size: int, grid: Grid) -> list[_Span]:
    count = -(-size // grid.side) if grid.side else 1
    edges = [round(i * size / count) for i in range(count + 1)]
    # If more than two tiles shared a pixel, their ramps would not add up to 1.
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


Cut = Callable[[slice, slice], Tensor]
"""Returns rows and columns of a picture as [B,3,h,w]."""


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """The output of a network for a whole picture.

    Attributes:
        layers: [B,C,H,W]: the derained picture, followed by its parts.
        channels: number of channels of each part, in order.
        blocks: number of blocks that ran; None if the network is not an anytime network.
        work_size: height and width that the network saw, if it was another size.
        finite: whether the values that were rounded into an array, and are not here, were finite.
    """

    layers: Tensor
    channels: dict[str, int]
    blocks: int | None
    work_size: tuple[int, int] | None = None
    finite: bool = True

    @property
    def image(self) -> Tensor:
        """The derained picture [B,3,H,W], not clamped."""
        return self.layers[:, :3]

    def parts(self) -> dict[str, Tensor]:
        """Return the parts by name, [B,1 or 3,H,W] each, in the network's own units."""
        split = torch.split(self.layers[:, 3:], list(self.channels.values()), dim=1)
        return dict(zip(self.channels, split, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Plan of running a network.

    Attributes:
        effort: how much of it runs.
        blocks: number of its blocks; None if it is not an anytime network.
        parts: whether its parts are kept.
    """

    effort: Effort = field(default_factory=Effort)
    blocks: int | None = None
    parts: bool = False


def run_network(
    network: ImageOnly,
    plan: Plan,
    cut: Cut,
    size: tuple[int, int],
    grid: Grid,
    on_tile: OnTile | None = None,
    device: torch.device | None = None,
    into: Pixels | None = None,
) -> NetworkOutput:
    """Derain one picture, or a batch of pictures of one size.

    Args:
        network: the prepared network.
        plan: how it runs.
        cut: returns rows and columns of the picture.
        size: height and width of the picture.
        grid: how the picture is cut.
        on_tile: called after each tile (after each tile of each block, if a threshold is set).
        device: the device that results are gathered on; None for the device of the network.
        into: array [H,W,3] of uint8 or uint16 that receives the derained picture; the output then
            has no layers, and large pictures take a fraction of the memory.
    """
    if plan.effort.stop_below is not None:
        return _run_until_converged(network, plan, cut, size, grid, on_tile, device, into)
    channels: dict[str, int] = {}

    def pick(rainy: Tensor) -> Tensor:
        with torch.inference_mode():
            if plan.effort.blocks is None:
                if not plan.parts:
                    image: Tensor = network(rainy)
                    return image
                output = network.derained(rainy)
            else:
                *_, output = islice(network.stages(rainy), plan.effort.blocks)
            return _stack(output, channels, parts=plan.parts)

    blocks = plan.effort.blocks or plan.blocks
    if into is not None:
        every, rounding = list(plan_tiles(*size, grid)), RoundingCanvas(into, grid)
        for number, tile in enumerate(every, 1):
            rounding.add(tile, pick(cut(*tile.read)))
            if on_tile is not None:
                on_tile(number, len(every))
        return _rounded(rounding, size, blocks)
    layers = run_tiles(pick, cut, size, grid, on_tile, device)
    return NetworkOutput(layers, channels, blocks)


def _rounded(canvas: RoundingCanvas, size: tuple[int, int], blocks: int | None) -> NetworkOutput:
    canvas.finish()
    return NetworkOutput(torch.empty(1, 0, *size), {}, blocks, finite=canvas.finite)


class _RunningTile:
    """A tile between two blocks of the network."""

    def __init__(self, network: ImageOnly, tile: Tile, rainy: Tensor) -> None:
        self.tile = tile
        self.output = Derained(network.runtime.place(rainy), {})
        self._stages = network.stages(rainy)
        self._blocks = 0

    def advance(self) -> tuple[float, int]:
        """Run a block; return the sum of squared changes of the used values, and their number."""
        before = self._used()
        self.run(self._blocks + 1)
        change = (self._used() - before).square()
        return float(change.sum(dtype=torch.float64)), change.numel()

    def run(self, blocks: int) -> None:
        """Run blocks up to a number of them."""
        while self._blocks < blocks:
            self.finish()
            self._blocks += 1

    def finish(self) -> None:
        """Run what follows, if anything does."""
        with torch.inference_mode():
            self.output = next(self._stages, self.output)

    def _used(self) -> Tensor:
        return self.output.image[(..., *self.tile.inner)].clamp(0, 1)


def _run_until_converged(
    network: ImageOnly,
    plan: Plan,
    cut: Cut,
    size: tuple[int, int],
    grid: Grid,
    on_tile: OnTile | None,
    device: torch.device | None,
    into: Pixels | None,
) -> NetworkOutput:
    """Run block by block until a block changes the picture by less than the threshold.

    All tiles run the same number of blocks, since seams would show otherwise. Those that decide on
    it are in memory at a time: all of them, or :data:`_DECIDING` that are spread over the picture.
    The others follow one by one.
    """
    every = list(plan_tiles(*size, grid))
    deciding = _spread(len(every))
    running = {
        number: _RunningTile(network, every[number], cut(*every[number].read))
        for number in deciding
    }
    limit = (plan.effort.stop_below or 0.0) / 255
    most = plan.effort.blocks or plan.blocks or 1
    total, done = len(every), 0

    def told(number: int) -> None:
        if on_tile is not None:
            on_tile(number, total)

    blocks, dry = 0, False
    while blocks < most and not dry:
        changes: list[tuple[float, int]] = []
        for number, each in enumerate(running.values(), 1):
            changes.append(each.advance())
            told(number)
        squares, values = map(sum, zip(*changes, strict=True))
        blocks, dry = blocks + 1, squares < limit**2 * values
    whole = not dry and plan.effort.blocks is None  # run what follows the last block
    channels: dict[str, int] = {}
    rounding = None if into is None else RoundingCanvas(into, grid)
    canvas = Canvas(size, grid, device)
    for number, tile in enumerate(every):
        found = running.pop(number, None)
        each = _RunningTile(network, tile, cut(*tile.read)) if found is None else found
        each.run(blocks)
        if whole:
            each.finish()
        if rounding is not None:
            rounding.add(tile, each.output.image)
        else:
            canvas.add(tile, _stack(each.output, channels, parts=plan.parts))
        if number not in deciding:
            done += 1
            told(len(deciding) + done)
    if rounding is not None:
        return _rounded(rounding, size, blocks)
    return NetworkOutput(canvas.picture, channels, blocks)


_DECIDING = 16
"""Largest number of tiles that decide how many blocks run, which are in memory at a time."""


def _spread(count: int) -> list[int]:
    """Return numbers of tiles that are spread evenly over all of them."""
    most = min(count, _DECIDING)
    return [(2 * place + 1) * count // (2 * most) for place in range(most)]


def _stack(output: Derained, channels: dict[str, int], *, parts: bool) -> Tensor:
    """Return picture and parts as one tensor; parts of another size are resized.

    Args:
        output: the network's output for one tile.
        channels: receives the number of channels of each part.
        parts: whether to include the parts.
    """
    if not parts:
        return output.image
    size = output.image.shape[-2:]
    for name, part in output.parts.items():
        channels[name] = part.shape[1]
    full = (
        part if part.shape[-2:] == size else F.interpolate(part, size, mode="bilinear")
        for part in output.parts.values()
    )
    return torch.cat([output.image, *full], dim=1)
