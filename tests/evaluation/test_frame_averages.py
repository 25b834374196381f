"""Averages of frames as results."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.datasets.pairs import ReadOptions
from rainkit.errors import PairingError, UsageError
from rainkit.evaluation import PROTOCOLS, EvalRequest
from rainkit.evaluation.frame_averages import AveragesRequest, evaluate_averages, parse_average

RGB = (PROTOCOLS["rgb"],)


def write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two scenes of three frames; in each frame another third of the rows is 30 levels brighter."""
    for seed, scene in enumerate(("7", "8")):
        clean = np.random.default_rng(seed).integers(40, 180, (30, 40, 3), np.uint8)
        write(tmp_path / f"set/clean/{scene}.png", clean)
        for frame in range(3):
            rainy = clean.copy()
            rainy[10 * frame : 10 * frame + 10] += np.uint8(30)
            write(tmp_path / f"set/rainy/{scene}_{frame + 1}.png", rainy)
    return tmp_path / "set"


def request(*folders: Path, **options: object) -> AveragesRequest:
    return AveragesRequest(datasets=folders, protocols=RGB, **options)


def test_the_median_of_all_frames_is_the_scene(scenes):
    found = evaluate_averages(request(scenes, by="median"))
    assert found.restored == "median of all frames"
    (scores,) = found.scores
    assert [row.name for row in scores.rows] == ["7_1", "7_2", "7_3", "8_1", "8_2", "8_3"]
    assert {row.psnr for row in scores.rows} == {np.inf}
    # A third of the samples is 30 levels off.
    assert scores.input_psnr.mean == pytest.approx(20 * np.log10(255 / 30) + 10 * np.log10(3))


@pytest.mark.parametrize(
    ("frames", "off"),
    # Of all three frames each row is 10 levels too bright; of two, two rows in three are 15.
    [(None, 10.0), (2, np.sqrt(15**2 * 2 / 3))],
)
def test_the_mean_of_some_frames(scenes, frames, off):
    found = evaluate_averages(request(scenes, by="mean", frames=frames))
    assert found.scores[0].psnr.mean == pytest.approx(20 * np.log10(255 / off))


def test_a_limit_scores_fewer_frames_of_the_same_average(scenes):
    whole = evaluate_averages(request(scenes, by="mean")).scores[0].rows
    some = evaluate_averages(request(scenes, by="mean", limit=2)).scores[0].rows
    assert [row.psnr for row in some] == [row.psnr for row in whole[:2]]
    assert len(some) == 2


def test_a_broken_frame_is_a_failure_of_its_scene_alone(scenes):
    (scenes / "rainy/7_2.png").write_bytes(b"no picture")
    found = evaluate_averages(request(scenes, by="median"))
    assert [failure.name for _, failure in found.failures] == ["7_1", "7_2", "7_3"]
    assert "7_2.png" in found.failures[0][1].reason
    assert [row.name for row in found.scores[0].rows] == ["8_1", "8_2", "8_3"]


@pytest.mark.usefixtures("without_layout")
def test_they_stand_beside_each_other_in_the_tables(scenes, tmp_path):
    sources = (request(scenes, by="mean"), request(scenes, by="median", frames=3))
    result = evaluation.run(EvalRequest(sources=sources, output=tmp_path / "out", report=True))
    assert "mean of all frames" in (tmp_path / "out/index.html").read_text()
    assert [each.restored for each in result.comparisons] == [
        "mean of all frames",
        "median of 3 frames",
    ]


@pytest.mark.parametrize(
    ("text", "parsed"), [("mean", ("mean", None)), ("median=5", ("median", 5))]
)
def test_the_option_is_read(text, parsed):
    assert parse_average(text) == parsed


@pytest.mark.parametrize("text", ["mode", "mean=1", "mean=", "median=x", "=3", "mean=-2"])
def test_what_is_no_average_is_refused(text):
    with pytest.raises(UsageError, match=f"--also {text}: "):
        parse_average(text)


def test_single_pictures_have_no_average(scenes):
    for name in ("7_2", "7_3", "8_2", "8_3"):
        (scenes / f"rainy/{name}.png").unlink()
    with pytest.raises(UsageError, match="set has no two pictures of one scene"):
        evaluate_averages(request(scenes, by="mean"))


def test_more_frames_than_a_scene_has_are_refused(scenes):
    (scenes / "rainy/8_3.png").unlink()
    with pytest.raises(UsageError, match="--also mean=3: a scene of set has 2 frames"):
        evaluate_averages(request(scenes, by="mean", frames=3))


def test_frames_may_be_smaller_than_their_clean_picture_if_pairs_are_cut(scenes):
    for scene in ("7", "8"):
        clean = cv2.imread(str(scenes / f"clean/{scene}.png"))
        assert cv2.imwrite(str(scenes / f"clean/{scene}.png"), np.vstack([clean, clean[:1]]))
    with pytest.raises(PairingError, match="sizes differ"):
        evaluate_averages(request(scenes, by="median"))
    cut = ReadOptions(crop_to_common=True)
    found = evaluate_averages(request(scenes, by="median", reading=cut))
    assert found.scores[0].psnr.mean == np.inf
