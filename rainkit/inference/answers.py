"""A network over the tiles of a picture: the result, its parts, and how many blocks it took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from rainkit.inference import tiles
from rainkit.inference.effort import Effort
from rainkit.networks import ImageOnly
from rainkit.objective import Derained

__all__ = ["Answer", "Plan", "run"]

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


def run(
    network: ImageOnly,
    plan: Plan,
    cut: Cut,
    size: tuple[int, int],
    grid: tiles.Grid,
    on_tile: tiles.OnTile | None = None,
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

    layers = tiles.run(pick, cut, size, grid, on_tile, device)
    return Answer(layers, channels, plan.effort.blocks or plan.blocks)


class _Running:
    """A tile on its way through the blocks."""

    def __init__(self, network: ImageOnly, tile: tiles.Tile, rainy: Tensor) -> None:
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
    grid: tiles.Grid,
    on_tile: tiles.OnTile | None,
    device: torch.device | None,
) -> Answer:
    """All tiles take a block together: if each stopped where it liked, their seams would show.

    So all of them are in memory at a time.
    """
    running = [_Running(network, tile, cut(*tile.read)) for tile in tiles.plan(*size, grid)]
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
    canvas = tiles.Canvas(size, grid, device)
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
