"""Small sets of pairs, and plots that are drawn quickly."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _quick_plots(without_layout: None) -> None:
    """Leave the layout of plots to the tests of reports."""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two pairs, a and b, in the dataset wet."""
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        clean = cv2.GaussianBlur(rng.integers(0, 255, (40, 56, 3), np.uint8), (0, 0), 3)
        rain = rng.integers(0, 60, (40, 56, 1), np.uint8)
        for side, picture in (("clean", clean), ("rainy", cv2.add(clean, rain.repeat(3, 2)))):
            (tmp_path / "wet" / side).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / "wet" / side / f"{name}.png"), picture)
    return tmp_path / "wet"
