"""A Derainer with random weights, and photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images, inference, networks, weights
from rainkit.api import Method
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


@pytest.fixture(scope="session")
def two_weights(tiny_method: Method, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of two networks of the tiny method, by their stems."""
    folder = tmp_path_factory.mktemp("two")
    for seed, name in enumerate(("first", "second")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            state = networks.build(tiny_method, tiny_method.default.network).state_dict()
        weights.save(
            folder / f"{name}.safetensors",
            state,
            method=tiny_method,
            variant="default",
            network=tiny_method.default.network,
        )
    return {path.stem: str(path) for path in folder.iterdir()}
