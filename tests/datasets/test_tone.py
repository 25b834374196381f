"""Giving the clean side of a pair the tone of its rainy side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.datasets.sources.tone import apply_curve, tone_curve
from rainkit.images import Picture

CLEAN = np.ascontiguousarray(data.astronaut()[:300, :400])


def darkened(gammas: tuple[float, float, float]) -> np.ndarray:
    channels = [255 * (CLEAN[..., k] / 255) ** gamma for k, gamma in enumerate(gammas)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def rained(picture: np.ndarray) -> np.ndarray:
    """A fifth of all pixels brighter, by up to 150 levels, in short vertical streaks."""
    rng = np.random.default_rng(3)
    light = np.zeros(picture.shape[:2])
    for _ in range(1200):
        top, left = rng.integers(picture.shape[0] - 20), rng.integers(picture.shape[1])
        light[top : top + 20, left] = rng.uniform(40, 150)
    assert 0.15 < (light > 0).mean() < 0.3
    return np.clip(picture + light[..., None], 0, 255).astype(np.uint8)


def test_a_pair_of_one_tone_keeps_it() -> None:
    curve = tone_curve(CLEAN, CLEAN)
    assert curve.shape == (3, 256)
    assert curve.dtype == np.uint8
    assert np.abs(curve.astype(int) - np.arange(256)).max() <= 1
    assert np.abs(apply_curve(CLEAN, curve).astype(int) - CLEAN).max() <= 1


def test_a_picture_with_few_levels_keeps_the_others_too() -> None:
    narrow = (CLEAN // 4 + 100).astype(np.uint8)
    assert np.abs(tone_curve(narrow, narrow).astype(int) - np.arange(256)).max() <= 1
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert np.abs(tone_curve(flat, flat).astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("gammas", [(1.0, 1.0, 1.0), (1.8, 1.8, 1.8), (1.2, 1.5, 1.1)])
def test_a_tone_is_found_through_streaks(gammas: tuple[float, float, float]) -> None:
    toned = darkened(gammas)
    curve = tone_curve(CLEAN, rained(toned))
    apart = np.abs(apply_curve(CLEAN, curve).astype(int) - toned)
    assert apart.mean() < 0.7
    assert np.percentile(apart, 99) <= 2
    assert (np.diff(curve.astype(int)) >= 0).all(), "monotone"
    before = np.abs(CLEAN.astype(int) - toned).mean()
    assert before > 10 or gammas == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("covered", [0.5, 0.95])
def test_the_light_of_rain_that_covers_nearly_everything_stays_out_of_the_target(
    covered: float,
) -> None:
    rng = np.random.default_rng(5)
    light = rng.uniform(30, 90, CLEAN.shape[:2]) * (rng.random(CLEAN.shape[:2]) < covered)
    rainy = np.clip(CLEAN + light[..., None], 0, 255).astype(np.uint8)
    target = apply_curve(CLEAN, tone_curve(CLEAN, rainy)).astype(int)
    assert (target <= CLEAN).all(), "rain adds light, so what is brighter is rain"
    assert np.abs(target - CLEAN).mean() < 0.7


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        tone_curve(CLEAN, CLEAN[:-1])


def test_training_matches_the_clean_side_of_pairs(tmp_path: Path) -> None:
    toned = darkened((1.8, 1.8, 1.8))
    for side, rgb in {"target": CLEAN, "input": rained(toned)}.items():
        images.write(tmp_path / side / "a.png", Picture(rgb=rgb))
    training = Training(patch=64, augment="none")
    plain, matched = (
        open_sources(
            DataRequest(pairs=(str(tmp_path),), shrink=1.0, match_tone=match), training, seed=0
        )
        for match in (False, True)
    )
    curve = torch.from_numpy(tone_curve(CLEAN, rained(toned)))
    for k in range(4):
        assert torch.equal(plain[k][0], matched[k][0]), "the rainy side stays"
        expected = torch.stack([curve[c][plain[k][1][c].long()] for c in range(3)])
        assert torch.equal(matched[k][1], expected)
