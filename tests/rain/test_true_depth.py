"""Fog and rain over a scene whose depth was measured: the motorcycle of Middlebury 2014."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.depth import decode, encode
from rainkit.rain import PRESETS, render
from rainkit.rain.composition import to_range
from rainkit.rain.realism import fog_fit

FOCAL_PX, BASELINE_M, SCALE = 994.978, 0.193001, 20.0
"""The scene's calibration at this size. Everything is SCALE times as far away as it was, because
rain has no visible fog in a garage but does in a street of the same shape."""


@cache
def motorcycle() -> tuple[np.ndarray, np.ndarray]:
    """Return the left picture and its depth along the axis in metres."""
    left, _, disparity = data.stereo_motorcycle()
    disparity = np.where(np.isfinite(disparity) & (disparity > 1), disparity, 1.0)
    z = SCALE * FOCAL_PX * BASELINE_M / cv2.medianBlur(disparity.astype(np.float32), 5)
    return np.ascontiguousarray(left), decode(encode(np.minimum(z, 250).astype(np.float32)))


@pytest.mark.parametrize("rate", [7.0, 25.0])
def test_fog_follows_measured_depth(rate: float) -> None:
    clean, z = motorcycle()
    settings = PRESETS["misty"].at_rate(rate).changed({"streak_gain": 0.0, "fog_gain": 4.0})
    rainy = render(clean, settings, (1,), depth=z)
    ranges = to_range(z, settings.focal_px(clean.shape[1]))
    drawn = rainy.record
    fit = fog_fit(clean, rainy.rainy, drawn["airlight"], ranges, drawn["beta_per_m"])
    assert fit is not None
    assert fit.slope == pytest.approx(1, abs=0.03)
    assert fit.r >= 0.99


def test_a_surface_near_the_camera_hides_the_drops_behind_it() -> None:
    clean, z = motorcycle()
    settings = PRESETS["default"].at_rate(80)
    near = z / SCALE / 3
    front = near <= 1.5
    rainy = render(clean, settings, (1,), depth=near)
    open_air = render(clean, settings, (1,), depth=np.full_like(near, 100))
    assert 0.05 < front.mean() < 0.95
    assert rainy.opacity[front].mean() < 0.6 * open_air.opacity[front].mean()
    assert np.allclose(rainy.opacity[~front], open_air.opacity[~front], atol=1e-6)
