"""Means and medians of the frames of static scenes, through the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.datasets.sequences import average_frames
from rainkit.evaluation import protocol
from rainkit.images import Picture
from rainkit.rain import PRESETS, render

FRAMES = 5


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of five rainy frames, the first with its clean picture."""
    root = tmp_path_factory.mktemp("scenes")
    for scene, photo in {"a_01": "astronaut", "b_01": "coffee"}.items():
        clean = np.ascontiguousarray(getattr(data, photo)()[100:190, 100:230])
        for frame in range(1, FRAMES + 1):
            rainy = render(clean, PRESETS["rain100l"], (frame,)).rainy
            images.write(root / "seq" / scene / f"{frame:04d}.png", Picture(rgb=rainy))
        if scene == "a_01":
            images.write(root / "seq" / scene / "clean.png", Picture(rgb=clean))
    return root


def _read(path: Path) -> np.ndarray:
    return np.asarray(images.read(path).rgb)


def test_averages_stand_beside_what_they_are_scored_with(rainkit, scenes, tmp_path):
    code, out, err = rainkit("data", "average", scenes, "-o", tmp_path / "out", "--by", "median")
    assert (code, "2 averages of 5 frames, 2 scenes" in out) == (0, True), err
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in tmp_path.rglob("*.png"))
    assert made == ["average/a_01.png", "average/b_01.png", "clean/a_01.png", "rainy/a_01.png"]
    frames = [_read(scenes / f"seq/a_01/{k:04d}.png") for k in range(1, FRAMES + 1)]
    expected = np.median(np.stack(frames), axis=0)
    np.testing.assert_array_equal(_read(tmp_path / "out/average/a_01.png"), expected)


def test_more_frames_and_the_median_leave_less_rain(rainkit, scenes, tmp_path):
    scores = {}
    for by, count in (("mean", 1), ("mean", 2), ("mean", 5), ("median", 5)):
        out = tmp_path / f"{by}{count}"
        code, *_ = rainkit("data", "average", scenes, "-o", out, "--by", by, "--frames", count)
        assert code == 0
        pair = (_read(out / "average/a_01.png"), _read(out / "clean/a_01.png"))
        scores[by, count] = protocol("prenet").scores(*pair)[0]
    assert scores["mean", 1] < scores["mean", 2] < scores["mean", 5] < scores["median", 5]


def test_pairs_never_hold_a_frame_in_its_own_target(rainkit, scenes, tmp_path):
    out = tmp_path / "pairs"
    code, said, _ = rainkit(
        "data", "average", scenes, "-o", out, "--pairs", "--frames", "2", "--json"
    )
    assert code == 0
    assert json.loads(said)["pictures"] == 2 * FRAMES
    names = sorted(path.name for path in (out / "input").iterdir())
    assert names == sorted(path.name for path in (out / "target").iterdir())
    frames = [_read(scenes / f"seq/b_01/{k:04d}.png").astype(float) for k in range(1, FRAMES + 1)]
    np.testing.assert_array_equal(_read(out / "input/b_01_0005.png"), frames[4])
    expected = np.floor((frames[0] + frames[1]) / 2 + 0.5)  # after the last comes the first
    np.testing.assert_array_equal(_read(out / "target/b_01_0005.png"), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("by", ["mean", "median"])
def test_merging_rounds_halves_up_and_keeps_the_depth(dtype: type, by: str) -> None:
    top = np.iinfo(dtype).max
    frames = [np.full((70, 3, 3), level, dtype) for level in (top, top - 1)]
    merged = average_frames(frames, by)
    assert merged.dtype == dtype
    assert (merged == top).all()


def test_frames_of_8_and_16_bits_are_averaged_at_one_depth() -> None:
    frames = [np.full((3, 3, 3), 100, np.uint8), np.full((3, 3, 3), 102 * 257, np.uint16)]
    for order in (frames, frames[::-1]):
        merged = average_frames(order, "mean")
        assert (merged.dtype, (merged == 101 * 257).all()) == (np.uint16, True)


def test_wrong_use_is_one_line(rainkit, scenes, tmp_path):
    for arguments, told in (
        ((scenes, "--frames", "6"), "has 5 frames"),
        ((scenes, "--frames", "5", "--pairs"), "has 4 other frames"),
        ((scenes, "--by", "mode"), "choose from mean, median"),
        ((tmp_path / "nowhere",), "is not a folder"),
    ):
        code, _, err = rainkit("data", "average", *arguments, "-o", tmp_path / "out")
        assert (code, told in err, err.count("\n")) == (2, True, 1), err
    assert not (tmp_path / "out").exists()


def test_averages_that_are_there_are_not_replaced_unasked(rainkit, scenes, tmp_path):
    command = ("data", "average", scenes, "-o", tmp_path / "out")
    assert rainkit(*command)[0] == 0
    code, _, err = rainkit(*command)
    assert (code, "average/a_01.png" in err) == (1, True)
    (tmp_path / "out/average/a_01.png").unlink()
    assert rainkit(*command)[0] == 1
    assert not (tmp_path / "out/average/a_01.png").exists(), "nothing is written before the check"
    assert rainkit(*command, "--overwrite")[0] == 0


def test_a_scene_with_a_broken_frame_is_left_out_and_told(rainkit, tmp_path):
    for scene in "ab":
        for frame in range(3):
            path = tmp_path / "scenes" / scene / f"{frame}.png"
            images.write(path, Picture(rgb=np.full((20, 20, 3), 50 * frame, np.uint8)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 30])
    code, out, err = rainkit("data", "average", tmp_path / "scenes", "-o", tmp_path / "out")
    assert (code, "1 scene," in out, "b/2.png" in err) == (1, True, True), (out, err)
    assert [path.name for path in (tmp_path / "out/average").iterdir()] == ["a.png"]


def test_scenes_of_one_name_in_two_folders_stay_apart(rainkit, tmp_path):
    for place, level in (("x_y/z", 10), ("x/y_z", 90), ("x/z", 170)):
        for frame in range(2):
            path = tmp_path / "scenes" / place / f"{frame}.png"
            images.write(path, Picture(rgb=np.full((20, 20, 3), level, np.uint8)))
    code, _, err = rainkit("data", "average", tmp_path / "scenes", "-o", tmp_path / "out")
    assert code == 0, err
    made = list((tmp_path / "out/average").rglob("*.png"))
    assert sorted(int(_read(path)[0, 0, 0]) for path in made) == [10, 90, 170]


def test_a_scene_that_is_no_scene_does_not_end_the_run(rainkit, tmp_path):
    for scene in "abc":
        for frame in range(3):
            height = 30 if (scene, frame) == ("b", 1) else 20
            path = tmp_path / "scenes" / scene / f"{frame}.png"
            images.write(path, Picture(rgb=np.full((height, 20, 3), 50 * frame, np.uint8)))
    (tmp_path / "scenes/a/1.png").write_bytes(b"rain")
    code, out, err = rainkit("data", "average", tmp_path / "scenes", "-o", tmp_path / "out")
    assert (code, "1 scene," in out) == (1, True), err
    assert "a/1.png: cannot be read as a picture" in err
    assert "b/1.png differ in size" in err
    assert [path.name for path in (tmp_path / "out/average").iterdir()] == ["c.png"]


def test_no_pair_is_lost_to_another_of_its_name(rainkit, tmp_path):
    levels = {"a/b_1.png": 10, "a/2.png": 20, "a_b/1.png": 30, "a_b/1.bmp": 40, "a_b/1_2.png": 50}
    for place, level in levels.items():
        path = tmp_path / "scenes" / place
        images.write(path, Picture(rgb=np.full((20, 20, 3), level, np.uint8)))
    command = ("data", "average", tmp_path / "scenes", "-o", tmp_path / "out", "--pairs", "--json")
    code, out, err = rainkit(*command)
    assert (code, json.loads(out)["pictures"]) == (0, 5), err
    made = [int(_read(path)[0, 0, 0]) for path in (tmp_path / "out/input").iterdir()]
    assert sorted(made) == [10, 20, 30, 40, 50]


def test_averages_are_not_written_among_the_scenes(rainkit, scenes, tmp_path):
    for folder in (scenes / "seq", scenes / "seq/out"):
        code, _, err = rainkit("data", "average", scenes, "-o", folder)
        assert (code, "searched for scenes" in err, err.count("\n")) == (2, True, 1), err
