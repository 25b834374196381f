"""Pictures whose streaks are wider, or finer, than those that a network knows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rainkit import inference
from rainkit.errors import UsageError
from rainkit.images import RGB8
from rainkit.inference.work_size import choose_longest_side, resized, streak_width
from rainkit.networks import ImageOnly
from rainkit.objective import Derained
from rainkit.runtime_options import Magnification


class Opening(torch.nn.Module):
    """Takes off what is brighter than its surroundings and at most six pixels wide."""

    def forward(self, rainy: torch.Tensor) -> Derained:
        eroded = -F.max_pool2d(-F.pad(rainy, (3, 3, 0, 0), mode="replicate"), (1, 7), 1)
        opened = F.max_pool2d(F.pad(eroded, (3, 3, 0, 0), mode="replicate"), (1, 7), 1)
        return Derained(opened, {"half": rainy / 2})


class Clipping(torch.nn.Module):
    """Takes off what is brighter than 90 levels."""

    def forward(self, rainy: torch.Tensor) -> Derained:
        return Derained(rainy.clamp(max=90 / 255), {"half": rainy / 2})


def _derainer(
    derainer: inference.Derainer,
    work_size: int | Magnification | None,
    taking: type[torch.nn.Module] = Opening,
) -> inference.Derainer:
    network = ImageOnly(taking(), derainer.network.spec, derainer.runtime)
    return inference.Derainer(
        method=derainer.method,
        weights=derainer.weights,
        network=network,
        grid=derainer.grid,
        work_size=work_size,
    )


def _rain(height: int, width: int, streak: float, count: int) -> np.ndarray:
    """Vertical streaks with a Gaussian profile of the given width at half maximum, 0 to 1."""
    draw = np.random.default_rng(3)
    columns = np.arange(width)
    rain = np.zeros((height, width), np.float32)
    for centre in draw.uniform(0, width, count):
        profile = np.exp(-4 * np.log(2) * ((columns - centre) / streak) ** 2)
        top = int(draw.integers(0, height // 2))
        rain[top : top + height // 2] += profile.astype(np.float32)
    return rain.clip(0, 1)


def _scene(height: int, width: int) -> RGB8:
    """A smooth scene with detail of one pixel."""
    draw = np.random.default_rng(5)
    coarse = draw.uniform(60, 140, (9, 9, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (smooth + draw.integers(0, 2, (height, width, 1)) * 12).clip(0, 255).astype(np.uint8)


def _error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.fixture(scope="module")
def wide() -> tuple[RGB8, RGB8]:
    """A large scene, and the same one with streaks 16 pixels wide."""
    scene = _scene(700, 1500)
    rain = _rain(700, 1500, 16, 24)[..., None] * 90
    return scene, (scene + rain).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("width", [1.5, 2.0, 3.0])
def test_the_width_of_streaks_is_measured_in_pixels(width: float):
    # The autocorrelation of a Gaussian is wider than the Gaussian itself by the root of 2.
    found = streak_width(_rain(300, 400, width, 25))
    assert found == pytest.approx(width * 2**0.5, rel=0.15)
    assert streak_width(np.zeros((40, 60), np.float32)) == 1.0


def test_streaks_get_the_width_that_networks_know():
    asked: list[int] = []

    def find(picture: np.ndarray) -> np.ndarray:
        asked.append(picture.shape[1])
        return picture[..., 0].astype(np.float32)

    def side(streak: float) -> int:
        rain = (_rain(500, 2000, streak, 90) * 255).astype(np.uint8)
        return choose_longest_side(np.dstack([rain] * 3), find)

    assert side(8) == pytest.approx(2 * side(16), rel=0.2)
    assert asked[:2] == [640, 640]
    assert asked[2] < 320  # 16 pixels are too wide for the first look
    asked.clear()
    assert side(2.5) > 1200  # too fine for the first look
    assert asked[0] == 640
    assert max(asked[1:]) <= 640  # only parts of it are looked at, at higher resolutions


def test_small_pictures_are_seen_as_they_are():
    def find(_: np.ndarray) -> np.ndarray:
        raise AssertionError

    assert choose_longest_side(_scene(500, 700), find) == 700


def test_rain_of_a_large_picture_is_found_in_a_smaller_one(
    derainer: inference.Derainer, wide: tuple[RGB8, RGB8]
):
    scene, rainy = wide
    at_full_size = _derainer(derainer, 0).derain(rainy)
    restored = _derainer(derainer, None).derain(rainy)
    assert (restored.shape, restored.dtype) == (rainy.shape, np.uint8)
    rain = _error(rainy, scene)
    assert _error(at_full_size, scene) > 0.7 * rain
    assert _error(restored, scene) < 0.4 * rain
    dry = (rainy == scene).all(axis=2)
    assert _error(restored[dry], scene[dry]) < 3  # the detail of single pixels is 12 levels


def test_every_kind_of_picture_and_the_parts_have_the_full_size(
    derainer: inference.Derainer, wide: tuple[RGB8, RGB8]
):
    _, rainy = wide
    chosen = _derainer(derainer, 400)
    restored, parts = chosen.derain_with_parts(rainy)
    assert parts["half"].shape == parts["rain"].shape == rainy.shape
    assert _error(parts["half"] * 510, rainy) < 12
    np.testing.assert_allclose((rainy / 255 - parts["rain"]).clip(0, 1) * 255, restored, atol=0.51)
    deep = chosen.derain(rainy.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - restored).max() < 2
    floats = torch.from_numpy(rainy).permute(2, 0, 1).float() / 255
    batch = chosen.derain(torch.stack([floats, floats]))
    np.testing.assert_allclose(batch[1].permute(1, 2, 0) * 255, restored, atol=2)
    result = chosen.derain_picture(inference.derainer.Picture(rainy))
    assert result.work_size == (400, 187)
    np.testing.assert_array_equal(result.picture.rgb, restored)


def test_a_work_size_as_large_as_the_picture_changes_nothing(derainer: inference.Derainer):
    rgb = _scene(60, 90)
    at_full_size = _derainer(derainer, 0).derain(rgb)
    for side in (None, 90, 4000):
        np.testing.assert_array_equal(_derainer(derainer, side).derain(rgb), at_full_size)


def _specks(share: float, side: int = 1) -> tuple[RGB8, RGB8]:
    """A plain scene, and the same one with specks on a share of it."""
    scene = np.full((200, 300, 3), 90, np.uint8)
    draw = np.random.default_rng(7)
    spots = (draw.random((200, 300)) < share / side**2).astype(np.uint8)
    spots = cv2.dilate(spots, np.ones((side, side), np.uint8))
    return scene, scene + spots[..., None] * np.uint8(100)


def test_sampling_back_undoes_an_enlargement():
    plane = _specks(0.05)[1][..., 0].astype(np.float32)
    larger = resized(plane, (300, 450))
    by_areas = cv2.resize(larger, (300, 200), interpolation=cv2.INTER_AREA)
    assert _error(resized(larger, (200, 300)), plane) < 0.35 * _error(by_areas, plane)


def test_small_pictures_of_specks_are_seen_enlarged(derainer: inference.Derainer):
    scene, rainy = _specks(0.05)
    chosen = _derainer(derainer, None, Clipping)
    result = chosen.derain_picture(inference.derainer.Picture(rainy))
    assert result.work_size == (450, 300)
    assert result.picture.rgb.shape == rainy.shape
    assert _error(result.picture.rgb, scene) < 0.5 * _error(rainy, scene)
    np.testing.assert_array_equal(chosen.derain(rainy), result.picture.rgb)
    parted = chosen.derain_picture(inference.derainer.Picture(rainy), parts=True)
    assert parted.work_size == (450, 300)
    assert _error(parted.picture.rgb, result.picture.rgb) < 0.6
    assert parted.parts["half"].rgb.shape == rainy.shape
    deep = chosen.derain(rainy.astype(np.uint16) * 257)
    assert np.abs(deep / 257 - result.picture.rgb).max() < 2
    floats = torch.from_numpy(rainy).permute(2, 0, 1).float() / 255
    found = chosen.derain(floats).permute(1, 2, 0) * 255
    np.testing.assert_allclose(found, result.picture.rgb, atol=2)
    (of_batch,) = chosen.derain_batch([inference.derainer.Picture(rainy)])
    assert of_batch.work_size == (450, 300)
    assert _error(of_batch.picture.rgb, result.picture.rgb) < 0.6


@pytest.mark.parametrize(
    ("share", "side", "why"),
    [(0.05, 4, "wide enough"), (0.3, 1, "too much"), (0.002, 1, "too little"), (0, 1, "dry")],
)
def test_other_small_pictures_are_not_enlarged(
    derainer: inference.Derainer, share: float, side: int, why: str
):
    _, rainy = _specks(share, side)
    picture = inference.derainer.Picture(rainy)
    assert _derainer(derainer, None, Clipping).derain_picture(picture).work_size is None, why


@pytest.mark.parametrize("size", [(1210, 70), (190, 190), (300, 60)])
def test_large_and_tiny_pictures_are_not_enlarged(
    derainer: inference.Derainer, size: tuple[int, int]
):
    rainy = cv2.resize(_specks(0.05)[1], size, interpolation=cv2.INTER_NEAREST)
    picture = inference.derainer.Picture(rainy)
    result = _derainer(derainer, None, Clipping).derain_picture(picture)
    assert result.work_size is None or result.work_size[0] <= size[0]


@pytest.mark.parametrize(("factor", "seen"), [(2, (600, 400)), (0.5, (150, 100)), (1, None)])
def test_a_factor_shows_the_network_each_picture_larger_or_smaller(
    derainer: inference.Derainer, factor: float, seen: tuple[int, int] | None
):
    scene, rainy = _specks(0.05, 2)
    picture = inference.derainer.Picture(rainy)
    chosen = _derainer(derainer, Magnification(factor), Clipping)
    assert chosen.settings()["work_size"] == f"{factor:g}x"
    result = chosen.derain_picture(picture)
    assert result.work_size == seen
    if factor >= 1:
        assert _error(result.picture.rgb, scene) < 0.5 * _error(rainy, scene)
    np.testing.assert_array_equal(chosen.derain(rainy), result.picture.rgb)
    floats = torch.from_numpy(rainy).permute(2, 0, 1).float() / 255
    found = chosen.derain(floats).permute(1, 2, 0) * 255
    np.testing.assert_allclose(found, result.picture.rgb, atol=2)
    assert chosen.batch_size(300, 200, wanted=4) == (4 if seen is None else 1)
    by_hand = _derainer(derainer, 0, Clipping).derain(rainy)
    assert np.array_equal(result.picture.rgb, by_hand) == (seen is None)


def test_a_picture_that_a_factor_makes_too_large_is_refused(derainer: inference.Derainer):
    wide = np.zeros((200, 90_000, 3), np.uint8)
    with pytest.raises(UsageError, match="enlarged to 360000x800 it has more than 268435456"):
        _derainer(derainer, Magnification(4.0)).derain(wide)


@pytest.mark.parametrize("side", [0, 300, 4000])
def test_a_work_size_that_was_asked_for_is_kept(derainer: inference.Derainer, side: int):
    picture = inference.derainer.Picture(_specks(0.05)[1])
    assert _derainer(derainer, side, Clipping).derain_picture(picture).work_size is None
