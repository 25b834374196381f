"""The strength of each preset's rain on pictures that come with scikit-image.

On 209 pictures of BSDS500 the presets have the following PSNR and SSIM on Y, with those of the
dataset of the same name in brackets: spa 34.3/.941 (34.15/.927), rain12 30.3/.895 (30.14/.855),
rain100l 27.1/.840 (26.90/.838), rain100h 13.7/.383 (13.56/.379). examples/checks/presets.py prints
such figures.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from rainkit.rain import PRESETS, RainSettings, render

PICTURES = ("astronaut", "coffee", "chelsea", "rocket")


@functools.cache
def picture(name: str) -> np.ndarray:
    return np.ascontiguousarray(getattr(data, name)()[..., :3])


def luma(rgb: np.ndarray) -> np.ndarray:
    return 16 + rgb @ np.array([65.481, 128.553, 24.966]) / 255


def strength(settings: RainSettings) -> tuple[float, float]:
    """Return the mean PSNR and SSIM on Y between the four pictures and their rainy versions."""
    psnr, ssim = [], []
    for index, name in enumerate(PICTURES):
        clean = picture(name)
        before, after = luma(clean), luma(render(clean, settings, (0, index)).rainy)
        psnr.append(10 * math.log10(255**2 / np.mean(np.square(after - before))))
        ssim.append(structural_similarity(before, after, data_range=255))
    return float(np.mean(psnr)), float(np.mean(ssim))


BANDS = {
    "default": (32.77, 0.894),
    "spa": (33.06, 0.898),
    "rain12": (29.52, 0.829),
    "rain100l": (26.25, 0.799),
    "rain100h": (13.46, 0.266),
    "wide": (30.98, 0.893),
    "short": (33.39, 0.908),
}


@pytest.mark.parametrize("name", sorted(BANDS))
def test_presets_are_as_strong_as_calibrated(name: str) -> None:
    psnr, ssim = strength(PRESETS[name])
    assert psnr == pytest.approx(BANDS[name][0], abs=0.7)
    assert ssim == pytest.approx(BANDS[name][1], abs=0.03)


def test_physical_rain_is_almost_invisible() -> None:
    psnr, ssim = strength(PRESETS["physical"])
    assert 55 < psnr < 70
    assert ssim > 0.999


def test_levels_are_ordered() -> None:
    levels = ("drizzle", "light", "moderate", "heavy", "violent")
    psnr = [strength(PRESETS["default"].at_level(level))[0] for level in levels]
    assert np.all(np.diff(psnr) < 0)


def test_rain100h_has_the_residual_of_rain100h() -> None:
    # Measured on 25 pairs of the set: mean 52, 83 % of pixels above 8, 99th percentile 141,
    # none darker, full-range luma.
    residual = []
    for index, name in enumerate(PICTURES):
        clean = picture(name)
        rainy = render(clean, PRESETS["rain100h"], (0, index)).rainy
        residual.append((luma(rainy) - luma(clean)).ravel() * 255 / 219)
    pooled = np.concatenate(residual)
    assert pooled.mean() == pytest.approx(52, abs=8)
    assert np.mean(pooled > 8) == pytest.approx(0.83, abs=0.08)
    assert np.percentile(pooled, 99) == pytest.approx(141, abs=15)
    assert pooled.min() >= -1e-9
