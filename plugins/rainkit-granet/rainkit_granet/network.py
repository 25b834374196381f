"""GraNet (section 3): local and global structure give a coarse picture, context refines it.

Shapes are given for a picture of H x W. Pooling rounds sizes down and unpooling restores them, so
that no picture needs padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rainkit.objective import Derained
from rainkit_granet import Network

__all__ = ["CoarseStage", "DenseBlock", "FineStage", "GraNet", "RegionAware", "merge", "unpool"]

GRIDS = (1, 2, 4)
"""Number of regions along each side in the region-aware blocks at H/8, H/4 and H/2."""

LEVELS = 4
"""Number of dense blocks of the fine stage, and k, the number of groups that equation 8 merges."""


class DenseBlock(nn.Module):
    """The local block of section 3.2: densely connected layers with a skip around them.

    Each layer sees the input and all layers before it; a 1x1 convolution fuses them all.
    """

    def __init__(self, width: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width + i * growth, growth, 3, padding=1) for i in range(layers)
        )
        self.fuse = nn.Conv2d(width + layers * growth, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,H,W] -> the same shape."""
        grown = x
        for layer in self.layers:
            added = F.relu(layer(grown), inplace=True)
            # Convolutions under autocast read their input in their own type: so it is kept in it.
            grown = torch.cat([grown.to(added.dtype), added], 1)
        result: Tensor = self.fuse(grown) + x
        return result


class RegionAware(nn.Module):
    """The global block of section 3.2: attention within each region of a grid.

    The attention is the embedded Gaussian, without the 1/sqrt(d) of transformers, with keys and
    values at half resolution. The regions share the weights and do not overlap; the last ones may
    be smaller. Before any training the block is the identity.
    """

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        inner = max(width // 2, 1)
        self.theta = nn.Conv2d(width, inner, 1)
        self.phi = nn.Conv2d(width, inner, 1)
        self.g = nn.Conv2d(width, inner, 1)
        self.w = nn.Conv2d(inner, width, 1)
        for parameter in self.w.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """[B,width,H,W] -> the same shape."""
        # Pixel by pixel, so that the whole map can be embedded before it is cut.
        embedded = (self.theta(x), self.phi(x), self.g(x))
        rows = []
        for row in zip(*(_regions(each, self.grid, 2) for each in embedded), strict=True):
            regions = zip(*(_regions(each, self.grid, 3) for each in row), strict=True)
            rows.append(torch.cat([_attend(*region) for region in regions], 3))
        attended: Tensor = self.w(torch.cat(rows, 2))
        return attended + x

    def attention_map(self, x: Tensor, at: tuple[float, float] | None = None) -> Tensor:
        """Return where the regions look, [B,width,H,W] -> [B,1,H,W]; 1 is even attention.

        Args:
            x: the input of :meth:`forward`.
            at: row and column, as shares of the map, of the position whose attention is returned,
                which is 0 outside of its region; None for what each position receives on average
                from all positions of its region.
        """
        height, width = x.shape[2:]
        place = None if at is None else (int(at[0] * height), int(at[1] * width))
        rows, top = [], 0
        for row in x.chunk(self.grid, 2):
            regions, left = [], 0
            for region in row.chunk(self.grid, 3):
                inside = None if place is None else (place[0] - top, place[1] - left)
                regions.append(self._looked(region, inside))
                left += region.shape[3]
            rows.append(torch.cat(regions, 3))
            top += row.shape[2]
        return torch.cat(rows, 2)

    def _looked(self, region: Tensor, at: tuple[int, int] | None) -> Tensor:
        """Return the attention map of one region, [B,width,h,w] -> [B,1,h,w]."""
        batch, _, height, width = region.shape
        if at is not None and not (0 <= at[0] < height and 0 <= at[1] < width):
            return region.new_zeros(batch, 1, height, width)
        query = _sequence(self.theta(region))
        if at is not None:
            query = query[:, :, at[0] * width + at[1], None]
        keys = F.max_pool2d(self.phi(region), _halves(region))
        key = _sequence(keys).transpose(2, 3)
        # Part by part, since all weights of a large region at a time would fill the memory.
        parts = [(part @ key).softmax(3).sum(2) for part in torch.split(query, 1024, 2)]
        received = torch.stack(parts).sum(0)
        even = received * (key.shape[3] / query.shape[2])
        return F.interpolate(even.reshape(batch, 1, *keys.shape[2:]), size=(height, width))


class CoarseStage(nn.Module):
    """Local blocks down to H/8 and region-aware blocks back up (section 3.2, equations 1 to 4)."""

    def __init__(self, settings: Network) -> None:
        super().__init__()
        width = settings.width
        self.head = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        )
        self.local_blocks = nn.ModuleList(
            DenseBlock(width, settings.growth, settings.layers) for _ in GRIDS
        )
        self.global_blocks = nn.ModuleList(
            RegionAware(width, grid) if settings.region_aware else nn.Identity() for grid in GRIDS
        )

    def forward(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] -> G3 [B,width,H,W]."""
        x: Tensor = self.head(rainy)
        kept: list[tuple[Tensor, Tensor]] = []
        for block in self.local_blocks:
            local = block(x)  # at H, H/2, H/4
            if _is_exported():  # few runtimes can unpool by indices
                x = where = F.max_pool2d(local, 2)
            else:
                x, where = F.max_pool2d(local, 2, return_indices=True)
            kept.append((local, where))
        for block in self.global_blocks:  # at H/8, H/4, H/2
            local, where = kept.pop()
            if _is_exported():
                x = unpool(block(x), local, where) + local
            else:
                x = F.max_unpool2d(block(x), where, [2, 2], output_size=local.shape[-2:]) + local
        return x


class FineStage(nn.Module):
    """Contextual structure (section 3.3): four dense blocks in a row, averaged (equation 8).

    Without context, the paper's ablation, only the first and the last convolution remain.
    """

    def __init__(self, settings: Network) -> None:
        super().__init__()
        width = settings.width
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            DenseBlock(width, settings.growth, settings.layers)
            for _ in range(LEVELS if settings.context else 0)
        )
        self.out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, coarse: Tensor) -> Tensor:
        """C [B,3,H,W] -> [B,3,H,W]."""
        x = self.head(coarse)
        levels: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        result: Tensor = self.out(merge(levels) if levels else x)
        return result


class GraNet(nn.Module):
    """Both stages. M is the rain mask of the coarse stage, C = I - M its picture."""

    def __init__(self, settings: Network) -> None:
        super().__init__()
        self.fine_residual = settings.fine_residual
        self.coarse = CoarseStage(settings)
        self.mask = nn.Conv2d(settings.width, 3, 3, padding=1)
        self.fine = FineStage(settings) if settings.fine else None

    def forward(self, rainy: Tensor) -> Derained:
        """[B,3,H,W] in [0,1], sides of at least 8 px -> the clean picture, not clamped."""
        mask = torch.tanh(self.mask(self.coarse(rainy)))
        coarse = rainy - mask
        parts = {"mask": mask, "coarse": coarse}
        if self.fine is None:
            return Derained(coarse, parts)
        fine = self.fine(coarse)
        return Derained(coarse + fine if self.fine_residual else fine, parts)


def _attend(theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
    """Compute softmax(theta phi^T) g of one region, each [B,width/2,h,w] -> the same shape."""
    batch, _, height, width = theta.shape
    key, value = (F.max_pool2d(each, _halves(each)) for each in (phi, g))
    answer = F.scaled_dot_product_attention(
        _sequence(theta), _sequence(key), _sequence(value), scale=1.0
    )
    return answer.squeeze(1).transpose(1, 2).reshape(batch, -1, height, width)


def unpool(x: Tensor, local: Tensor, maxima: Tensor) -> Tensor:
    """Put values where the maxima of 2x2 pooling were, and 0 elsewhere.

    The result equals that of ``F.max_unpool2d`` with the pooling's indices to the bit: of several
    equal maxima in a window, the first in row order counts.

    Args:
        x: the values [B,C,H/2,W/2].
        local: what was pooled, [B,C,H,W]; an odd last row or column is in no window.
        maxima: what pooling gave, [B,C,H/2,W/2].
    """
    height, width = local.shape[2:]
    rows, columns = maxima.shape[2:]
    taken = torch.zeros_like(maxima, dtype=torch.bool)
    pair: list[Tensor] = []
    for i in (0, 1):
        row: list[Tensor] = []
        for j in (0, 1):
            corner = _every_other(_every_other(local, 2, i, rows), 3, j, columns)
            first = (corner == maxima) & ~taken
            taken = taken | first
            row.append(torch.where(first, x, torch.zeros_like(x)))
        pair.append(torch.stack(row, 4).flatten(3))
    whole = torch.stack(pair, 3).flatten(2, 3)
    return F.pad(whole, (0, width - 2 * columns, 0, height - 2 * rows))


def _regions(x: Tensor, grid: int, dimension: int) -> list[Tensor]:
    """Cut maps along a dimension as ``chunk`` does; in an exported file there are always all."""
    if not _is_exported():
        return list(x.chunk(grid, dimension))
    size = x.shape[dimension]
    step = (size + grid - 1) // grid
    starts = [i * step for i in range(grid)]
    if torch.compiler.is_exporting():
        stops = [*starts[1:], size]
        return [
            x.index_select(dimension, torch.arange(start, stop, device=x.device))
            for start, stop in zip(starts, stops, strict=True)
        ]
    if dimension == 2:
        return [x[:, :, start : start + step] for start in starts]
    return [x[..., start : start + step] for start in starts]


def _every_other(x: Tensor, dimension: int, start: int, count: int) -> Tensor:
    """Take every other row or column, as many as are told.

    Whether a slice is contiguous depends on the picture's size, which would tie the file of
    torch.export to the size that it was made with; what ``index_select`` gives always is.
    """
    if torch.compiler.is_exporting():
        places = start + 2 * torch.arange(count, device=x.device)
        return x.index_select(dimension, places)
    stop = 2 * count
    return x[:, :, start:stop:2] if dimension == 2 else x[..., start:stop:2]


def _is_exported() -> bool:
    """Return whether the network is being converted to a file for another runtime."""
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return bool(tracing) or torch.compiler.is_exporting()


def merge(levels: Sequence[Tensor]) -> Tensor:
    """Average the k groups of maps of equation 8, each [B,C,H,W] -> [B,C,H,W] in float32.

    The paper concatenates the groups first; their sum is the same and takes a tenth of the time.
    """
    total = levels[0].float()
    for level in levels[1:]:
        total = total + level
    return total / len(levels)


def _halves(region: Tensor) -> list[int]:
    """Return the sides of the pooling of keys and values, which leaves something of one row."""
    if _is_exported():  # regions of pictures of 32 px or more have two rows
        return [2, 2]
    return [min(side, 2) for side in region.shape[2:]]


def _sequence(maps: Tensor) -> Tensor:
    """Reshape [B,C,h,w] to [B,1,hw,C]; attention saves memory only if C is contiguous."""
    return maps.flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
