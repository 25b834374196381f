"""Small photographs, a request to rain on them, and hashes of what comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import images
from rainkit.rain import PRESETS
from rainkit.synthesis.request import SynthRequest

SIZES = {"a.png": (40, 60), "b.png": (33, 21), "deep/a.png": (50, 50)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs, one of them in a folder of its own."""
    folder = tmp_path / "photos"
    for index, (name, size) in enumerate(SIZES.items()):
        rng = np.random.default_rng(index)
        rgb = cv2.resize(rng.integers(0, 200, (4, 4, 3), dtype=np.uint8), size[::-1])
        images.write(folder / name, images.Picture(rgb))
    return folder


@pytest.fixture
def request_(photos: Path, tmp_path: Path) -> SynthRequest:
    """Two variants of each photograph, in one process."""
    return SynthRequest(
        inputs=(str(photos),),
        out=tmp_path / "out",
        settings=PRESETS["rain100h"],
        preset="rain100h",
        variants=2,
        workers=1,
    )


@pytest.fixture
def files() -> Callable[[Path], dict[str, str]]:
    """Hashes of all files of a folder, by their paths in it."""
    return _files


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
