"""Manifests survive the disk, and damaged ones say where."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rainkit.datasets import manifest
from rainkit.errors import DatasetError, ImageError

RECORD = manifest.Record(
    id="größe_01",
    scene="größe",
    variant=1,
    source="ordner/größe.jpg",
    input="input/größe_01.png",
    target="target/größe_01.png",
    w=4,
    h=3,
    seed=(0, 2**64 - 1, 1),
    rng="PCG64",
    preset="default",
    level=None,
    rate_mm_h=7.0,
    wind_m_s=-0.5,
    distance=None,
    frame_width=4.0,
    beta_per_m=0.0,
    airlight=(1.0, 2.0, 3.0),
    streak_rgb=(4.0, 5.0, 6.0),
    n_drops=3,
    n_kept=2,
    settings={"cuts_m": [0.0, 1.5], "streak_grey": None},
    stats=manifest.Stats(y_psnr=None, mean_dy=0.0, coverage=0.0),
    sha256=manifest.Hashes(clean="aa", input="bb"),
    renderer="layered/1",
    lib={"numpy": "2"},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    records = [RECORD, dataclasses.replace(RECORD, distance=12.5, variant=2)]
    manifest.write(path, records)
    assert manifest.read(path) == records
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_a_manifest_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest.write(path, [RECORD])
    with pytest.raises(ImageError, match="exists"):
        manifest.write(path, [])
    manifest.write(path, [], overwrite=True)
    assert manifest.read(path) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"variant": 1', '"variant": "first"', "line 2: variant"),
        ('"variant": 1', '"varaint": 1', "line 2"),
        ('"y_psnr"', '"psnr"', "line 2: stats"),
        ('"v": 1', '"v": 9', "version 9"),
        ("{", "", "line 2"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest.write(path, [RECORD, RECORD])
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert old in second
    path.write_text(first + "\n" + second.replace(old, new, 1) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=said):
        manifest.read(path)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="manifest"):
        manifest.read(tmp_path / "none.jsonl")
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="manifest"):
        manifest.read(binary)
