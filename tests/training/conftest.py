"""Small real photographs, pairs of them, and networks that train in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rainkit_graspp_gan import METHOD
from skimage import data

from rainkit import hyperparameters, images
from rainkit.api import Method
from rainkit.datasets.sources import DataRequest
from rainkit.images import Picture
from rainkit.rain import PRESETS, render
from rainkit.training import RunSettings, TrainRequest

TINY = (
    "training.batch=2", "training.patch=32", "training.steps=6", "training.epoch_steps=3",
    "training.warmup_steps=0",
)  # fmt: skip
NARROW = (
    "network.width1=4", "network.width2=4", "network.width3=4", "network.width4=4",
    "network.context=4", "objective.alone_epochs=1",
)  # fmt: skip


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee", "chelsea"):
        rgb = np.ascontiguousarray(getattr(data, name)()[100:170, 100:190])
        images.write(folder / f"{name}.png", Picture(rgb=rgb), overwrite=False)
    return folder


@pytest.fixture(scope="session")
def pairs(photos: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("validation") / "pairs0"
    for number, found in enumerate(images.find([photos])):
        clean = images.read(found.path)
        rainy = Picture(rgb=render(clean.rgb, PRESETS["rain100h"], (number,)).rainy)
        images.write(folder / "input" / found.relative, rainy, overwrite=False)
        images.write(folder / "target" / found.relative, clean, overwrite=False)
    return folder


@pytest.fixture
def request_for(tiny_method: Method, photos: Path, pairs: Path, tmp_path: Path):
    """Make a request for a tiny run; keyword arguments replace its fields and run settings."""

    def make(run: str = "run", settings: tuple[str, ...] = (), **fields) -> TrainRequest:
        own = {n: fields.pop(n) for n in RunSettings.__dataclass_fields__ if n in fields}
        method, variant = fields.get("method", tiny_method), fields.get("variant", "default")
        resolved = fields.get("hyperparameters") or hyperparameters.resolve(
            method, variant, settings=(*TINY, *settings)
        )
        plain = {
            "method": method,
            "variant": variant,
            "hyperparameters": resolved,
            "data": DataRequest(clean=(str(photos),), validation=(str(pairs),)),
            "run": tmp_path / run,
            "seed": 5,
            "device": "cpu",
            "precision": "fp32",
            "settings": RunSettings(**{"workers": 0, **own}),
        }
        return TrainRequest(**{**plain, **fields})

    return make


@pytest.fixture
def adversarial_for(request_for):
    """As request_for, of a network with BatchNorm and a critic that joins after an epoch."""

    def make(run: str = "run", settings: tuple[str, ...] = (), **fields) -> TrainRequest:
        return request_for(run, (*NARROW, *settings), **{"method": METHOD} | fields)

    return make
