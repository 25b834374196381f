"""A Derainer with random weights, and photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images, inference
from rainkit.images import Picture


@pytest.fixture(scope="session")
def derainer(tiny_weights: Path) -> inference.Derainer:
    return inference.load("tiny", weights=tiny_weights, device="cpu", precision="fp32")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photographs, one of them in a folder of its own."""
    rgb = np.ascontiguousarray(data.coffee()[100:148, 100:172])
    images.write(tmp_path / "photos" / "a.jpg", Picture(rgb))
    images.write(tmp_path / "photos" / "trip" / "b.png", Picture(rgb[:40]))
    return tmp_path / "photos"
