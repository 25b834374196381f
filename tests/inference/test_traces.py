"""What is given back of what a network takes off: shifts of colour, and what is too faint."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from rainkit import inference
from rainkit.api import Method, Weights
from rainkit.images import Picture
from rainkit.inference.traces import spare_traces
from rainkit.networks import ImageOnly
from rainkit.objective import Derained


def _scene(height: int = 90, width: int = 310) -> np.ndarray:
    draw = np.random.default_rng(2)
    return draw.integers(40, 180, (height, width, 3)).astype(np.uint8)


def _spared(rainy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    given = clean.copy()
    spare_traces(rainy, given)
    return given


def test_shifts_of_colour_and_faint_dents_are_given_back():
    scene = _scene()
    shifted = scene - np.array([3, 0, 1], np.uint8)
    shifted[20:24, 50:200] -= 5  # faint, and the only one around
    np.testing.assert_array_equal(_spared(scene, shifted), scene)


def test_faint_rain_is_taken_off_where_there_is_much_of_it():
    """Streaks of 6 levels all over a picture are rain; a single one may be anything."""
    scene = _scene(400, 120)
    few, many = scene.copy(), scene.copy()
    few[100:140, 60:62] += 6
    many[:, ::6] += 6
    many[:, 1::6] += 6
    np.testing.assert_array_equal(_spared(few, scene), few)
    np.testing.assert_allclose(_spared(many, scene), scene, atol=1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_rain_is_taken_off_as_before_in_every_type_of_picture(kind: type):
    rng = np.random.default_rng(4)
    scene = _scene(600, 90)
    rain = np.zeros((600, 90, 1), np.uint8)
    for _ in range(60):  # thick and thin streaks, and between them a veil of 2 levels
        top, left = rng.integers(0, 560), rng.integers(0, 88)
        rain[top : top + 40, left : left + 2] = rng.integers(25, 70)
    unit = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[kind]
    rainy, clean = ((each * np.float64(unit)).astype(kind) for each in (scene + rain, scene))
    given = _spared(rainy, clean)
    assert given.dtype == kind
    wet = rain[..., 0] > 0
    assert np.abs(given[wet] / unit - scene[wet]).mean() < 0.5
    np.testing.assert_allclose(given[~wet] / unit, scene[~wet], atol=1.01)


def test_bands_leave_no_seam():
    scene = _scene(520, 64)
    rainy = scene.copy()
    rainy[:, 30:32] += 60
    given = _spared(rainy, scene)
    error = np.abs(given.astype(int) - scene).max(axis=(1, 2))
    assert error.max() <= 1, "a streak through all bands"


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 9)])
def test_pictures_of_any_size_are_taken(size: tuple[int, int]):
    scene = _scene(*size)
    assert _spared(scene, scene).shape == scene.shape


class Darker(nn.Module):
    """Takes off two levels everywhere, and nothing else."""

    def forward(self, rainy: torch.Tensor) -> Derained:
        return Derained(rainy - 2 / 255, {})


def test_every_way_to_derain_spares_traces_alike(derainer: inference.Derainer):
    def made(spared: bool, work_size: int) -> inference.Derainer:
        return inference.Derainer(
            method=derainer.method,
            weights=derainer.weights,
            network=ImageOnly(Darker(), derainer.network.spec, derainer.runtime),
            grid=derainer.grid,
            spare_traces=spared,
            work_size=work_size,
        )

    scene = _scene(80, 120)
    as_found, spared = made(False, 0), made(True, 0)
    assert (as_found.derain(scene) == scene - 2).all()
    floats = torch.from_numpy(scene).permute(2, 0, 1).float() / 255
    result, parts = spared.derain_with_parts(scene)
    for given in (
        spared.derain(scene),
        result,
        spared.derain_picture(Picture(scene)).picture.rgb,
        spared.derain_picture(Picture(scene), parts=True).picture.rgb,
        spared.derain_batch([Picture(scene), Picture(scene)])[1].picture.rgb,
        (spared.derain(floats[None])[0].permute(1, 2, 0) * 255).round().numpy(),
        made(True, 64).derain(scene),
    ):
        np.testing.assert_array_equal(given, scene)
    assert np.abs(parts["rain"]).max() < 1e-6
    assert spared.settings() != as_found.settings()


def test_weights_say_whether_traces_are_spared(tiny_method: Method, derainer: inference.Derainer):
    assert not derainer.spare_traces
    path = derainer.weights.path
    assert inference.load(tiny_method, weights=path, spare_traces=True).spare_traces
    shipped = Weights(
        tag="here",
        variant="default",
        sha256=derainer.weights.sha256,
        file=path.name,
        licence="MIT",
        trained_on="nothing",
        recipe="none",
        spare_traces=True,
    )
    saying = dataclasses.replace(tiny_method, weights=(shipped,))
    assert inference.load(saying, weights=path).spare_traces
    assert not inference.load(saying, weights=path, spare_traces=False).spare_traces


def test_white_areas_stay_white_up_to_their_rims_and_streaks_do_not():
    """The dark roof and a saturated streak before it keep what the network made of them."""
    rainy = np.full((200, 160, 3), 255, np.uint8)
    rainy[100:] = 60
    rainy[110:190, 80:86] = 255
    clean = np.minimum(rainy, 241)
    clean[110:190, 80:86] = 60
    given = _spared(rainy, clean)
    np.testing.assert_array_equal(given[:100], rainy[:100])
    np.testing.assert_array_equal(given[100:], clean[100:])
