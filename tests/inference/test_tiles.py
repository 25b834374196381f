"""Tiles without a network: geometry, coverage, equality with the whole picture."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rainkit.inference.tiles import Grid, plan_tiles, run_tiles


def blur(picture: Tensor) -> Tensor:
    """Radius 3, padded by reflection like the networks."""
    kernel = torch.arange(1.0, 50.0).reshape(1, 1, 7, 7).expand(3, 1, 7, 7) / 1225
    height, width = picture.shape[-2:]
    rows = F.pad(picture, (3, 3, 0, 0), "reflect" if width > 3 else "replicate")
    padded = F.pad(rows, (0, 0, 3, 3), "reflect" if height > 3 else "replicate")
    return F.conv2d(padded, kernel, groups=3)


def tiled(picture: Tensor, grid: Grid, function=blur) -> Tensor:
    return run_tiles(
        function, lambda r, c: picture[..., r, c], (picture.shape[2], picture.shape[3]), grid
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (65, 130), (97, 301), (130, 5)])
@pytest.mark.parametrize("side", [0, 17, 64])
def test_exact_tiles_equal_the_whole_picture(size: tuple[int, int], side: int):
    picture = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0))
    grid = Grid(side=side, halo=3, min_size=8)
    torch.testing.assert_close(tiled(picture, grid), blur(picture), rtol=0, atol=1e-6)


def test_a_halo_too_small_shows():
    picture = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    error = (tiled(picture, Grid(side=32, halo=1)) - blur(picture)).abs().max()
    assert error > 1e-3


def test_feathering_hides_what_tiles_disagree_about():
    """Of a function of the whole tile, like global pooling: no step at the seams."""
    picture = torch.linspace(0, 1, 256).expand(1, 3, 64, 256)

    def shift(tile: Tensor) -> Tensor:
        return tile + tile.mean()

    def step(result: Tensor) -> float:
        return float(result[0, 0, 32].diff().abs().max())

    rough = tiled(picture, Grid(side=64, halo=8), shift)
    smooth = tiled(picture, Grid(side=64, halo=8, feather=32), shift)
    assert step(rough) > 0.2
    assert step(smooth) < 0.02
    torch.testing.assert_close(smooth[..., :8], rough[..., :8], rtol=0, atol=0.05)


@pytest.mark.parametrize("feather", [0, 1, 7, 32, 500])
@pytest.mark.parametrize("size", [(1, 1), (50, 300), (129, 64)])
def test_shares_add_up_to_one_everywhere(size: tuple[int, int], feather: int):
    total = torch.zeros(size)
    for tile in plan_tiles(*size, Grid(side=48, halo=5, feather=feather)):
        total[tile.used] += tile.weight()
    torch.testing.assert_close(total, torch.ones(size), rtol=0, atol=1e-6)


def test_tiles_are_bounded_even_and_aligned():
    grid = Grid(side=100, halo=10, multiple_of=8, min_size=32)
    tiles = list(plan_tiles(501, 203, grid))
    assert len(tiles) == 6 * 3
    for tile in tiles:
        for size, read, used in zip((501, 203), tile.read, tile.used, strict=True):
            length = used.stop - used.start
            assert 66 <= length <= 100
            assert read.start % 8 == 0
            assert read.stop % 8 == 0 or read.stop == size
            assert read.start <= max(0, used.start - 10)
            assert read.stop >= min(size, used.stop + 10)
            assert read.stop - read.start <= 100 + 20 + 14


def test_tiles_are_not_smaller_than_the_network_takes():
    for tile in plan_tiles(70, 70, Grid(side=8, halo=0, min_size=20)):
        assert all(read.stop - read.start >= 20 for read in tile.read)
