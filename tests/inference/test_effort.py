"""Anytime networks: some blocks, or as many as a picture needs."""

from __future__ import annotations

import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images, inference
from rainkit.errors import UsageError
from rainkit.images import Picture
from rainkit.inference import tiles
from rainkit.runtime_options import Effort


@pytest.fixture
def load(anytime_weights: Path):
    def load_with(**options: Any) -> inference.Derainer:
        return inference.load(
            "resguidenet",
            weights=anytime_weights,
            device="cpu",
            **{"precision": "fp32", "tile": 0} | options,
        )

    return load_with


def photo(top: int = 100, height: int = 64, width: int = 80) -> np.ndarray:
    return np.ascontiguousarray(data.coffee()[top : top + height, 100 : 100 + width])


def test_some_blocks_give_the_result_of_the_last_of_them(load):
    parts = load().parts(photo())
    for blocks in (1, 2, 3):
        shown = np.rint(parts[f"block{blocks}"].clip(0, 1) * 255).astype(np.uint8)
        assert np.array_equal(load(effort=blocks).derain(photo()), shown)
    # What follows the last block, here the merge, is not part of it.
    assert not np.array_equal(load(effort=3).derain(photo()), load().derain(photo()))


def test_parts_are_those_of_the_blocks_that_ran(load):
    assert set(load(effort="2").parts(photo())) == {"rain", "block1", "block2"}


def changes_of(load, rgb: np.ndarray) -> list[float]:
    """Of each block, in levels of 255."""
    parts = load().parts(rgb)
    steps = [rgb / 255, *(parts[f"block{k}"].clip(0, 1) for k in (1, 2, 3))]
    return [float(np.sqrt(np.mean((b - a) ** 2)) * 255) for a, b in pairwise(steps)]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_picture_stops_after_the_block_that_changes_it_little(load, stop: int):
    rgb = photo()
    changes = changes_of(load, rgb)
    threshold = changes[stop - 1] * 1.001
    expected = next(k for k, change in enumerate(changes, 1) if change < threshold)
    result = load(effort=f"auto:{threshold}").derain_picture(Picture(rgb))
    assert result.blocks == expected
    assert np.array_equal(result.picture.rgb, load(effort=expected).derain(rgb))


def test_the_threshold_is_strict_and_nothing_stops_at_zero(load):
    result = load(effort="auto:0").derain_picture(Picture(photo()))
    assert result.blocks == 3
    assert np.array_equal(result.picture.rgb, load().derain(photo()))


def test_auto_goes_no_further_than_the_blocks_asked_for(load):
    result = load(effort=Effort(blocks=2, stop_below=0.0)).derain_picture(Picture(photo()))
    assert result.blocks == 2
    assert np.array_equal(result.picture.rgb, load(effort="2").derain(photo()))


def test_all_tiles_of_a_picture_stop_together(load):
    """Half of it is flat: tiles on their own would stop at different blocks."""
    rgb = photo(height=70, width=256)
    rgb[:, :128] = 128
    flat, busy = changes_of(load, rgb[:, :128]), changes_of(load, rgb[:, 128:])
    assert min(abs(f - b) for f, b in zip(flat, busy, strict=True)) > 0.1
    whole = changes_of(load, rgb)
    for block in (1, 2, 3):
        options = {"effort": f"auto:{whole[block - 1] * 1.01}"}
        alone = load(**options).derain_picture(Picture(rgb))
        tiled = load(tile=64, **options).derain_picture(Picture(rgb))
        assert tiled.blocks == alone.blocks
        np.testing.assert_array_equal(tiled.picture.rgb, alone.picture.rgb)


def test_few_tiles_of_a_large_picture_are_held(load, monkeypatch: pytest.MonkeyPatch):
    """Two of nine tiles decide on the blocks of all, so that memory does not grow with them."""
    rgb = photo(height=192, width=192)
    threshold = changes_of(load, rgb)[1] * 1.2
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    begin, most = tiles._RunningTile.__init__, 0

    def watched(self: Any, *given: Any) -> None:
        nonlocal most
        begin(self, *given)
        alive.add(self)
        most = max(most, len(alive))

    monkeypatch.setattr(tiles._RunningTile, "__init__", watched)
    monkeypatch.setattr(tiles, "_DECIDING", 2)
    told: list[tuple[int, int]] = []
    result = load(effort=f"auto:{threshold}", tile=64).derain_picture(
        Picture(rgb), lambda done, of: told.append((done, of))
    )
    assert most <= 4
    assert told[-1] == (9, 9)
    assert all(done <= of == 9 for done, of in told)
    fixed = load(effort=result.blocks, tile=64).derain(rgb)
    np.testing.assert_array_equal(result.picture.rgb, fixed)


def test_each_picture_of_a_batch_stops_for_itself(load):
    dry = torch.full((3, 64, 80), 0.5)
    wet = images.to_tensor(photo())[0]
    dry_rgb = np.full((64, 80, 3), 128, np.uint8)
    middle = (changes_of(load, dry_rgb)[0] + changes_of(load, photo())[0]) / 2
    derainer = load(effort=f"auto:{middle}")
    together = derainer.derain(torch.stack([dry, wet]))
    for picture, result in zip((dry, wet), together, strict=True):
        torch.testing.assert_close(derainer.derain(picture), result, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"effort": 4}, "--effort 4: the network of these weights has 1 to 3"),
        ({"effort": 0}, "--effort 0: the number of blocks must be 1 or more"),
        ({"effort": "half"}, "--effort half: give full, auto, auto:LEVELS"),
        ({"effort": "auto:"}, "--effort auto:: give full, auto, auto:LEVELS"),
        ({"effort": "auto:nan"}, "--effort auto:nan: the threshold must be 0 or more"),
        ({"effort": "auto:-1"}, "--effort auto:-1: the threshold must be 0 or more"),
    ],
)
def test_efforts_that_cannot_be(load, options: dict[str, Any], named: str):
    with pytest.raises(UsageError, match=named):
        load(**options)


@pytest.mark.parametrize("options", [{"effort": 1}, {"effort": "auto"}])
def test_other_methods_run_as_a_whole(tiny_weights: Path, options: dict[str, Any]):
    with pytest.raises(UsageError, match="always runs as a whole"):
        inference.load("tiny", weights=tiny_weights, device="cpu", **options)
