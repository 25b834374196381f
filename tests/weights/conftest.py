"""Files to look into: a small network's weights, and the run folder of a tiny training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rainkit_graspp_gan import METHOD, Network
from skimage import data
from torch import nn

from rainkit import hyperparameters, images, networks, training, weights
from rainkit.datasets.sources import DataRequest
from rainkit.images import Picture
from rainkit.rain import PRESETS, render

TINY = (
    "network.width1=4", "network.width2=4", "network.width3=4", "network.width4=4",
    "network.context=4", "training.batch=2", "training.patch=32", "training.steps=2",
    "training.epoch_steps=2", "training.warmup_steps=0", "objective.alone_epochs=1",
)  # fmt: skip


@pytest.fixture
def make():
    """A small network whose fresh weights depend on the seed alone."""

    def call(seed: int, width: int = 8) -> nn.Module:
        widths = dict.fromkeys(("width1", "width2", "width3", "width4", "context"), width)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return networks.build(METHOD, Network(**widths))

    return call


@pytest.fixture
def saved(make, tmp_path: Path) -> Path:
    """The network of seed 3 as rainkit writes it."""
    path = tmp_path / "small.safetensors"
    settings = Network(width1=8, width2=8, width3=8, width4=8, context=8)
    weights.save(
        path, make(3).state_dict(), method=METHOD, variant="default", network=settings,
        about={"step": "12"},
    )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run folder; read only: copy it to change it."""
    folder = tmp_path_factory.mktemp("trained")
    clean = Picture(rgb=np.ascontiguousarray(data.astronaut()[100:148, 100:164]))
    rainy = Picture(rgb=render(clean.rgb, PRESETS["rain100h"], (0,)).rainy)
    images.write(folder / "pairs" / "input" / "a.png", rainy)
    images.write(folder / "pairs" / "target" / "a.png", clean)
    photos = str(folder / "pairs" / "target")
    training.train(
        training.TrainRequest(
            method=METHOD,
            variant="default",
            hyperparameters=hyperparameters.resolve(METHOD, settings=TINY),
            data=DataRequest(clean=(photos,), validation=(str(folder / "pairs"),)),
            run=folder / "run",
            seed=5,
            device="cpu",
            precision="fp32",
            settings=training.RunSettings(workers=0),
            command=("rainkit", "train", "--clean", photos),
        )
    )
    return folder / "run"
