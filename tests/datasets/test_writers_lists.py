"""Layouts with lists, tables and tar files: what these hold, and packing that can be stopped."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rainkit.datasets import parquet
from rainkit.datasets.writers import LAYOUTS, STAGING, HuggingFace, WebDataset
from rainkit.errors import DatasetError, FileError


def test_the_list_of_spa_has_rainy_and_clean_from_its_own_folder(make, tmp_path: Path) -> None:
    make(LAYOUTS["spa"], tmp_path)
    assert (tmp_path / "test.txt").read_text(encoding="utf-8") == (
        "/test/rain/c.d_01.png /test/norain/c.d.png\n/test/rain/c.d_02.png /test/norain/c.d.png\n"
    )


def test_metadata_of_hugging_face(make, tmp_path: Path) -> None:
    records = make(LAYOUTS["hf"], tmp_path)
    lines = (tmp_path / "train/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["file_name"] for row in rows] == [
        each.input.removeprefix("train/") for each in records[:4]
    ]
    for row in rows:
        assert (tmp_path / "train" / row["file_name"]).is_file()
        assert (tmp_path / "train" / row["target_file_name"]).is_file()
        assert row["rate_mm_h"] == 7.0
        assert row["coverage"] == 0.25


def test_columns_have_the_same_types_in_all_splits(entries, record, tmp_path: Path) -> None:
    """``datasets`` refuses splits of different types, and infers a missing value's as null."""
    from pyarrow import json as arrow

    changes = (
        {"id": "2024-01-01_01", "scene": "2024-01-01"},
        {"distance": "map", "level": "heavy", "rate_mm_h": 25, "wind_m_s": 1e-9},
        {"degradation": "noise", "sigma": 25, "rate_mm_h": 0},
    )
    layout = HuggingFace()
    records = [
        record(layout, entry, split=f"part{index}", **changed)
        for index, ((entry, *_), changed) in enumerate(zip(entries(), changes, strict=False))
    ]
    records = [replace(each, input=f"{each.split}/input/x.png") for each in records]
    layout.finish(tmp_path, records, overwrite=False)
    tables = [arrow.read_json(path) for path in sorted(tmp_path.rglob("metadata.jsonl"))]
    kinds = {str(field.type) for table in tables for field in table.schema}
    assert kinds == {"string", "int64", "double"}
    assert len({str(table.schema) for table in tables}) == 1


def test_hugging_faces_metadata_as_parquet(make, tmp_path: Path) -> None:
    layout = LAYOUTS["hf"]
    records = make(layout, tmp_path)
    lines = (tmp_path / "test/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    with pytest.raises(FileError, match=r"metadata\.jsonl.*--overwrite"):
        layout.finish(tmp_path, records, overwrite=False, parquet=True)
    layout.finish(tmp_path, records, overwrite=True, parquet=True)
    rows = parquet.read_parquet(tmp_path / "test/metadata.parquet")
    assert rows == [json.loads(line) for line in lines]
    assert not list(tmp_path.rglob("metadata.jsonl"))
    layout.finish(tmp_path, records, overwrite=False, parquet=True)
    with pytest.raises(FileError, match="other pairs; pass --overwrite"):
        layout.finish(tmp_path, records[1:], overwrite=False, parquet=True)


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def test_a_tar_file_says_nothing_of_when_and_by_whom(make, tmp_path: Path) -> None:
    records = make(LAYOUTS["wds"], tmp_path)
    found = members(tmp_path / "test-000000.tar")
    fields = ("input.png", "json", "target.png")
    names = [f"c%2Ed_0{variant}.{field}" for variant in (1, 2) for field in fields]
    assert [info.name for info in found] == names
    for info in found:
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
        assert info.mode == 0o644
    with tarfile.open(tmp_path / "test-000000.tar") as tar:
        member = tar.extractfile("c%2Ed_02.json")
        assert member is not None
        about = json.loads(member.read())
        assert (about["id"], about["rate_mm_h"]) == (records[-1].id, 7.0)


def test_samples_go_to_tar_files_by_their_number(entries, make, files, tmp_path: Path) -> None:
    make(WebDataset(samples=3), tmp_path, split=False)
    assert files(tmp_path).keys() == {"pairs-000000.tar", "pairs-000001.tar"}
    assert len(members(tmp_path / "pairs-000000.tar")) == 9
    default = LAYOUTS["wds"]
    assert isinstance(default, WebDataset)
    entry, *_ = next(entries())
    number = default.samples + 1
    assert default.place(replace(entry, number=number)).input.startswith("train-000001.tar::")


@pytest.mark.parametrize("stop", range(8))
@pytest.mark.parametrize("call", ["replace", "unlink"])
def test_packing_can_be_stopped_anywhere_and_done_again(
    write,
    make,
    files,
    stop: int,
    call: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layout = WebDataset(samples=2)
    make(layout, tmp_path / "whole")
    records = write(layout, tmp_path / "out")
    plain, left = getattr(Path, call), [stop]

    def kill(path: Path, *arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == -1:
            raise KeyboardInterrupt
        return plain(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, call, kill)
        try:
            layout.finish(tmp_path / "out", records, overwrite=False)
        except KeyboardInterrupt:
            assert (tmp_path / "out" / STAGING).exists()
        else:
            assert stop >= 3  # there are three tar files to put in place
    layout.finish(tmp_path / "out", records, overwrite=False)
    left_over = [path for path in files(tmp_path / "out") if ".rainkit-" in path]
    for path in left_over:
        (tmp_path / "out" / path).unlink()
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert not (tmp_path / "out" / STAGING).exists()


def test_overwriting_removes_what_a_killed_run_left_waiting(write, files, tmp_path: Path) -> None:
    layout = LAYOUTS["wds"]
    records = write(layout, tmp_path)
    layout.finish(tmp_path, records[:-1], overwrite=False)
    assert (tmp_path / STAGING / "test-000000" / "c%2Ed_02.input.png").exists()
    write(layout, tmp_path, overwrite=True)
    layout.finish(tmp_path, records[:-1], overwrite=True)
    assert files(tmp_path).keys() == {"train-000000.tar", "test-000000.tar"}


def test_pictures_that_are_gone_are_named(write, tmp_path: Path) -> None:
    layout = LAYOUTS["wds"]
    records = write(layout, tmp_path)
    (tmp_path / STAGING / "train-000000" / "a_02.input.png").unlink()
    with pytest.raises(DatasetError, match=r"train-000000\.tar: a_02\.input\.png"):
        layout.finish(tmp_path, records, overwrite=False)
    assert not (tmp_path / "train-000000.tar").exists()
    assert (tmp_path / STAGING / "train-000000" / "a_01.input.png").exists()


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_a_damaged_tar_file_is_refused(make, keep: int, tmp_path: Path) -> None:
    layout = LAYOUTS["wds"]
    records = make(layout, tmp_path)
    path = tmp_path / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"train-000000\.tar"):
        layout.finish(tmp_path, records, overwrite=False)


def test_a_full_disk_is_one_error_and_leaves_nothing_behind(entries, files, tmp_path: Path) -> None:
    entry, rainy, clean = next(entries())
    (tmp_path / "train").write_text("a file where a folder must be")
    with pytest.raises(FileError, match="train"):
        LAYOUTS["restormer"].write(tmp_path, entry, rainy, clean, overwrite=False)
    assert list(files(tmp_path)) == ["train"]


def test_lists_hold_names_with_any_kind_of_space(entries) -> None:
    entry, _, _ = next(entries())
    for space in (" ", "\u202f", "\u3000", "\u00a0"):
        path = LAYOUTS["spa"].place(replace(entry, scene=f"Shot 1{space}PM")).input
        assert len(path.split()) == 1
