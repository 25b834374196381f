"""Training on whole pictures, and changes of light and colour of both pictures of a pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.datasets.sources.mixed import Batch, collate
from rainkit.images import Picture

SIZES = {"wide": (60, 100), "tall": (90, 70), "tiny": (20, 30)}
"""Height and width."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    for name, (height, width) in SIZES.items():
        clean = np.ascontiguousarray(data.astronaut()[100 : 100 + height, 150 : 150 + width])
        images.write(root / "target" / f"{name}.png", Picture(rgb=clean))
        images.write(root / "input" / f"{name}.png", Picture(rgb=255 - clean))
    return root


def test_whole_pictures_keep_their_shape_and_are_never_enlarged(pairs: Path) -> None:
    training = Training(whole=50, augment="none")
    source = open_sources(DataRequest(pairs=(str(pairs),)), training, seed=0)
    expected = {}
    for name, size in {"wide": (50, 30), "tall": (39, 50), "tiny": (30, 20)}.items():
        clean = images.read(pairs / "target" / f"{name}.png").rgb
        expected[size[::-1]] = cv2.resize(clean, size, interpolation=cv2.INTER_AREA)
    seen = set()
    for k in range(20):
        rainy, clean = source[k]
        assert rainy.shape == clean.shape
        size = (clean.shape[1], clean.shape[2])
        np.testing.assert_array_equal(clean.permute(1, 2, 0).numpy(), expected[size])
        assert ((255 - rainy).int() - clean.int()).abs().max() <= 1, "shrunk alike"
        seen.add(size)
    assert seen == set(expected)


def test_sides_are_multiples_and_what_is_cut_off_varies(pairs: Path) -> None:
    training = Training(whole=100, augment="none")
    source = open_sources(DataRequest(pairs=(str(pairs),)), training, seed=0, multiple_of=16)
    wide = images.read(pairs / "target" / "wide.png").rgb
    seen, corners = set(), set()
    for k in range(40):
        rainy, clean = source[k]
        assert torch.equal(255 - rainy, clean)
        seen.add((clean.shape[1], clean.shape[2]))
        if seen and clean.shape == (3, 48, 96):
            windows = np.lib.stride_tricks.sliding_window_view(wide, (48, 96), (0, 1))
            same = (windows == clean.permute(1, 2, 0).numpy().transpose(2, 0, 1)).all((2, 3, 4))
            (corner,) = zip(*same.nonzero(), strict=True)
            corners.add(corner)
    assert seen == {(48, 96), (80, 64), (16, 16)}
    assert len(corners) > 4, "cut at random"


def test_whole_pictures_are_turned(pairs: Path) -> None:
    training = Training(whole=100, augment="d4")
    source = open_sources(DataRequest(pairs=(str(pairs),)), training, 0, multiple_of=8)
    again = open_sources(DataRequest(pairs=(str(pairs),)), training, 0, multiple_of=8)
    seen = set()
    for k in range(40):
        rainy, clean = source[k]
        assert torch.equal(255 - rainy, clean)
        assert torch.equal(again[k][1], clean)
        seen.add((clean.shape[1], clean.shape[2]))
    assert {(56, 96), (96, 56), (88, 64), (64, 88)} <= seen


def test_pictures_smaller_than_a_multiple_are_extended(pairs: Path) -> None:
    training = Training(whole=30, augment="none")
    source = open_sources(DataRequest(pairs=(str(pairs),)), training, 0, multiple_of=32)
    assert {tuple(source[k][0].shape) for k in range(12)} == {(3, 32, 32)}


def test_clean_photos_are_whole_and_have_one_scale(pairs: Path) -> None:
    request = DataRequest(clean=(str(pairs / "target"),), shrink=0.3)
    source = open_sources(request, Training(whole=50, patch=16, augment="none"), seed=0)
    sizes = {tuple(clean.shape[1:]) for _, clean in (source[k] for k in range(15))}
    assert sizes == {(30, 50), (50, 39), (20, 30)}


@pytest.mark.parametrize("painter", ["workers", "device"])
def test_batches_of_several_sizes_are_cut_to_the_middle(pairs: Path, painter: str) -> None:
    """On the fly, so that rain drawn for the whole picture falls on the part that is left."""
    request = DataRequest(clean=(str(pairs / "target"),), rain_on=painter, jpeg=0.0, rain_free=0.2)
    training = Training(whole=100, augment="none")
    source = open_sources(request, training, seed=3, multiple_of=4)
    alone = [collate([source[k]]).on(torch.device("cpu")) for k in range(8)]
    assert len({first.shape for first, _ in alone}) == 3
    assert any(not torch.equal(*pair) for pair in alone)
    batch = collate([source[k] for k in range(8)])
    assert isinstance(batch, Batch)
    together = batch.on(torch.device("cpu"))
    for stack, side in zip(together, (0, 1), strict=True):
        assert stack.shape == (8, 3, 20, 28)
        for n, pair in enumerate(alone):
            top, left = (pair[side].shape[2] - 20) // 2, (pair[side].shape[3] - 28) // 2
            assert torch.equal(stack[n], pair[side][0, :, top : top + 20, left : left + 28])


def test_the_device_paints_whole_pictures_as_workers_do(pairs: Path) -> None:
    request = DataRequest(clean=(str(pairs / "target"),), jpeg=0.0, sensor_noise=0.0)
    stacks = []
    for painter in ("workers", "device"):
        source = open_sources(replace(request, rain_on=painter), Training(whole=80), 1)
        stacks.append(collate([source[k] for k in range(6)]).on(torch.device("cpu")))
    assert torch.equal(stacks[0][1], stacks[1][1])
    assert (stacks[0][0].int() - stacks[1][0].int()).abs().max() <= 1
    assert not torch.equal(stacks[0][0], stacks[0][1])


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair that is equal on the right, and as different as can be on the left."""
    root = tmp_path_factory.mktemp("halves")
    clean = np.ascontiguousarray(data.coffee()[100:160, 150:230])
    rainy = clean.copy()
    rainy[:, :40] = 255 - clean[:, :40]
    for side, rgb in {"target": clean, "input": rainy}.items():
        images.write(root / side / "a.png", Picture(rgb=rgb))
    return root


def test_light_and_colours_of_both_pictures_change_alike(halves: Path) -> None:
    request = DataRequest(pairs=(str(halves),))
    training = Training(whole=80, augment="none", photometric=1.0)
    source, again = (open_sources(request, training, seed=0) for _ in range(2))
    plain = images.to_tensor(images.read(halves / "target" / "a.png").rgb)[0] * 255
    shifts = []
    for k in range(12):
        rainy, clean = source[k]
        assert torch.equal(rainy[..., 40:], clean[..., 40:])
        assert not torch.equal(rainy[..., :40], clean[..., :40])
        assert torch.equal(again[k][0], rainy)
        shifts.append((clean.float() - plain).mean((1, 2)))
    levels = torch.stack(shifts)
    assert (levels.abs().amax(1) > 1).sum() >= 10, "every sample is changed"
    assert levels.mean(1).min() < -3
    assert levels.mean(1).max() > 3
    assert (levels[:, 0] - levels[:, 2]).std() > 1, "colours too"


def test_a_share_of_samples_is_changed_and_the_others_stay_as_they_were(pairs: Path) -> None:
    request = DataRequest(pairs=(str(pairs),))
    never, at_times = (
        open_sources(request, Training(patch=16, photometric=share), seed=0) for share in (0.0, 0.4)
    )
    same = sum(all(map(torch.equal, never[k], at_times[k])) for k in range(60))
    assert 24 <= same <= 48


def test_clean_photos_change_before_the_rain_falls(pairs: Path) -> None:
    clean = (str(pairs / "target"),)
    training = Training(patch=16, photometric=1.0)
    dry = open_sources(DataRequest(clean=clean, rain_free=1.0, jpeg=0.0), training, seed=0)
    plain = open_sources(
        DataRequest(clean=clean, rain_free=1.0, jpeg=0.0), replace(training, photometric=0.0), 0
    )
    wet = open_sources(DataRequest(clean=clean, rain_free=0.0, jpeg=0.0), training, seed=0)
    for k in range(6):
        assert torch.equal(*dry[k]), "without rain a pair stays equal"
        assert torch.equal(wet[k][1], dry[k][1])
        assert not torch.equal(plain[k][1], dry[k][1])
