"""Tiles of large pictures: cutting, running a network over them, joining the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from rainkit.networks import ImageOnly
from rainkit.objective import Derained
from rainkit.runtime import Effort

__all__ = [
    "Answer",
    "Canvas",
    "Grid",
    "OnTile",
    "Plan",
    "Tile",
    "plan_tiles",
    "run_network",
    "run_tiles",
]


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


def plan_tiles(height: int, width: int, grid: Grid) -> Iterator[Tile]:
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
        cut: gives the rows and columns of the picture as [B,C,h,w]; only one tile is held at a
            time, so a large uint8 array never becomes one large float tensor.
        size: height and width of the picture.
        grid: how to cut.
        on_tile: told after each tile.
        device: where results are gathered; None = where the function leaves them.

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


Cut = Callable[[slice, slice], Tensor]
"""Gives rows and columns of a picture as [B,3,h,w]."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out for one picture.

    Attributes:
        layers: [B,C,H,W]: the picture, then its parts, one after another.
        channels: how many channels each part has, in order.
        blocks: how many ran; None = the network is not an anytime one.
    """

    layers: Tensor
    channels: dict[str, int]
    blocks: int | None

    @property
    def image(self) -> Tensor:
        """[B,3,H,W], not clamped."""
        return self.layers[:, :3]

    def parts(self) -> dict[str, Tensor]:
        """The parts by name, [B,1 or 3,H,W] each, in the network's own units."""
        split = torch.split(self.layers[:, 3:], list(self.channels.values()), dim=1)
        return dict(zip(self.channels, split, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How to run a network.

    Attributes:
        effort: how much of it.
        blocks: how many blocks it has; None = it is not an anytime network.
        parts: keep its parts.
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
) -> Answer:
    """Derain one picture, or a batch of pictures of one size.

    Args:
        network: prepared.
        plan: how to run it.
        cut: gives parts of the picture.
        size: its height and width.
        grid: its tiles.
        on_tile: told after each tile (in each block, where a picture may stop early).
        device: where the result is gathered; None = where the network is.
    """
    if plan.effort.stop_below is not None:
        return _until_little_changes(network, plan, cut, size, grid, on_tile, device)
    channels: dict[str, int] = {}

    def pick(rainy: Tensor) -> Tensor:
        with torch.inference_mode():
            if plan.effort.blocks is None:
                if not plan.parts:
                    image: Tensor = network(rainy)
                    return image
                answer = network.derained(rainy)
            else:
                *_, answer = islice(network.stages(rainy), plan.effort.blocks)
            return _stacked(answer, channels, parts=plan.parts)

    layers = run_tiles(pick, cut, size, grid, on_tile, device)
    return Answer(layers, channels, plan.effort.blocks or plan.blocks)


class _Running:
    """A tile on its way through the blocks."""

    def __init__(self, network: ImageOnly, tile: Tile, rainy: Tensor) -> None:
        self.tile = tile
        self.answer = Derained(network.runtime.place(rainy), {})
        self._stages = network.stages(rainy)

    def advance(self) -> tuple[float, int]:
        """Run a block; the summed squared change of the tile's pixels, and how many values."""
        before = self._used()
        self.finish()
        change = (self._used() - before).square()
        return float(change.sum(dtype=torch.float64)), change.numel()

    def finish(self) -> None:
        """Take the next result, if there is one."""
        with torch.inference_mode():
            self.answer = next(self._stages, self.answer)

    def _used(self) -> Tensor:
        return self.answer.image[(..., *self.tile.inner)].clamp(0, 1)


def _until_little_changes(
    network: ImageOnly,
    plan: Plan,
    cut: Cut,
    size: tuple[int, int],
    grid: Grid,
    on_tile: OnTile | None,
    device: torch.device | None,
) -> Answer:
    """All tiles take a block together: if each stopped where it liked, their seams would show.

    So all of them are in memory at a time.
    """
    running = [_Running(network, tile, cut(*tile.read)) for tile in plan_tiles(*size, grid)]
    limit = (plan.effort.stop_below or 0.0) / 255
    most = plan.effort.blocks or plan.blocks or 1
    blocks, dry = 0, False
    while blocks < most and not dry:
        changes: list[tuple[float, int]] = []
        for number, each in enumerate(running, 1):
            changes.append(each.advance())
            if on_tile is not None:
                on_tile(number, len(running))
        squares, values = map(sum, zip(*changes, strict=True))
        blocks, dry = blocks + 1, squares < limit**2 * values
    if not dry and plan.effort.blocks is None:  # what follows the last block
        for each in running:
            each.finish()
    channels: dict[str, int] = {}
    canvas = Canvas(size, grid, device)
    for each in running:
        canvas.add(each.tile, _stacked(each.answer, channels, parts=plan.parts))
    return Answer(canvas.picture, channels, blocks)


def _stacked(answer: Derained, channels: dict[str, int], *, parts: bool) -> Tensor:
    """The picture and its parts as one tensor; parts of another scale are resized.

    Args:
        answer: of the network.
        channels: is told how many channels each part has.
        parts: put them in.
    """
    if not parts:
        return answer.image
    size = answer.image.shape[-2:]
    for name, part in answer.parts.items():
        channels[name] = part.shape[1]
    full = (
        part if part.shape[-2:] == size else F.interpolate(part, size, mode="bilinear")
        for part in answer.parts.values()
    )
    return torch.cat([answer.image, *full], dim=1)
