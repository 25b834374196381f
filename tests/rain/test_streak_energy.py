"""Measures of rain without ground truth: on drawn streaks of known direction."""

import math

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.rain.streak_energy import brighter_share, directional_energy, streaks

CLEAN = np.ascontiguousarray(data.chelsea()[:240, :320])


def rainy(tilt_deg: float, brightness: int = 90) -> np.ndarray:
    draw = np.random.default_rng(2)
    layer = np.zeros(CLEAN.shape[:2], np.uint8)
    turn = math.radians(tilt_deg)
    for x, y in draw.integers(-30, [350, 270], (260, 2)).tolist():
        end = (round(x + 30 * math.sin(turn)), round(y + 30 * math.cos(turn)))
        cv2.line(layer, (x, y), end, brightness, 1, cv2.LINE_AA)
    return cv2.add(CLEAN, cv2.merge([layer] * 3))


@pytest.mark.parametrize("tilt", [-40.0, -12.0, 0.0, 25.0])
def test_the_direction_of_streaks_is_found(tilt):
    found = streaks(rainy(tilt))
    assert found.tilt_deg == pytest.approx(tilt, abs=5)
    assert found.strength > streaks(CLEAN).strength


def test_energy_falls_with_the_rain_and_ends_at_the_scenes_own():
    before = rainy(15)
    left = [directional_energy(rainy(15, level), before) for level in (90, 60, 30)]
    assert left[0] == pytest.approx(1)
    assert left[0] > left[1] > left[2] > directional_energy(CLEAN, before) > 0
    assert directional_energy(CLEAN, before) < 0.5


def test_energy_sees_streaks_and_not_their_mirror_image():
    before = rainy(25)
    assert directional_energy(rainy(-25), before) < 0.6


def test_blurring_is_not_told_from_deraining():
    # As the documentation warns: read it beside a measure of detail.
    before = rainy(15)
    assert directional_energy(cv2.blur(before, (9, 9)), before) < 0.1


def test_a_flat_picture_has_no_direction():
    flat = np.full((30, 30, 3), 90, np.uint8)
    assert math.isnan(streaks(flat).tilt_deg)
    assert math.isnan(directional_energy(flat, flat))


def test_coverage_counts_pixels_more_than_8_levels_brighter():
    target = np.full((10, 20, 3), 90, np.uint8)
    restored = target.copy()
    restored[:5, :8] += 9
    restored[5:, :8] += 8
    restored[:, 15:] -= 40
    assert brighter_share(restored, target) == pytest.approx(0.2)
    assert brighter_share(target, restored) == pytest.approx(0.25)
