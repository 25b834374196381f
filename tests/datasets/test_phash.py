"""Perceptual hashes: equal for one scene, far apart for two, the same on every processor."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.datasets.phash import LIMIT, components, hamming, phash

SCENES = {
    "astronaut": data.astronaut(),
    "chelsea": data.chelsea(),
    "coffee": data.coffee(),
    "rocket": data.rocket(),
}

GOLDEN = {"astronaut": 0xC2924C5532BDDFC8, "chelsea": 0xB15FE6465121175E}

PRINT = "from skimage import data; from rainkit.datasets.phash import phash; print({})"


def half(rgb):
    return cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def jpeg(rgb):
    return cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)


def cropped(rgb):
    y, x = rgb.shape[0] // 100, rgb.shape[1] // 100
    return rgb[y:-y, x:-x]


def test_different_scenes_are_far_apart() -> None:
    hashes = [phash(rgb) for rgb in SCENES.values()]
    assert min(hamming(a, b) for a, b in itertools.combinations(hashes, 2)) >= 14


@pytest.mark.parametrize("name", SCENES)
def test_the_same_scene_is_recognised(name: str) -> None:
    rgb = SCENES[name]
    before = phash(rgb)
    assert hamming(before, phash(rgb[1:, 1:])) <= 4
    assert hamming(before, phash(half(rgb))) <= 4
    assert hamming(before, phash(jpeg(rgb))) <= 4
    assert hamming(before, phash(cropped(rgb))) <= LIMIT
    assert hamming(before, phash(rgb[:, ::-1])) > LIMIT


def test_a_hash_is_64_bits_that_never_change() -> None:
    assert phash(SCENES["astronaut"]) == GOLDEN["astronaut"]
    assert phash(SCENES["chelsea"]) == GOLDEN["chelsea"]


def test_processors_without_vector_units_agree() -> None:
    names = "*(phash(f()) for f in (data.astronaut, data.chelsea))"
    off = {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRINT.format(names)],
        env={**os.environ, **off, "OPENCV_CPU_DISABLE": "AVX2,AVX512-SKX,AVX512-ICL,FMA3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [int(word) for word in done.stdout.split()] == list(GOLDEN.values())


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (33, 31), (2000, 7)])
def test_any_size_will_do(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert 0 <= phash(rng.integers(0, 256, (*shape, 3), np.uint8)) < 2**64


def test_a_flat_picture_says_only_that_it_is_not_black() -> None:
    assert phash(np.full((40, 50, 3), 90, np.uint8)) == 1 << 63
    assert phash(np.zeros((40, 50, 3), np.uint8)) == 0


def test_hamming_counts_bits() -> None:
    assert hamming(0, 2**64 - 1) == 64
    assert hamming(0b1011, 0b0001) == 2


def test_components_follow_chains_and_are_named_after_their_first() -> None:
    chain = [0, 2**30 - 1, 0xFF, 0xFFFF, 2**63]
    assert components(chain) == [0, 1, 0, 0, 0]
    assert components(chain, limit=14) == [0, 0, 0, 0, 0]
    assert components(chain, limit=0) == [0, 1, 2, 3, 4]
    assert components([]) == []


def test_components_agree_with_looking_at_every_pair() -> None:
    rng = np.random.default_rng(1)
    centres = rng.integers(0, 2**63, 12)
    hashes = [int(c) ^ (1 << int(rng.integers(64))) ^ (1 << int(rng.integers(64))) for c in centres]
    hashes += [int(c) ^ (0b11111 << int(rng.integers(58))) for c in rng.permutation(centres)]
    label = list(range(len(hashes)))
    for _ in hashes:  # enough rounds for any chain
        for i, j in itertools.combinations(range(len(hashes)), 2):
            if hamming(hashes[i], hashes[j]) <= LIMIT:
                label[i] = label[j] = min(label[i], label[j])
    assert components(hashes) == label
    assert len(set(label)) <= 12


def test_ten_thousand_hashes_take_moments() -> None:
    rng = np.random.default_rng(2)
    some = [int(bits) for bits in rng.integers(0, 2**63, 5000)]
    assert components(some + some) == components(some) * 2
