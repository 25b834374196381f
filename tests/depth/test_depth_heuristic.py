from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.depth import DepthMap, decode, encode, open_source
from rainkit.depth.heuristic import estimate_depth
from rainkit.depth.masks import LONGEST_SIDE, shrink_by_halves, sky_mask

NOWHERE = Path("no-such-folder/photo.png")


def street(height: int = 240, width: int = 360) -> np.ndarray:
    """Return a picture of a road between two rows of houses under a blue sky."""
    rng = np.random.default_rng(0)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = rng.integers(40, 140, (height, width, 3))  # houses: rough
    picture[: height // 4] = [130, 170, 230]
    picture[height // 2 :] = 110
    return picture


def auto(clean: np.ndarray) -> DepthMap | None:
    return open_source("auto").of(NOWHERE, clean)


def test_a_street_is_near_below_and_beside_and_far_ahead_and_above() -> None:
    clean = street()
    depth = auto(clean)
    assert depth is not None
    z = depth.z
    assert (z.dtype, z.shape) == (np.float32, clean.shape[:2])
    assert np.all((z >= 1.5) & (z <= 150))
    rows = z[130:, 100:260].mean(axis=1)
    assert np.all(np.diff(rows) < 0.5)  # the ground comes nearer from row to row
    assert rows[0] > 3 * rows[-1]
    assert z[100, 180] > 2 * z[100, 5]  # the end of the street, and a wall
    assert z[:40].min() > z[70:].max()  # the sky
    assert (depth.kind, depth.source, depth.metric) == ("heuristic", "heuristic", False)
    assert (depth.coverage, depth.fog_scale, depth.file) == (1, 0.5, None)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "astronaut"])
def test_nothing_is_said_about_pictures_without_sky_and_road(name: str) -> None:
    assert auto(getattr(data, name)()) is None


def test_photographs_with_sky_get_a_depth_and_the_sky_is_farthest() -> None:
    clean = data.rocket()
    z = estimate_depth(clean)
    assert z is not None
    sky = sky_mask(clean)
    assert 0.3 < sky.mean() < 0.8
    assert not sky[340:].any()
    assert np.median(z[sky]) > 3 * np.median(z[340:])


def test_depth_follows_the_edges_of_the_picture() -> None:
    clean = street()
    clean[20:140, 170:190] = [30, 30, 30]  # a pole in front of the sky
    z = estimate_depth(clean)
    assert z is not None
    left, pole, right = z[40, 150], z[40, 180], z[40, 210]
    assert min(left, right) > 1.3 * pole
    assert abs(z[40, 160] - left) < 0.15 * left  # no wide halo


def test_haze_is_no_depth() -> None:
    """The dark channel rises with fog; on a clear day it only tells dark from bright things."""
    clean = street()
    bright = clean.copy()
    bright[130:, 100:160] += 60  # a patch of lighter road is as far as the road beside it
    plain, patched = estimate_depth(clean), estimate_depth(bright)
    assert plain is not None
    assert patched is not None
    inside = np.s_[150:220, 115:145]
    assert np.allclose(plain[inside], patched[inside], rtol=0.1)


def test_wide_tall_and_tiny_pictures_have_maps_of_their_size() -> None:
    for height, width in ((37, 700), (700, 37), (1030, 515), (257, 255)):
        z = estimate_depth(street(height, width))
        assert z is not None
        assert z.shape == (height, width)
    for height, width in ((1, 1), (2, 5), (9, 3)):
        z = estimate_depth(np.full((height, width, 3), 110, np.uint8))
        assert z is None or z.shape == (height, width)


def test_small_pictures_are_blocks_of_the_large_one() -> None:
    clean = street(515, 515)
    small, factor = shrink_by_halves(clean)
    assert factor == 4
    assert max(small.shape) <= LONGEST_SIDE
    block = clean[40:44, 80:84].reshape(-1, 3).mean(axis=0)
    assert np.all(np.abs(small[10, 20] - block) <= 1)


def test_the_guess_is_the_same_on_every_processor(tmp_path: Path) -> None:
    clean = cv2.GaussianBlur(street(301, 450), (0, 0), 1.1)
    z = estimate_depth(clean)
    assert z is not None
    np.save(tmp_path / "clean.npy", clean)
    script = """
import hashlib, sys
import cv2, numpy
from rainkit.depth import encode
from rainkit.depth.heuristic import estimate_depth
cv2.setNumThreads(int(sys.argv[2]))
print(hashlib.sha256(encode(estimate_depth(numpy.load(sys.argv[1])))).hexdigest())
"""
    plain = {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "OPENCV_CPU_DISABLE": "AVX512_SKX,AVX512_ICL,AVX2,FMA3,AVX,FP16",
    }
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "clean.npy"), "2"]
    done = subprocess.run(
        command, env=os.environ | plain, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == hashlib.sha256(encode(z)).hexdigest()
    assert np.array_equal(encode(decode(encode(z))), encode(z))


def test_a_guess_takes_milliseconds() -> None:
    clean = street(512, 512)

    def seconds() -> float:
        started = time.thread_time()
        estimate_depth(clean)
        return time.thread_time() - started

    assert min(seconds() for _ in range(8)) < 0.02
