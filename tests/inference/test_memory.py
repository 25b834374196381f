"""Memory: what networks need, what is free, and tiles that fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images, inference
from rainkit.images import Picture
from rainkit.inference import derainer as module
from rainkit.inference import memory
from rainkit.inference.tiles import Canvas, Grid, RoundingCanvas, plan_tiles

CPU = torch.device("cpu")


def test_the_most_that_lives_at_a_time_is_counted():
    def run(rainy: torch.Tensor) -> torch.Tensor:  # [1,3,H,W] float32: 12 bytes a pixel
        wide = rainy.repeat(1, 4, 1, 1)  # 48
        for _ in range(3):
            wide = wide + 1  # two of them at a time: 96
        del rainy
        return wide.sum(1)  # 48 + 4

    assert memory.bytes_per_pixel(run, 32) == pytest.approx(96, abs=1)

    def broken(_: torch.Tensor) -> None:
        raise ValueError("no")

    assert memory.bytes_per_pixel(broken, 32) is None


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_container_counts(tmp_path: Path, version: int):
    home = tmp_path / "memory" if version == 1 else tmp_path
    home.mkdir(exist_ok=True)
    limit, used = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes")
        if version == 1
        else ("memory.max", "memory.current")
    )
    (home / limit).write_text("1000\n")
    (home / used).write_text("700\n")
    (home / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert memory._of_container(tmp_path) == 450
    (home / limit).write_text("max\n")
    assert memory._of_container(tmp_path) is None


def test_sides_are_halved_until_they_fit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "free_memory", lambda _: 300_000_000)
    assert memory.largest_side(100, 10, CPU, 768, 64) == 768
    assert memory.largest_side(1000, 10, CPU, 768, 64) == 192
    assert memory.largest_side(1e9, 10, CPU, 768, 64) == 96
    monkeypatch.setattr(memory, "free_memory", lambda _: None)
    assert memory.largest_side(1e9, 10, CPU, 768, 64) == 768


@pytest.mark.parametrize("feather", [0, 7, 32])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rounding_row_by_row_gives_the_same_picture(feather: int, dtype: type):
    size, grid = (150, 101), Grid(side=48, halo=5, feather=feather)
    into = np.zeros((*size, 3), dtype)
    whole, rounding = Canvas(size, grid, None), RoundingCanvas(into, grid)
    generator = torch.Generator().manual_seed(1)
    for tile in plan_tiles(*size, grid):
        height, width = (each.stop - each.start for each in tile.read)
        result = torch.rand((1, 3, height, width), generator=generator) * 1.2 - 0.1
        whole.add(tile, result)
        rounding.add(tile, result)
    rounding.finish()
    np.testing.assert_array_equal(into, images.to_array(whole.picture, dtype))
    assert rounding.finite
    broken = RoundingCanvas(into, grid)
    for each in plan_tiles(*size, grid):
        height, width = (span.stop - span.start for span in each.read)
        broken.add(each, torch.full((1, 3, height, width), torch.nan))
    broken.finish()
    assert not broken.finite


def test_pictures_with_and_without_parts_are_equal(derainer: inference.Derainer):
    rgb = np.ascontiguousarray(data.rocket()[:150, :210])
    for work_size in (0, 96):
        one = inference.Derainer(
            method=derainer.method,
            weights=derainer.weights,
            network=derainer.network,
            grid=dataclasses.replace(derainer.grid, side=64),
            work_size=work_size,
        )
        for depth in (rgb, rgb.astype(np.uint16) * 257):
            plain, full = (one.derain_picture(Picture(depth), parts=p) for p in (False, True))
            np.testing.assert_array_equal(plain.picture.rgb, full.picture.rgb)
            assert plain.work_size == full.work_size


def test_tiles_shrink_to_the_free_memory_and_it_is_said_once(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
):
    rgb = np.ascontiguousarray(data.rocket()[:300, :400])
    wide = inference.load("tiny", weights=tiny_weights, device="cpu", work_size="full")
    expected = wide.derain_picture(Picture(rgb))
    assert expected.notes == ()
    monkeypatch.setattr(memory, "free_memory", lambda _: 5_000_000)
    narrow = inference.load("tiny", weights=tiny_weights, device="cpu", work_size="full")
    tight, again = (narrow.derain_picture(Picture(rgb)) for _ in range(2))
    assert tight.notes == ("cut into tiles of 100 px instead of 768 px, for lack of memory",)
    assert again.notes == ()
    np.testing.assert_array_equal(tight.picture.rgb, expected.picture.rgb)
    chosen = inference.load("tiny", weights=tiny_weights, device="cpu", tile=512)
    assert chosen.derain_picture(Picture(rgb)).notes == ()


def test_a_memory_error_halves_tiles_too(derainer: inference.Derainer, monkeypatch):
    run, sides = module.tiles.run_network, []

    def scarce(network, plan, cut, size, grid, *rest):
        sides.append(grid.side)
        if grid.side > 100:
            raise MemoryError
        return run(network, plan, cut, size, grid, *rest)

    rgb = np.ascontiguousarray(data.rocket()[:200, :260])
    expected = derainer.derain(rgb)
    monkeypatch.setattr(module.tiles, "run_network", scarce)
    one = inference.Derainer(
        method=derainer.method,
        weights=derainer.weights,
        network=derainer.network,
        grid=derainer.grid,
    )
    assert one.derain_picture(Picture(rgb)).notes[0].startswith("cut into tiles of 65 px")
    assert sides == [768, 130, 65]
    np.testing.assert_array_equal(one.derain(rgb), expected)
    assert sides[3:] == [65]  # and stays so
