"""Rain from a bank is like the rain that its tiles were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from rainkit.errors import UsageError
from rainkit.rain import PRESETS, Bank, RainSettings, render

CLEAN = np.ascontiguousarray(data.coffee()[:160, :240])


def bank(settings: RainSettings = PRESETS["default"], **options) -> Bank:
    return Bank(settings, (3,), **{"tiles": 2, "side": 300, "frame_width": 240} | options)


def test_the_same_seeds_give_the_same_pixels_and_others_do_not() -> None:
    first = bank().render(CLEAN, (1,)).rainy
    assert np.array_equal(first, bank().render(CLEAN, (1,)).rainy)
    assert not np.array_equal(first, bank().render(CLEAN, (2,)).rainy)
    other = Bank(PRESETS["default"], (4,), tiles=2, side=300, frame_width=240)
    assert not np.array_equal(first, other.render(CLEAN, (1,)).rainy)


@pytest.mark.parametrize("name", ["default", "rain100h"])
def test_it_rains_about_as_much_as_from_scratch(name: str) -> None:
    settings = PRESETS[name]
    made = [bank(settings).render(CLEAN, (n,)).opacity.mean() for n in range(24)]
    drawn = [render(CLEAN, settings, (n,)).opacity.mean() for n in range(12)]
    assert np.mean(made) == pytest.approx(np.mean(drawn), rel=0.25)
    assert np.std(made) > 0.1 * np.mean(made)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"blend": "add", "streak_grey": 255.0},
        {"dim": 0.7, "gamma": 1.5},
        {"light": "linear"},
    ],
    ids=str,
)
@pytest.mark.parametrize("distance", [None, 400.0])
def test_whole_numbers_blend_as_the_renderer_does(changes: dict, distance: float | None) -> None:
    settings = PRESETS["default"].changed({"rate_mm_h": 60.0, **changes})
    made = bank(settings).render(CLEAN, (5,), distance=distance, airlight=(200, 190, 180))
    share = made.clear[..., None]
    through = 1.0 if made.transmission is None else made.transmission[..., None]
    air, streak = np.array(made.record["airlight"]), np.array(made.record["streak_rgb"])
    scene, encode = 255 * settings.dim * (CLEAN / 255.0) ** settings.gamma, np.rint
    if settings.light == "linear":
        scene, air, streak = (255 * _linear(x / 255) for x in (scene, air, streak))

        def encode(x: np.ndarray) -> np.ndarray:
            return 255 * _stored(np.clip(x / 255, 0, 1))

    seen = scene * through + air * (1 - through)
    rainy = seen + streak * (1 - share)
    if settings.blend == "alpha":
        rainy = seen * share + streak * (1 - share)
    assert np.abs(made.rainy - np.clip(encode(rainy), 0, 255)).max() <= 2


def test_the_record_says_what_was_drawn() -> None:
    record = bank().render(CLEAN, (5, 6), distance=100.0).record
    assert record["renderer"] == "bank/1"
    assert record["seed"] == [5, 6]
    assert record["tile"] in (0, 1)
    assert 1 / 1.5 <= record["strength"] <= 1.5
    assert record.keys() >= render(CLEAN, PRESETS["default"], (1,)).record.keys()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="240x160 px needs a bank with a side of 240, not 200"):
        bank(side=200).render(CLEAN, (1,))
    with pytest.raises(UsageError, match="at least 1 tile"):
        bank(tiles=0)


def _linear(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _stored(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)
