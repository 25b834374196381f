"""Manifests survive the disk, and damaged ones say where."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from rainkit.datasets import manifest
from rainkit.errors import DatasetError, FileError


@pytest.fixture
def full_record(plain_record: manifest.Record) -> manifest.Record:
    """A frame with all that a manifest can say."""
    return dataclasses.replace(
        plain_record,
        id="größe_02_0001",
        input="seq/größe_02/0001.png",
        variant=2,
        split="test",
        frame=1,
        fps=25.0,
        group="größe",
        phash="00ff00ff00ff00ff",
        depth=manifest.DepthUsed(
            path="depth/größe.png",
            source="map",
            kind="kitti",
            metric=True,
            coverage=0.5,
            fog_scale=1.0,
        ),
        exposure_s=1 / 60,
    )


def test_what_is_written_is_read(tmp_path: Path, plain_record: manifest.Record) -> None:
    path = tmp_path / "manifest.jsonl"
    other = dataclasses.replace(plain_record, id="b", input="input/b.png", distance=12.5, variant=2)
    records = [plain_record, other]
    manifest.write(path, records)
    assert manifest.read(path) == records
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_a_manifest_is_not_overwritten_unasked(
    tmp_path: Path, plain_record: manifest.Record
) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest.write(path, [plain_record])
    with pytest.raises(FileError, match="exists"):
        manifest.write(path, [])
    manifest.write(path, [], overwrite=True)
    assert manifest.read(path) == []


def test_parquet_holds_the_same(
    tmp_path: Path, plain_record: manifest.Record, full_record: manifest.Record
) -> None:
    path = tmp_path / manifest.PARQUET
    noise = dataclasses.replace(
        plain_record, id="n", input="input/n.png", settings={}, degradation="noise", sigma=25.0
    )
    for records in ([plain_record, full_record, noise], [plain_record]):
        manifest.write_parquet(path, records, overwrite=True)
        assert manifest.read(path) == manifest.read(tmp_path) == records
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(DatasetError, match=r"manifest\.parquet: cannot be read"):
        manifest.read(path)


def test_manifests_of_the_first_version_are_read(
    tmp_path: Path, plain_record: manifest.Record
) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest.write(path, [plain_record])
    data = json.loads(path.read_text(encoding="utf-8"))
    new = {"split", "frame", "fps", "group", "phash", "depth", "exposure_s"}
    old = {name: value for name, value in data.items() if name not in new} | {"v": 1}
    del old["degradation"], old["sigma"]
    path.write_text(json.dumps(old) + "\n", encoding="utf-8")
    assert manifest.read(path) == [dataclasses.replace(plain_record, v=1)]


def test_parts_are_read_in_order_and_none_may_lack(
    tmp_path: Path, plain_record: manifest.Record, full_record: manifest.Record
) -> None:
    for part, record in ((2, full_record), (1, plain_record)):
        with pytest.raises(DatasetError):
            manifest.read(tmp_path)
        manifest.write(tmp_path / manifest.part_name(part, 2), [record])
    assert manifest.read(tmp_path) == [plain_record, full_record]
    manifest.write(tmp_path / manifest.part_name(3, 3), [])
    with pytest.raises(DatasetError, match="manifest-00001-of-00003"):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "../a.png",
        "/a.png",
        "input/../../a.png",
        "input//a.png",
        "./a.png",
        "",
        "..",
        "c:/a.png",
        "input\\a.png",
        "input/a.png/",
        "../x.tar::a.png",
    ],
)
@pytest.mark.parametrize("field", ["input", "target", "depth", "id", "split"])
def test_paths_that_lead_elsewhere_are_refused(
    tmp_path: Path,
    field: str,
    path: str,
    plain_record: manifest.Record,
    full_record: manifest.Record,
) -> None:
    assert full_record.depth is not None
    value = path if field != "depth" else dataclasses.replace(full_record.depth, path=path)
    manifest.write(
        tmp_path / "manifest.jsonl",
        [plain_record, dataclasses.replace(full_record, **{field: value})],
    )
    with pytest.raises(DatasetError, match=rf"line 2: {field}.* plain path below") as error:
        manifest.read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("link", ["input", "input/größe_01.png"])
def test_links_that_lead_elsewhere_are_refused(
    tmp_path: Path, link: str, plain_record: manifest.Record
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "dataset"
    (outside / "input").mkdir(parents=True)
    (outside / "input" / "größe_01.png").write_bytes(b"private")
    manifest.write(root / "manifest.jsonl", [plain_record])
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(outside / link)
    with pytest.raises(DatasetError, match=r"line 1: input .* link that leaves"):
        manifest.read(root)
    inside = root / "real.png"
    inside.write_bytes(b"own")
    (root / link).unlink()
    (root / "input").mkdir(exist_ok=True)
    (root / "input" / "größe_01.png").symlink_to(inside)
    assert manifest.read(root) == [plain_record]


def test_the_same_picture_twice_is_refused(
    tmp_path: Path, plain_record: manifest.Record, full_record: manifest.Record
) -> None:
    manifest.write(tmp_path / "manifest.jsonl", [plain_record, full_record, plain_record])
    with pytest.raises(DatasetError, match="id größe_01 twice"):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"variant": 1', '"variant": "first"', "line 2: variant"),
        ('"variant": 1', '"varaint": 1', "line 2"),
        ('"y_psnr"', '"psnr"', "line 2: stats"),
        ('"v": 2', '"v": 9', "version 9"),
        ('"fmt"', '"form"', "line 2: encode.fmt: names no format"),
        ('"coverage": 0.0', '"coverage": NaN', "line 2: stats.coverage"),
        ("{", "", "line 2"),
    ],
)
def test_a_damaged_line_is_named(
    tmp_path: Path, old: str, new: str, said: str, plain_record: manifest.Record
) -> None:
    path = tmp_path / "manifest.jsonl"
    manifest.write(path, [plain_record, plain_record])
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
