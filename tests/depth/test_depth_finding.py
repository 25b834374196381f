from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from rainkit.depth import maps_among, open_source
from rainkit.errors import DatasetError, UsageError

CLEAN = np.full((8, 8, 3), [90, 30, 30], np.uint8)
"""A photograph without sky or road, whose depth cannot be guessed."""


def put(path: Path, metres: float = 5.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, np.full((8, 8), metres, np.float32))
    return path


def found(source: str, photo: Path) -> Path | None:
    depth = open_source(source, form="metres").of(photo, CLEAN)
    return None if depth is None else depth.file


@pytest.mark.parametrize(
    "name", ["a.npy", "a_depth.npy", "a.depth.npy", "a_disparity.npy", "a.NPY"]
)
def test_a_folder_holds_maps_by_the_names_of_photographs(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "maps" / name)
    put(tmp_path / "maps" / "ab.npy")
    assert found(str(tmp_path / "maps"), tmp_path / "photos" / "a.jpg") == path


@pytest.mark.parametrize("name", ["ulm_1.npy", "ulm_1_disparity.npy", "ulm_1_leftImg8bit.npy"])
def test_cityscapes_names_are_known(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "maps" / name)
    assert found(str(tmp_path / "maps"), tmp_path / "ulm_1_leftImg8bit.png") == path


def test_a_folder_may_have_the_sub_folders_of_the_photographs(tmp_path: Path) -> None:
    first = put(tmp_path / "maps" / "one" / "a.npy")
    second = put(tmp_path / "maps" / "two" / "deep" / "a.npy")
    flat = put(tmp_path / "maps" / "a.npy")
    for folder, expected in (("one", first), ("two/deep", second), ("three", flat)):
        assert found(str(tmp_path / "maps"), tmp_path / "photos" / folder / "a.png") == expected


def test_a_missing_map_is_an_error_that_names_what_has_the_wrong_suffix(tmp_path: Path) -> None:
    put(tmp_path / "maps" / "a.jpg")
    source = open_source(str(tmp_path / "maps"))
    with pytest.raises(
        DatasetError, match=r"a\.png: has no depth map in .*\(a\.jpg is not one\).*\.pfm"
    ):
        source.of(tmp_path / "a.png", CLEAN)
    with pytest.raises(DatasetError, match=r"b\.png: has no depth map in .*maps; add b with"):
        source.of(tmp_path / "b.png", CLEAN)


def test_two_maps_are_one_too_many(tmp_path: Path) -> None:
    put(tmp_path / "a_depth.npy")
    put(tmp_path / "a_disparity.npy")
    for source in ("auto", str(tmp_path)):
        with pytest.raises(DatasetError, match=r"a\.jpg: has two depth maps, .*keep one"):
            found(source, tmp_path / "a.jpg")


def test_a_photograph_is_not_its_own_map(tmp_path: Path) -> None:
    photo = put(tmp_path / "a.png")
    path = put(tmp_path / "a_depth.npy")
    assert found(str(tmp_path), photo) == path
    path.unlink()
    with pytest.raises(DatasetError, match="has no depth map"):
        found(str(tmp_path), photo)


@pytest.mark.parametrize(
    "place",
    ["photos/a_depth.npy", "photos/a.depth.npy", "photos/a_disparity.npy", "photos/depth/a.npy",
     "photos/disparity/a_disparity.npy", "depth/a.npy", "disparity/a.npy"],
)  # fmt: skip
def test_auto_takes_the_map_that_lies_with_the_photograph(tmp_path: Path, place: str) -> None:
    path = put(tmp_path / place)
    assert found("auto", tmp_path / "photos" / "a.jpg") == path


def test_auto_looks_nowhere_else(tmp_path: Path) -> None:
    for place in ("photos/a.npy", "a_depth.npy", "photos/b_depth.npy", "photos/depth/b.npy"):
        put(tmp_path / place)
    assert found("auto", tmp_path / "photos" / "a.jpg") is None


def test_auto_does_not_pass_over_a_map_that_is_wrong(tmp_path: Path) -> None:
    np.save(tmp_path / "a_depth.npy", np.ones((8, 9), np.float32))
    with pytest.raises(DatasetError, match="is 9x8, but its photograph is 8x8"):
        open_source("auto").of(tmp_path / "a.jpg", CLEAN)


def test_none_knows_nothing(tmp_path: Path) -> None:
    put(tmp_path / "a_depth.npy")
    assert open_source("none").of(tmp_path / "a.jpg", CLEAN) is None


def test_sources_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    path = put(tmp_path / "maps" / "a.npy")
    for name in ("auto", "none", str(tmp_path / "maps")):
        source = pickle.loads(pickle.dumps(open_source(name)))  # noqa: S301 - made here
        depth = source.of(path.parent.parent / "a.jpg", CLEAN)
        assert (depth is not None) == (name not in ("auto", "none"))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--depth .*missing: no such folder"):
        open_source(str(tmp_path / "missing"))


def test_maps_among_photographs_are_told_by_their_names() -> None:
    photos = {
        Path("p/a.jpg"),
        Path("p/b.png"),
        Path("p/ulm_1_leftImg8bit.png"),
        Path("q/depth/c.png"),
    }
    photos |= {Path("p/the_depth.png"), Path("p/b2.png")}
    maps = {Path("p/a_depth.png"), Path("p/b.depth.tif"), Path("p/ulm_1_disparity.png")}
    maps |= {Path("p/depth/b.png"), Path("depth/a.png"), Path("p/disparity/a_disparity.png")}
    assert maps_among(photos | maps) == maps
