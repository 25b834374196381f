"""Small photographs, and small datasets in every layout."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from rainkit import images
from rainkit.datasets import manifest
from rainkit.datasets.writers import Entry, Layout

SCENES = (("a", "train"), ("größe 2", "train"), ("c.d", "test"))
VARIANTS = 2
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
def files() -> Callable[[Path], dict[str, str]]:
    """Hashes of all files of a folder, by their paths in it."""
    return _files


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _picture(seed: int) -> images.RGB8:
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def _entries(
    *, split: bool = True, suffix: str = ".png"
) -> Iterator[tuple[Entry, images.RGB8, images.RGB8]]:
    """What synthesis asks for: three scenes with two rains each, two scenes to train on."""
    for index, (scene, where) in enumerate(SCENES):
        in_split = index % 2 if split else index
        for variant in range(1, VARIANTS + 1):
            entry = Entry(
                scene=scene,
                variant=variant,
                number=in_split * VARIANTS + variant,
                scene_number=in_split + 1,
                count=(4 if where == "train" else 2) if split else 6,
                split=where if split else "",
                suffix=suffix,
            )
            yield entry, _picture(10 * index + variant), _picture(10 * index)


def _plain_record(**changes: Any) -> manifest.Record:
    values: dict[str, Any] = {
        "id": "größe_01",
        "scene": "größe",
        "variant": 1,
        "source": "ordner/größe.jpg",
        "input": "input/größe_01.png",
        "target": "target/größe_01.png",
        "w": 4,
        "h": 3,
        "seed": (0, 2**64 - 1, 1),
        "rng": "PCG64",
        "preset": "default",
        "level": None,
        "rate_mm_h": 7.0,
        "wind_m_s": -0.5,
        "distance": None,
        "frame_width": 4.0,
        "beta_per_m": 0.0,
        "airlight": (1.0, 2.0, 3.0),
        "streak_rgb": (4.0, 5.0, 6.0),
        "n_drops": 3,
        "n_kept": 2,
        "settings": {"cuts_m": [0.0, 1.5], "streak_grey": None},
        "stats": manifest.Stats(y_psnr=None, mean_dy=0.0, coverage=0.0),
        "sha256": manifest.Hashes(clean="aa", input="bb"),
        "renderer": "layered/1",
        "lib": {"numpy": "2"},
    }
    return manifest.Record(**values | changes)


def _record(layout: Layout, entry: Entry, **changes: Any) -> manifest.Record:
    place = layout.place(entry)
    of_entry: dict[str, Any] = {
        "id": f"{entry.scene}_{entry.variant:02d}",
        "scene": entry.scene,
        "variant": entry.variant,
        "source": f"{entry.scene}.png",
        "input": place.input,
        "target": place.target,
        "w": 8,
        "h": 6,
        "seed": (0, 2**64 - 1, entry.variant),
        "frame_width": 8.0,
        "settings": {},
        "stats": manifest.Stats(y_psnr=30.5, mean_dy=1.5, coverage=0.25),
        "renderer": "layered/2",
        "split": entry.split or None,
    }
    return _plain_record(**of_entry | changes)


def _write(
    layout: Layout, out: Path, *, overwrite: bool = False, **how: Any
) -> list[manifest.Record]:
    records = []
    for entry, rainy, clean in _entries(**how):
        layout.write(out, entry, rainy, clean, overwrite=overwrite)
        records.append(_record(layout, entry))
    return records


def _make(
    layout: Layout, out: Path, *, overwrite: bool = False, **how: Any
) -> list[manifest.Record]:
    records = _write(layout, out, overwrite=overwrite, **how)
    layout.finish(out, records, overwrite=overwrite)
    return records


def _decoded(data: bytes) -> images.RGB8:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def _stored(out: Path, locator: str) -> images.RGB8:
    """The picture at a locator, read in the plainest way."""
    path, _, part = locator.partition("::")
    if path.endswith(".tar"):
        with tarfile.open(out / path) as tar:
            member = tar.extractfile(part)
            assert member is not None
            return _decoded(member.read())
    rgb = _decoded((out / path).read_bytes())
    middle = rgb.shape[1] // 2
    return {"": rgb, "left": rgb[:, :middle], "right": rgb[:, middle:]}[part]


@pytest.fixture(scope="session")
def plain_record() -> manifest.Record:
    """What a manifest says of one small picture whose names need UTF-8."""
    return _plain_record()


@pytest.fixture
def picture() -> Callable[..., Any]:
    """A picture of noise."""
    return _picture


@pytest.fixture
def entries() -> Callable[..., Any]:
    """What synthesis asks of a layout."""
    return _entries


@pytest.fixture
def record() -> Callable[..., Any]:
    """What a manifest says of an entry."""
    return _record


@pytest.fixture
def write() -> Callable[..., Any]:
    """Writes all entries without finishing."""
    return _write


@pytest.fixture
def make() -> Callable[..., Any]:
    """Writes all entries and finishes."""
    return _make


@pytest.fixture
def stored() -> Callable[..., Any]:
    """The picture at a locator."""
    return _stored
