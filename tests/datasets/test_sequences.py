"""Scenes of frames as they are found on disk, and the pairs drawn from them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rainkit import images
from rainkit.datasets.sequences import (
    FrameScene,
    LeaveOneOutAverage,
    average_frames,
    count_pairs,
    find_scenes,
    pair_of_frames,
)
from rainkit.errors import DatasetError, UsageError
from rainkit.images import Picture


def put(path: Path, level: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    images.write(path, Picture(rgb=np.full((size[1], size[0], 3), level, np.uint8)))


def scene_of(frames: int, name: str = "a") -> FrameScene:
    return FrameScene(name, tuple(Path(f"{n}.png") for n in range(frames)))


def test_scenes_of_a_dataset_with_splits(tmp_path: Path) -> None:
    for name in ("train/seq/b_02", "train/seq/b_10", "test/seq/a_01"):
        for file in ("0001", "0002", "0010", "clean"):
            put(tmp_path / name / f"{file}.png")
    for other in ("depth/a.png", "depth/b.png", "mask/a_01_0001.png", "mask/a_01_0002.png"):
        put(tmp_path / other, size=(20, 20))
    put(tmp_path / "train" / "seq" / ".rainkit-part-c" / "0001.png")
    found = find_scenes(tmp_path)
    assert [scene.name for scene in found] == ["test/seq/a_01", "train/seq/b_02", "train/seq/b_10"]
    assert [path.name for path in found[0].frames] == ["0001.png", "0002.png", "0010.png"]
    assert found[0].clean == tmp_path / "test" / "seq" / "a_01" / "clean.png"
    assert find_scenes(tmp_path, split="train") == found[1:]


def test_scenes_of_videos_have_no_clean_picture(tmp_path: Path) -> None:
    for file in ("0001", "0002", "0003", "median"):
        put(tmp_path / "seq" / "yard-1" / f"{file}.png")
    (scene,) = find_scenes(tmp_path, split="train")
    assert (scene.name, scene.clean) == ("seq/yard-1", None)
    assert [path.stem for path in scene.frames] == ["0001", "0002", "0003"]


def test_any_folder_of_folders_will_do(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        put(tmp_path / "street" / f"{number}.jpg")
        put(tmp_path / "park" / f"{number}.png", size=(50, 20))
    put(tmp_path / "alone" / "1.png")
    (tmp_path / "street" / "notes.txt").write_text("x")
    found = find_scenes(tmp_path)
    assert [scene.name for scene in found] == ["park", "street"]
    assert [path.name for path in found[1].frames] == ["1.jpg", "2.jpg", "10.jpg"]
    (single,) = find_scenes(tmp_path / "park")
    assert (single.name, len(single.frames)) == ("park", 3)


def test_frames_of_several_sizes_are_named(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    put(tmp_path / "a" / "2.png", size=(40, 31))
    with pytest.raises(DatasetError, match=r"1\.png and .*2\.png differ in size: 40x30 and 40x31"):
        find_scenes(tmp_path)


def test_what_holds_no_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        find_scenes(tmp_path / "nowhere")
    put(tmp_path / "a" / "1.png")
    with pytest.raises(DatasetError, match="no scenes"):
        find_scenes(tmp_path)
    (tmp_path / "a" / "2.png").write_bytes(b"rain")
    with pytest.raises(DatasetError, match=r"2\.png: cannot be read as a picture"):
        find_scenes(tmp_path)


def test_pairs_are_counted() -> None:
    assert count_pairs([scene_of(30)] * 186) == 80_910
    assert count_pairs([scene_of(2), scene_of(5)]) == 11


def test_all_pairs_of_different_frames_are_drawn_alike() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(pair_of_frames(scene_of(4), rng) for _ in range(6000))
    assert set(drawn) == {(m, n) for m in range(4) for n in range(4) if m != n}
    assert max(abs(count - 500) for count in drawn.values()) < 100
    again = np.random.default_rng(0)
    assert Counter(pair_of_frames(scene_of(4), again) for _ in range(6000)) == drawn
    assert {pair_of_frames(scene_of(2), rng) for _ in range(40)} == {(0, 1), (1, 0)}


@pytest.mark.parametrize("by", ["mean", "median"])
@pytest.mark.parametrize("levels", [3, 256], ids=["many ties", "few ties"])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_each_frame_has_the_average_of_the_others(by: str, levels: int, count: int) -> None:
    rng = np.random.default_rng(count)
    frames = list(rng.integers(0, levels, (count, 70, 20, 3)).astype(np.uint8))  # over one strip
    averages = LeaveOneOutAverage.of(iter(frames), by=by)
    for place, frame in enumerate(frames):
        others = frames[:place] + frames[place + 1 :]
        made = averages.without(frame)
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, average_frames(others, by))


@pytest.mark.parametrize("count", [257, 258])
def test_sums_of_many_bright_frames_do_not_overflow(count: int) -> None:
    frames = [np.full((2, 2, 3), 255, np.uint8) for _ in range(count)]
    averages = LeaveOneOutAverage.of(frames, by="mean")
    assert (averages.without(frames[0]) == 255).all()
    assert averages.nbytes == 12 * (2 if count == 257 else 4)


def test_no_frames_have_no_average() -> None:
    with pytest.raises(ValueError, match="no frames"):
        LeaveOneOutAverage.of([], by="mean")
