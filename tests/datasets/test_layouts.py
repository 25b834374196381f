"""Layouts: the exact files of each, shared targets, and packing that can be stopped anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rainkit.datasets import manifest, tabular
from rainkit.datasets.layouts import (
    LAYOUTS,
    STAGING,
    Entry,
    HuggingFace,
    Layout,
    WebDataset,
    portable,
)
from rainkit.errors import DatasetError, ImageError, UsageError

RGB = NDArray[np.uint8]
SCENES = (("a", "train"), ("größe 2", "train"), ("c.d", "test"))
VARIANTS = 2


def picture(seed: int) -> RGB:
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def entries(*, split: bool = True, suffix: str = ".png") -> Iterator[tuple[Entry, RGB, RGB]]:
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
            yield entry, picture(10 * index + variant), picture(10 * index)


def record(layout: Layout, entry: Entry, **changes: Any) -> manifest.Record:
    place = layout.place(entry)
    values: dict[str, Any] = {
        "id": f"{entry.scene}_{entry.variant:02d}",
        "scene": entry.scene,
        "variant": entry.variant,
        "source": f"{entry.scene}.png",
        "input": place.input,
        "target": place.target,
        "w": 8,
        "h": 6,
        "seed": (0, 2**64 - 1, entry.variant),
        "rng": "PCG64",
        "preset": "default",
        "level": None,
        "rate_mm_h": 7.0,
        "wind_m_s": -0.5,
        "distance": None,
        "frame_width": 8.0,
        "beta_per_m": 0.0,
        "airlight": (1.0, 2.0, 3.0),
        "streak_rgb": (4.0, 5.0, 6.0),
        "n_drops": 3,
        "n_kept": 2,
        "settings": {},
        "stats": manifest.Stats(y_psnr=30.5, mean_dy=1.5, coverage=0.25),
        "sha256": manifest.Hashes(clean="aa", input="bb"),
        "renderer": "layered/2",
        "lib": {"numpy": "2"},
        "split": entry.split or None,
    }
    return manifest.Record(**values | changes)


def write(
    layout: Layout, out: Path, *, overwrite: bool = False, **how: Any
) -> list[manifest.Record]:
    records = []
    for entry, rainy, clean in entries(**how):
        layout.write(out, entry, rainy, clean, overwrite=overwrite)
        records.append(record(layout, entry))
    return records


def make(
    layout: Layout, out: Path, *, overwrite: bool = False, **how: Any
) -> list[manifest.Record]:
    records = write(layout, out, overwrite=overwrite, **how)
    layout.finish(out, records, overwrite=overwrite)
    return records


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def decoded(data: bytes) -> RGB:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def stored(out: Path, locator: str) -> RGB:
    """The picture at a locator, read in the plainest way."""
    path, _, part = locator.partition("::")
    if path.endswith(".tar"):
        with tarfile.open(out / path) as tar:
            member = tar.extractfile(part)
            assert member is not None
            return decoded(member.read())
    rgb = decoded((out / path).read_bytes())
    middle = rgb.shape[1] // 2
    return {"": rgb, "left": rgb[:, :middle], "right": rgb[:, middle:]}[part]


TREES = {
    "restormer": {
        f"{split}/{side}/{scene}_0{variant}.png"
        for scene, split in SCENES
        for variant in (1, 2)
        for side in ("input", "target")
    },
    "rain100": {
        f"{split}/{kind}-00{number}.png"
        for split, numbers in (("train", (1, 2, 3, 4)), ("test", (1, 2)))
        for number in numbers
        for kind in ("rain", "norain")
    },
    "ddn": {
        "train/rainy_image/1_1.png",
        "train/rainy_image/1_2.png",
        "train/rainy_image/2_1.png",
        "train/rainy_image/2_2.png",
        "test/rainy_image/1_1.png",
        "test/rainy_image/1_2.png",
        "train/ground_truth/1.png",
        "train/ground_truth/2.png",
        "test/ground_truth/1.png",
    },
    "did": {f"{split}/{scene}_0{variant}.png" for scene, split in SCENES for variant in (1, 2)},
    "spa": {
        "train.txt",
        "test.txt",
        "train/rain/a_01.png",
        "train/rain/a_02.png",
        "train/rain/größe%202_01.png",
        "train/rain/größe%202_02.png",
        "test/rain/c.d_01.png",
        "test/rain/c.d_02.png",
        "train/norain/a.png",
        "train/norain/größe%202.png",
        "test/norain/c.d.png",
    },
    "hf": {
        "train/metadata.jsonl",
        "test/metadata.jsonl",
        "train/input/a_01.png",
        "train/input/a_02.png",
        "train/input/größe 2_01.png",
        "train/input/größe 2_02.png",
        "test/input/c.d_01.png",
        "test/input/c.d_02.png",
        "train/target/a.png",
        "train/target/größe 2.png",
        "test/target/c.d.png",
    },
    "wds": {"train-000000.tar", "test-000000.tar"},
}


def test_every_layout_is_covered() -> None:
    assert list(TREES) == list(LAYOUTS)
    assert all(layout.name == name and layout.doc for name, layout in LAYOUTS.items())


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_tree_of_a_layout(name: str, tmp_path: Path) -> None:
    make(LAYOUTS[name], tmp_path)
    assert tree(tmp_path).keys() == TREES[name]
    assert not (tmp_path / STAGING).exists()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("split", [True, False])
def test_pictures_lie_where_the_place_says(name: str, split: bool, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    make(layout, tmp_path, split=split)
    places = set()
    for entry, rainy, clean in entries(split=split):
        place = layout.place(entry)
        np.testing.assert_array_equal(stored(tmp_path, place.input), rainy)
        np.testing.assert_array_equal(stored(tmp_path, place.target), clean)
        places.add(place.input.casefold())
    assert len(places) == 6


@pytest.mark.parametrize("name", LAYOUTS)
def test_jpeg_in_all_layouts(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    records = make(layout, tmp_path, suffix=".jpg")
    for each in records:
        assert stored(tmp_path, each.input).shape == stored(tmp_path, each.target).shape
    assert not [path for path in tree(tmp_path) if path.endswith(".png")]


def test_without_a_split_there_are_no_split_folders(tmp_path: Path) -> None:
    entry, *_ = next(entries(split=False))
    places = {name: layout.place(entry) for name, layout in LAYOUTS.items()}
    assert {name: (place.input, place.target) for name, place in places.items()} == {
        "restormer": ("input/a_01.png", "target/a_01.png"),
        "rain100": ("rain-001.png", "norain-001.png"),
        "ddn": ("rainy_image/1_1.png", "ground_truth/1.png"),
        "did": ("a_01.png::left", "a_01.png::right"),
        "spa": ("rain/a_01.png", "norain/a.png"),
        "hf": ("train/input/a_01.png", "train/target/a.png"),
        "wds": ("pairs-000000.tar::a_01.input.png", "pairs-000000.tar::a_01.target.png"),
    }


@pytest.mark.parametrize("name", ["restormer", "rain100"])
def test_targets_of_a_scene_are_one_file(name: str, tmp_path: Path) -> None:
    make(LAYOUTS[name], tmp_path)
    first, second = (tmp_path / LAYOUTS[name].place(entry).target for entry, *_ in [*entries()][:2])
    assert first != second
    assert os.path.samefile(first, second)


@pytest.mark.parametrize("name", LAYOUTS)
def test_targets_are_copied_where_links_cannot_be_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(LAYOUTS[name], tmp_path / "linked")

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    make(LAYOUTS[name], tmp_path / "copied")
    assert tree(tmp_path / "linked") == tree(tmp_path / "copied")


def test_a_target_of_another_dataset_is_never_linked_to(tmp_path: Path) -> None:
    layout = LAYOUTS["restormer"]
    (one, rainy, clean), (two, *_), *_ = entries()
    layout.write(tmp_path, one, rainy, 255 - clean, overwrite=False)
    # The second variant comes first: its scene's first target is the former dataset's.
    layout.write(tmp_path, two, rainy, clean, overwrite=True)
    np.testing.assert_array_equal(stored(tmp_path, layout.place(two).target), clean)
    layout.write(tmp_path, one, rainy, clean, overwrite=True)
    np.testing.assert_array_equal(stored(tmp_path, layout.place(one).target), clean)


def test_a_clean_picture_changed_in_place_is_written_anew(tmp_path: Path) -> None:
    layout = LAYOUTS["ddn"]
    (one, rainy, clean), _, (other, *_), *_ = entries()
    layout.write(tmp_path, one, rainy, clean, overwrite=False)
    clean //= 2
    layout.write(tmp_path, other, rainy, clean, overwrite=False)
    np.testing.assert_array_equal(stored(tmp_path, layout.place(other).target), clean)


@pytest.mark.parametrize("name", LAYOUTS)
def test_overwriting_gives_the_dataset_afresh(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    for entry, rainy, clean in entries():
        layout.write(tmp_path / "out", entry, 255 - rainy, 255 - clean, overwrite=False)
    foreign = [record(layout, replace(entry, scene="x")) for entry, *_ in entries()]
    if name != "wds":
        layout.finish(tmp_path / "out", foreign, overwrite=False)
    make(layout, tmp_path / "out", overwrite=True)
    make(layout, tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "wds"])
def test_nothing_is_overwritten_unasked(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    entry, rainy, clean = next(entries())
    layout.write(tmp_path, entry, rainy, clean, overwrite=False)
    before = tree(tmp_path)
    with pytest.raises(ImageError, match="--overwrite"):
        layout.write(tmp_path, entry, 255 - rainy, clean, overwrite=False)
    with pytest.raises(ImageError, match="--overwrite"):
        layout.write(tmp_path, entry, rainy, 255 - clean, overwrite=False)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", LAYOUTS)
def test_finishing_in_any_order_and_twice_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    records = make(layout, tmp_path / "out")
    before = tree(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tar")}
    layout.finish(tmp_path / "out", records, overwrite=False)
    assert tree(tmp_path / "out") == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    other = write(layout, tmp_path / "other")
    layout.finish(tmp_path / "other", other[::-1], overwrite=False)
    assert tree(tmp_path / "other") == before


@pytest.mark.parametrize("name", LAYOUTS)
def test_more_pairs_can_be_added_to_a_finished_dataset(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    records = []
    for entry, rainy, clean in entries():
        layout.write(tmp_path / "out", entry, rainy, clean, overwrite=False)
        records.append(record(layout, entry))
        layout.finish(tmp_path / "out", records, overwrite=False)
    make(layout, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


@pytest.mark.parametrize("name", ["spa", "hf", "wds"])
def test_lists_of_other_pairs_are_replaced_only_when_asked(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    records = make(layout, tmp_path)
    before = tree(tmp_path)
    with pytest.raises(ImageError, match="other pairs; pass --overwrite"):
        layout.finish(tmp_path, records[1:], overwrite=False)
    assert tree(tmp_path) == before
    layout.finish(tmp_path, records[1:], overwrite=True)
    assert tree(tmp_path) != before


def test_frames_of_a_sequence_share_their_clean_picture(tmp_path: Path) -> None:
    layout = LAYOUTS["restormer"]
    for entry, rainy, clean in entries():
        for frame in (1, 2):
            layout.write(tmp_path, replace(entry, frame=frame), rainy, clean, overwrite=False)
    scene = {f"train/seq/a_01/{name}.png" for name in ("0001", "0002", "clean")}
    found = tree(tmp_path)
    assert {path for path in found if path.startswith("train/seq/a_01/")} == scene
    assert len(found) == 6 * 3
    assert os.path.samefile(
        tmp_path / "train/seq/a_01/clean.png", tmp_path / "train/seq/a_02/clean.png"
    )
    place = layout.place(replace(entry, split="", frame=2))
    assert place.input == "seq/c.d_02/0002.png"


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "restormer"])
def test_other_layouts_refuse_sequences(name: str, tmp_path: Path) -> None:
    entry, rainy, clean = next(entries())
    framed = replace(entry, frame=1)
    with pytest.raises(UsageError, match=f"--layout {name}.*restormer"):
        LAYOUTS[name].place(framed)
    with pytest.raises(UsageError, match="restormer"):
        LAYOUTS[name].write(tmp_path, framed, rainy, clean, overwrite=False)
    assert not tree(tmp_path)


def test_numbers_have_as_many_digits_as_the_last_one() -> None:
    entry, *_ = next(entries())
    place = LAYOUTS["rain100"].place(replace(entry, number=17, count=12_000))
    assert place.input == "train/rain-00017.png"


ODD = (
    "a::b",
    "a:b",
    "a%3Ab",
    "-a",
    ".a",
    "a b",
    "a\nb",
    "a?",
    "a*",
    'a"b',
    "\udcffa",
    "日本",
    "a.b",
)


@pytest.mark.parametrize("name", LAYOUTS)
def test_odd_names_stay_apart_and_can_be_written_and_read(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    records = []
    for index, scene in enumerate(ODD):
        entry = Entry(
            scene=scene, variant=1, number=index + 1, scene_number=index + 1,
            count=len(ODD), split="train", suffix=".png",
        )  # fmt: skip
        layout.write(tmp_path, entry, picture(index), picture(100 + index), overwrite=False)
        records.append(record(layout, entry))
    layout.finish(tmp_path, records, overwrite=False)
    assert len({each.input.casefold() for each in records}) == len(ODD)
    for index, each in enumerate(records):
        assert each.input.count("::") == (name in ("did", "wds"))
        np.testing.assert_array_equal(stored(tmp_path, each.input), picture(index))
        np.testing.assert_array_equal(stored(tmp_path, each.target), picture(100 + index))
    for path in tree(tmp_path):
        assert not set(path) & set('\n:*?"\\')
        assert not path.rpartition("/")[2].startswith(".")
    if name == "spa":
        lines = (tmp_path / "train.txt").read_text(encoding="utf-8").splitlines()
        assert all(len(line.split()) == 2 for line in lines)
        assert len(lines) == len(ODD)


def test_portable_names_are_readable() -> None:
    assert portable("Grüße aus 東京 (2)") == "Grüße aus 東京 (2)"
    assert portable("100%: a/b") == "100%25%3A a%2Fb"


def test_the_list_of_spa_has_rainy_and_clean_from_its_own_folder(tmp_path: Path) -> None:
    make(LAYOUTS["spa"], tmp_path)
    assert (tmp_path / "test.txt").read_text(encoding="utf-8") == (
        "/test/rain/c.d_01.png /test/norain/c.d.png\n/test/rain/c.d_02.png /test/norain/c.d.png\n"
    )


def test_metadata_of_hugging_face(tmp_path: Path) -> None:
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


def test_columns_have_the_same_types_in_all_splits(tmp_path: Path) -> None:
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


def test_hugging_faces_metadata_as_parquet(tmp_path: Path) -> None:
    layout = LAYOUTS["hf"]
    records = make(layout, tmp_path)
    lines = (tmp_path / "test/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    with pytest.raises(ImageError, match=r"metadata\.jsonl.*--overwrite"):
        layout.finish(tmp_path, records, overwrite=False, parquet=True)
    layout.finish(tmp_path, records, overwrite=True, parquet=True)
    rows = tabular.read_parquet(tmp_path / "test/metadata.parquet")
    assert rows == [json.loads(line) for line in lines]
    assert not list(tmp_path.rglob("metadata.jsonl"))
    layout.finish(tmp_path, records, overwrite=False, parquet=True)
    with pytest.raises(ImageError, match="other pairs; pass --overwrite"):
        layout.finish(tmp_path, records[1:], overwrite=False, parquet=True)


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def test_a_tar_file_says_nothing_of_when_and_by_whom(tmp_path: Path) -> None:
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


def test_samples_go_to_tar_files_by_their_number(tmp_path: Path) -> None:
    make(WebDataset(samples=3), tmp_path, split=False)
    assert tree(tmp_path).keys() == {"pairs-000000.tar", "pairs-000001.tar"}
    assert len(members(tmp_path / "pairs-000000.tar")) == 9
    default = LAYOUTS["wds"]
    assert isinstance(default, WebDataset)
    entry, *_ = next(entries())
    number = default.samples + 1
    assert default.place(replace(entry, number=number)).input.startswith("train-000001.tar::")


@pytest.mark.parametrize("stop", range(8))
@pytest.mark.parametrize("call", ["replace", "unlink"])
def test_packing_can_be_stopped_anywhere_and_done_again(
    stop: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    left_over = [path for path in tree(tmp_path / "out") if ".rainkit-" in path]
    for path in left_over:
        (tmp_path / "out" / path).unlink()
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert not (tmp_path / "out" / STAGING).exists()


def test_overwriting_removes_what_a_killed_run_left_waiting(tmp_path: Path) -> None:
    layout = LAYOUTS["wds"]
    records = write(layout, tmp_path)
    layout.finish(tmp_path, records[:-1], overwrite=False)
    assert (tmp_path / STAGING / "test-000000" / "c%2Ed_02.input.png").exists()
    write(layout, tmp_path, overwrite=True)
    layout.finish(tmp_path, records[:-1], overwrite=True)
    assert tree(tmp_path).keys() == TREES["wds"]


def test_pictures_that_are_gone_are_named(tmp_path: Path) -> None:
    layout = LAYOUTS["wds"]
    records = write(layout, tmp_path)
    (tmp_path / STAGING / "train-000000" / "a_02.input.png").unlink()
    with pytest.raises(DatasetError, match=r"train-000000\.tar: a_02\.input\.png"):
        layout.finish(tmp_path, records, overwrite=False)
    assert not (tmp_path / "train-000000.tar").exists()
    assert (tmp_path / STAGING / "train-000000" / "a_01.input.png").exists()


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_a_damaged_tar_file_is_refused(keep: int, tmp_path: Path) -> None:
    layout = LAYOUTS["wds"]
    records = make(layout, tmp_path)
    path = tmp_path / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"train-000000\.tar"):
        layout.finish(tmp_path, records, overwrite=False)


def test_a_full_disk_is_one_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    entry, rainy, clean = next(entries())
    (tmp_path / "train").write_text("a file where a folder must be")
    with pytest.raises(ImageError, match="train"):
        LAYOUTS["restormer"].write(tmp_path, entry, rainy, clean, overwrite=False)
    assert list(tree(tmp_path)) == ["train"]
