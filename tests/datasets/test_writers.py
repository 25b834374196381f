"""Layouts: the exact files of each, shared targets, and packing that can be stopped anywhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rainkit.datasets.writers import LAYOUTS, STAGING, Entry, portable
from rainkit.errors import FileError, UsageError

SCENES = (("a", "train"), ("größe 2", "train"), ("c.d", "test"))


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
def test_the_tree_of_a_layout(make, files, name: str, tmp_path: Path) -> None:
    make(LAYOUTS[name], tmp_path)
    assert files(tmp_path).keys() == TREES[name]
    assert not (tmp_path / STAGING).exists()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("split", [True, False])
def test_pictures_lie_where_the_place_says(
    entries,
    make,
    stored,
    name: str,
    split: bool,
    tmp_path: Path,
) -> None:
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
def test_jpeg_in_all_layouts(
    make,
    stored,
    files,
    name: str,
    tmp_path: Path,
) -> None:
    layout = LAYOUTS[name]
    records = make(layout, tmp_path, suffix=".jpg")
    for each in records:
        assert stored(tmp_path, each.input).shape == stored(tmp_path, each.target).shape
    assert not [path for path in files(tmp_path) if path.endswith(".png")]


def test_without_a_split_there_are_no_split_folders(entries, tmp_path: Path) -> None:
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
def test_targets_of_a_scene_are_one_file(entries, make, name: str, tmp_path: Path) -> None:
    make(LAYOUTS[name], tmp_path)
    first, second = (tmp_path / LAYOUTS[name].place(entry).target for entry, *_ in [*entries()][:2])
    assert first != second
    assert os.path.samefile(first, second)


@pytest.mark.parametrize("name", LAYOUTS)
def test_targets_are_copied_where_links_cannot_be_made(
    make,
    files,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(LAYOUTS[name], tmp_path / "linked")

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    make(LAYOUTS[name], tmp_path / "copied")
    assert files(tmp_path / "linked") == files(tmp_path / "copied")


def test_a_target_of_another_dataset_is_never_linked_to(entries, stored, tmp_path: Path) -> None:
    layout = LAYOUTS["restormer"]
    (one, rainy, clean), (two, *_), *_ = entries()
    layout.write(tmp_path, one, rainy, 255 - clean, overwrite=False)
    # The second variant comes first: its scene's first target is the former dataset's.
    layout.write(tmp_path, two, rainy, clean, overwrite=True)
    np.testing.assert_array_equal(stored(tmp_path, layout.place(two).target), clean)
    layout.write(tmp_path, one, rainy, clean, overwrite=True)
    np.testing.assert_array_equal(stored(tmp_path, layout.place(one).target), clean)


def test_a_clean_picture_changed_in_place_is_written_anew(entries, stored, tmp_path: Path) -> None:
    layout = LAYOUTS["ddn"]
    (one, rainy, clean), _, (other, *_), *_ = entries()
    layout.write(tmp_path, one, rainy, clean, overwrite=False)
    clean //= 2
    layout.write(tmp_path, other, rainy, clean, overwrite=False)
    np.testing.assert_array_equal(stored(tmp_path, layout.place(other).target), clean)


@pytest.mark.parametrize("name", LAYOUTS)
def test_overwriting_gives_the_dataset_afresh(
    entries,
    record,
    make,
    files,
    name: str,
    tmp_path: Path,
) -> None:
    layout = LAYOUTS[name]
    for entry, rainy, clean in entries():
        layout.write(tmp_path / "out", entry, 255 - rainy, 255 - clean, overwrite=False)
    foreign = [record(layout, replace(entry, scene="x")) for entry, *_ in entries()]
    if name != "wds":
        layout.finish(tmp_path / "out", foreign, overwrite=False)
    make(layout, tmp_path / "out", overwrite=True)
    make(layout, tmp_path / "fresh")
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "wds"])
def test_nothing_is_overwritten_unasked(entries, files, name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    entry, rainy, clean = next(entries())
    layout.write(tmp_path, entry, rainy, clean, overwrite=False)
    before = files(tmp_path)
    with pytest.raises(FileError, match="--overwrite"):
        layout.write(tmp_path, entry, 255 - rainy, clean, overwrite=False)
    with pytest.raises(FileError, match="--overwrite"):
        layout.write(tmp_path, entry, rainy, 255 - clean, overwrite=False)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", LAYOUTS)
def test_finishing_in_any_order_and_twice_gives_the_same_bytes(
    write,
    make,
    files,
    name: str,
    tmp_path: Path,
) -> None:
    layout = LAYOUTS[name]
    records = make(layout, tmp_path / "out")
    before = files(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.tar")}
    layout.finish(tmp_path / "out", records, overwrite=False)
    assert files(tmp_path / "out") == before
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    other = write(layout, tmp_path / "other")
    layout.finish(tmp_path / "other", other[::-1], overwrite=False)
    assert files(tmp_path / "other") == before


@pytest.mark.parametrize("name", LAYOUTS)
def test_more_pairs_can_be_added_to_a_finished_dataset(
    entries,
    record,
    make,
    files,
    name: str,
    tmp_path: Path,
) -> None:
    layout = LAYOUTS[name]
    records = []
    for entry, rainy, clean in entries():
        layout.write(tmp_path / "out", entry, rainy, clean, overwrite=False)
        records.append(record(layout, entry))
        layout.finish(tmp_path / "out", records, overwrite=False)
    make(layout, tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("name", ["spa", "hf", "wds"])
def test_lists_of_other_pairs_are_replaced_only_when_asked(
    make, files, name: str, tmp_path: Path
) -> None:
    layout = LAYOUTS[name]
    records = make(layout, tmp_path)
    before = files(tmp_path)
    with pytest.raises(FileError, match="other pairs; pass --overwrite"):
        layout.finish(tmp_path, records[1:], overwrite=False)
    assert files(tmp_path) == before
    layout.finish(tmp_path, records[1:], overwrite=True)
    assert files(tmp_path) != before


def test_frames_of_a_sequence_share_their_clean_picture(entries, files, tmp_path: Path) -> None:
    layout = LAYOUTS["restormer"]
    for entry, rainy, clean in entries():
        for frame in (1, 2):
            layout.write(tmp_path, replace(entry, frame=frame), rainy, clean, overwrite=False)
    scene = {f"train/seq/a_01/{name}.png" for name in ("0001", "0002", "clean")}
    found = files(tmp_path)
    assert {path for path in found if path.startswith("train/seq/a_01/")} == scene
    assert len(found) == 6 * 3
    assert os.path.samefile(
        tmp_path / "train/seq/a_01/clean.png", tmp_path / "train/seq/a_02/clean.png"
    )
    place = layout.place(replace(entry, split="", frame=2))
    assert place.input == "seq/c.d_02/0002.png"


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "restormer"])
def test_other_layouts_refuse_sequences(entries, files, name: str, tmp_path: Path) -> None:
    entry, rainy, clean = next(entries())
    framed = replace(entry, frame=1)
    with pytest.raises(UsageError, match=f"--layout {name}.*restormer"):
        LAYOUTS[name].place(framed)
    with pytest.raises(UsageError, match="restormer"):
        LAYOUTS[name].write(tmp_path, framed, rainy, clean, overwrite=False)
    assert not files(tmp_path)


def test_numbers_have_as_many_digits_as_the_last_one(entries) -> None:
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
def test_odd_names_stay_apart_and_can_be_written_and_read(
    picture,
    record,
    stored,
    files,
    name: str,
    tmp_path: Path,
) -> None:
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
    for path in files(tmp_path):
        assert not set(path) & set('\n:*?"\\')
        assert not path.rpartition("/")[2].startswith(".")
    if name == "spa":
        lines = (tmp_path / "train.txt").read_text(encoding="utf-8").splitlines()
        assert all(len(line.split()) == 2 for line in lines)
        assert len(lines) == len(ODD)


def test_portable_names_are_readable() -> None:
    assert portable("Grüße aus 東京 (2)") == "Grüße aus 東京 (2)"
    assert portable("100%: a/b") == "100%25%3A a%2Fb"
    assert portable("aux") == "%61ux"  # a device of Windows
    assert portable("rain.") == "rain%2E"
