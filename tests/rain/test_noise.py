"""Gaussian noise: its statistics, its purity, and the same bits on every processor."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from skimage import data

from rainkit.errors import ImageError, UsageError
from rainkit.rain.noise import Noise, add_noise

GREY = np.full((200, 200, 3), 128, np.uint8)


@pytest.mark.parametrize("sigma", [3.0, 10.0, 30.0])
def test_noise_is_white_and_as_strong_as_asked(sigma: float) -> None:
    noise = add_noise(GREY, sigma, (1,)).astype(np.float64) - 128
    assert noise.mean() == pytest.approx(0, abs=4 * sigma / noise.size**0.5)
    # Rounding to whole levels adds 1/12 of variance.
    assert noise.std() == pytest.approx((sigma**2 + 1 / 12) ** 0.5, rel=0.01)
    for axis in range(3):
        one, other = (np.delete(noise, index, axis).ravel() for index in (0, -1))
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.015
    inside = math.erf((sigma + 0.5) / sigma / 2**0.5)  # whole levels: half a level more than sigma
    assert (np.abs(noise) <= sigma).mean() == pytest.approx(inside, abs=0.01)


def test_noise_is_clipped_at_black_and_white() -> None:
    black = add_noise(np.zeros_like(GREY), 70.0, (2,))
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert (add_noise(np.full_like(GREY, 255), 255.0, (2,)) == 255).mean() > 0.49


def test_a_result_depends_on_picture_sigma_and_seed_alone() -> None:
    clean = data.astronaut()[:64, :64].copy()
    before = clean.copy()
    noisy = add_noise(clean, 30.0, (5, 6))
    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(noisy, add_noise(clean, 30.0, (5, 6)))
    for other in ((5,), (6, 5), (5, 7)):
        assert not np.array_equal(noisy, add_noise(clean, 30.0, other))
    np.testing.assert_array_equal(add_noise(clean, 0.0, (5,)), clean)
    # Twice the noise of the same seed is twice as large everywhere.
    one, two = (add_noise(GREY, s, (1,)).astype(int) - 128 for s in (10.0, 20.0))
    assert np.abs(two - 2 * one).max() <= 2


SCRIPT = """
import hashlib, numpy as np
from rainkit.rain.noise import add_noise
noisy = add_noise(np.arange(256, dtype=np.uint8).repeat(300).reshape(160, -1, 3), 30.0, (7, 8))
print(hashlib.sha256(noisy).hexdigest())
"""


def test_the_same_bits_without_the_processors_extensions() -> None:
    clean = np.arange(256, dtype=np.uint8).repeat(300).reshape(160, -1, 3)
    here = hashlib.sha256(add_noise(clean, 30.0, (7, 8))).hexdigest()
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stdout.strip() == here


def test_draws_are_rounded_before_use() -> None:
    """A draw must not change a picture by the last bit of a logarithm."""
    sigma, seed = 255.0, (7, 8)
    drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    normal = drawn.standard_normal(GREY.shape)
    exact, rounded = (
        np.clip(np.rint(128 + sigma * part), 0, 255)
        for part in (normal, np.rint(normal * 4096) / 4096)
    )
    assert (exact != rounded).sum() > 100, "the two can be told apart"
    np.testing.assert_array_equal(add_noise(GREY, sigma, seed), rounded)


@pytest.mark.parametrize("sigma", [-1.0, 256.0, float("nan"), float("inf")])
def test_bad_strengths_are_refused(sigma: float) -> None:
    with pytest.raises(UsageError, match="sigma must be 0 to 255"):
        add_noise(GREY, sigma, (0,))


@pytest.mark.parametrize("seed", [(), (-1,), 3])
def test_bad_seeds_are_refused(seed) -> None:
    with pytest.raises(UsageError, match="seed"):
        add_noise(GREY, 1.0, seed)


def test_only_bytes_are_taken() -> None:
    with pytest.raises(ImageError, match="float32"):
        add_noise(GREY.astype(np.float32), 1.0, (0,))


def test_a_range_is_drawn_evenly_and_has_bounds() -> None:
    rng = np.random.default_rng(0)
    drawn = [Noise(sigma_low=10.0, sigma_high=70.0).draw(rng) for _ in range(500)]
    assert 10 <= min(drawn) < 12
    assert 68 < max(drawn) <= 70
    assert np.mean(drawn) == pytest.approx(40, abs=3)
    assert Noise(sigma_low=30.0, sigma_high=30.0).draw(rng) == 30.0
    for low, high in ((20.0, 10.0), (-1.0, 5.0), (0.0, 300.0), (float("nan"), 5.0)):
        with pytest.raises(UsageError, match="noise: keep"):
            Noise(sigma_low=low, sigma_high=high)
