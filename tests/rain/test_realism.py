"""Measures of rain give the right numbers for rain that is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from skimage import data

from rainkit.rain import PRESETS, physics, render
from rainkit.rain.realism import coverage_slope, expected_tilt, fog_fit, measure, residual, segment

SCENE = np.ascontiguousarray(data.coffee())
GREY = np.full((300, 360, 3), 60, np.uint8)
NO_WIND_SPREAD = replace(PRESETS["default"], wind_sd_m_s=0.0)


def streak(tilt_deg: float, length: float, sd: float, height: float = 90.0) -> np.ndarray:
    """Return a picture of one streak over grey, even along and with a Gaussian profile across."""
    y, x = np.mgrid[:300, :360].astype(float)
    y, x = y - 150, x - 180
    turn = math.radians(tilt_deg)
    along = x * math.sin(turn) + y * math.cos(turn)
    across = x * math.cos(turn) - y * math.sin(turn)
    profile = height * np.exp(-(across**2) / (2 * sd**2)) * (np.abs(along) < length / 2)
    return np.rint(GREY + profile[..., None]).astype(np.uint8)


@pytest.mark.parametrize("tilt", [-70, -30, -8, 0, 5, 20, 45, 80])
def test_a_streak_is_as_tilted_as_it_was_drawn(tilt: float) -> None:
    assert measure(GREY, streak(tilt, 80, 1.2)).tilt_deg == pytest.approx(tilt, abs=0.5)


def test_lower_ends_on_the_right_are_positive() -> None:
    rainy = GREY.copy()
    for y in range(50, 250):
        rainy[y, 100 + y // 3] = 200
    assert 15 < measure(GREY, rainy).tilt_deg < 20  # 18.4, but for its steps


@pytest.mark.parametrize(("length", "sd"), [(40, 1.0), (100, 1.5), (30, 3.0)])
def test_length_and_width_are_those_of_the_streak(length: float, sd: float) -> None:
    found = measure(GREY, streak(15, length, sd))
    assert found.length_px == pytest.approx(length, rel=0.06)
    assert found.width_px == pytest.approx(3.33 * sd, rel=0.06)


def test_streaks_longer_than_can_be_seen_are_infinite() -> None:
    assert measure(GREY, streak(0, 2000, 1.5)).length_px == math.inf


def test_strength_is_counted_in_levels() -> None:
    rainy = GREY.copy()
    rainy[:150] += 20
    rainy[200:230] -= 20
    found = measure(GREY, rainy)
    assert found.mean_dy == pytest.approx(20 * 0.5 - 20 * 0.1, abs=1e-4)
    assert (found.brighter, found.darker) == (0.5, 0.1)
    assert found.p99 == pytest.approx(20, abs=1e-4)
    error = 400 * 0.6 * (219 / 255) ** 2
    assert found.y_psnr == pytest.approx(10 * math.log10(255**2 / error), abs=1e-6)


def test_chroma_is_the_share_that_is_not_grey() -> None:
    grey, red = GREY.copy(), GREY.copy()
    grey[:100] += 30
    red[:100, :, 0] += 30
    assert measure(GREY, grey).chroma == pytest.approx(0, abs=1e-6)
    y = 0.299
    assert measure(GREY, red).chroma == pytest.approx(
        math.sqrt(((1 - y) ** 2 + 2 * y**2) / 1), abs=1e-4
    )


def test_without_rain_there_is_nothing_to_measure() -> None:
    found = measure(SCENE, SCENE)
    assert found.y_psnr == math.inf
    assert found.mean_dy == found.brighter == found.darker == found.p99 == 0
    assert all(
        map(
            math.isnan,
            (found.tilt_deg, found.tilt_sd_deg, found.length_px, found.width_px, found.chroma),
        )
    )


def test_the_residual_has_the_sign_of_the_rain() -> None:
    assert residual(GREY, GREY + 5) == pytest.approx(5, abs=1e-4)
    assert residual(GREY, GREY - 5) == pytest.approx(-5, abs=1e-4)


@pytest.mark.parametrize("wind", [-6, -2, 0, 4])
def test_rendered_streaks_lean_as_wind_and_fall_speed_have_them(wind: float) -> None:
    settings = replace(NO_WIND_SPREAD, wind_m_s=float(wind))
    found = [measure(SCENE, render(SCENE, settings, (0, i)).rainy).tilt_deg for i in range(2)]
    expected = expected_tilt(7.0, wind, settings.smallest_mm)
    assert np.mean(found) == pytest.approx(expected, abs=2)
    assert np.sign(np.round(expected)) == np.sign(wind)


def test_rendered_streaks_turn_with_the_camera() -> None:
    settings = replace(NO_WIND_SPREAD, roll_deg=25.0)
    assert measure(SCENE, render(SCENE, settings, (0,)).rainy).tilt_deg == pytest.approx(25, abs=2)


def test_short_exposures_draw_short_streaks() -> None:
    lengths = [
        measure(SCENE, render(SCENE, replace(NO_WIND_SPREAD, exposure_s=t), (0,)).rainy).length_px
        for t in (1 / 250, 1 / 60, 1 / 30)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < 10 < lengths[1]


def test_coverage_of_rendered_rain_grows_as_it_should() -> None:
    rates = [0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0]
    settings = PRESETS["default"]
    cover = [
        measure(SCENE, render(SCENE, settings.at_rate(rate), (0, i)).rainy).brighter
        for i, rate in enumerate(rates)
    ]
    fit = coverage_slope(rates, cover)
    assert fit is not None
    assert fit.slope == pytest.approx(1.26, abs=0.3)  # one picture; 0.15 on a set
    assert fit.r > 0.95


def test_a_slope_is_that_of_the_fair_range() -> None:
    rates = np.geomspace(0.1, 100, 40)
    fit = coverage_slope(rates.tolist(), np.minimum(0.01 * rates**1.3, 0.2).tolist())
    assert fit is not None
    assert fit.slope == pytest.approx(1.3, abs=1e-6)
    assert fit.r == pytest.approx(1)
    assert coverage_slope([1, 2, 3], [0.1, 0.2, 0.3]) is None
    assert coverage_slope([2.0] * 20, [0.1] * 20) is None


def ramp(shape: tuple[int, int]) -> np.ndarray:
    rows = np.linspace(20, 220, shape[0], dtype=np.float32)
    return np.ascontiguousarray(np.repeat(rows[:, None], shape[1], axis=1))


def test_fog_that_follows_the_law_has_slope_one() -> None:
    beta, light = physics.extinction(50.0), (240.0, 235.0, 230.0)
    through = np.exp(-beta * ramp(SCENE.shape[:2]))[..., None]
    foggy = np.rint(SCENE * through + np.array(light) * (1 - through)).astype(np.uint8)
    fit = fog_fit(SCENE, foggy, light, ramp(SCENE.shape[:2]), beta)
    assert fit is not None
    assert fit.slope == pytest.approx(1, abs=0.01)
    assert fit.r > 0.99
    half = fog_fit(SCENE, foggy, light, ramp(SCENE.shape[:2]), beta / 2)
    assert half is not None
    assert half.slope == pytest.approx(2, abs=0.05)


def test_flat_depth_says_nothing_of_fog() -> None:
    flat = np.full(SCENE.shape[:2], 100, np.float32)
    assert fog_fit(SCENE, SCENE, (240, 240, 240), flat, 1e-3) is None
    grey = np.full_like(SCENE, 230)
    assert fog_fit(grey, grey, (240, 240, 240), ramp(SCENE.shape[:2]), 1e-2) is None


@pytest.mark.parametrize(("tilt", "sd"), [(-25.0, 1.2), (0.0, 2.0), (12.0, 3.0)])
def test_streaks_are_found_without_the_clean_picture(tilt: float, sd: float) -> None:
    """Their measures are right, in noise and beside flat lines, which are no streaks."""
    one = streak(tilt, 40, sd, height=70).astype(float)
    picture = np.maximum(one, np.roll(one, (60, 70), (0, 1)))
    picture[30] = picture[250] = 150
    picture += np.random.default_rng(1).normal(0, 1, picture.shape)
    found = segment(np.rint(picture).astype(np.uint8))
    assert len(found) == 2
    assert found.tilt_deg == pytest.approx([tilt] * 2, abs=2)
    assert found.length_px == pytest.approx([40] * 2, abs=3)
    assert found.width_px == pytest.approx([2.355 * sd] * 2, rel=0.15)
    assert found.contrast == pytest.approx([70] * 2, abs=6)
    assert found.edge_px == pytest.approx([2.26 * sd] * 2, rel=0.25)
    assert found.density == pytest.approx(2e4 / (300 * 360))
    assert found.coverage == pytest.approx(2 * 40 * 2.355 * sd / (300 * 360), rel=0.2)


def test_flat_pictures_and_horizontals_have_no_streaks() -> None:
    grey = np.full((60, 80, 3), 90, np.uint8)
    assert len(segment(grey)) == 0
    grey[10::12, 5:60] = 200
    assert len(segment(grey)) == 0
