"""Results that were saved under each other's names."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.evaluation import PROTOCOLS, FoldersRequest


def scene(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(20, 230, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (80, 60))


def notices(tmp_path: Path, restored: dict[str, np.ndarray], target: dict[str, np.ndarray]):
    for folder, pictures in (("ours", restored), ("wet", target)):
        (tmp_path / folder).mkdir()
        for name, rgb in pictures.items():
            assert cv2.imwrite(str(tmp_path / folder / f"{name}.png"), rgb)
    request = FoldersRequest(
        restored=tmp_path / "ours", target=tmp_path / "wet", protocols=(PROTOCOLS["prenet"],)
    )
    return evaluation.evaluate_folders(request).notices


def test_swapped_names_are_noticed(tmp_path):
    target = {name: scene(seed) for seed, name in enumerate("abcd")}
    blurred = {name: cv2.GaussianBlur(rgb, (0, 0), 1) for name, rgb in target.items()}
    (line,) = notices(tmp_path, blurred | {"a": blurred["c"], "c": blurred["a"]}, target)
    assert line == (
        "wet: 2 of 4 restored pictures look like the target of another: a like c, c like a;"
        " were they saved under each other's names?"
    )


@pytest.mark.parametrize("kind", ["blurred", "rainy", "dark", "inverted", "alike"])
def test_results_that_are_merely_bad_are_not(tmp_path, kind):
    target = {name: scene(seed) for seed, name in enumerate("abc")}
    rng = np.random.default_rng(9)
    worse = {
        "blurred": lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 6),
        "rainy": lambda rgb: cv2.add(rgb, rng.integers(0, 120, rgb.shape, np.uint8)),
        "dark": lambda rgb: rgb // 2,
        "inverted": lambda rgb: 255 - rgb,
        "alike": lambda rgb: rgb,
    }[kind]
    if kind == "alike":
        target = {name: cv2.add(scene(0), np.full(3, i * 9.0)) for i, name in enumerate("abc")}
    found = notices(tmp_path, {name: worse(rgb) for name, rgb in target.items()}, target)
    assert not any("saved under" in line for line in found)
