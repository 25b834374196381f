"""``rainkit score`` as typed."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    picture = np.random.default_rng(0).integers(50, 150, (30, 40, 3), np.uint8)
    for name, added in (("clean", 0), ("ours", 2), ("rainy", 40)):
        (tmp_path / "set" / name).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "set" / name / "a.png"), picture + np.uint8(added))
    return tmp_path / "set"


def test_two_folders_with_input(rainkit, folders):
    code, out, _ = rainkit(
        "score", folders / "ours", folders / "clean", "--input", folders / "rainy"
    )
    assert code == 0
    assert "prenet/1" in out
    lines = [line.split() for line in out.splitlines()]
    # Adding n grey levels to all channels: 20 log10(255 / n) dB and the studio swing's 1.322.
    assert next(line for line in lines if "input" in line)[:4] == ["set", "1", "input", "17.41"]
    ours = next(line for line in lines if line[:1] == ["ours"])
    assert (ours[1], ours[3]) == ("43.43", "+26.02")


def test_what_counts_as_an_original_is_told(rainkit, folders):
    picture = cv2.imread(str(folders / "ours" / "a.png"))
    assert cv2.imwrite(str(folders / "ours" / "a-night.png"), picture)
    code, _, err = rainkit("score", folders / "ours", folders / "clean")
    said = " ".join(err.split())
    assert code == 0
    assert "not scored, since they are taken for what the results beside them were made of" in said
    assert f"{folders}/ours/a.png" in said
    assert cv2.imwrite(str(folders / "clean" / "a-night.png"), picture)
    asked = ("score", folders / "ours", folders / "clean", "--input", folders / "rainy")
    code, _, err = rainkit(*asked)
    assert (code, "Traceback" in err) == (2, False)
    assert "a-night.png" in err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_an_output_that_cannot_be_made_is_told_before_anything_is_scored(
    rainkit, folders, monkeypatch
):
    monkeypatch.setattr("rainkit.evaluation.folders._score", None)
    code, _, err = rainkit("score", folders / "ours", folders / "clean", "-o", "/proc/scores")
    assert code == 1
    assert "/proc/scores: cannot be written to" in err


@pytest.mark.parametrize("columns", [20, 40, 59, 60, 80])
def test_no_terminal_is_too_narrow_for_a_figure(rainkit, folders, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    (folders / "ours").rename(folders / "graspp-gan")
    code, out, _ = rainkit(
        "score", folders / "graspp-gan", folders / "clean", "--input", folders / "rainy"
    )
    assert code == 0
    for whole in ("PSNR dB", "gain SSIM", "images", "43.43", "+26.02", "17.41", "graspp-gan"):
        assert whole in out


def test_a_long_dataset_name_takes_lines_of_its_column(rainkit, folders, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (folders / "clean").rename(folders / "a-name-of-some-thirty-characters")
    _, out, _ = rainkit("score", folders / "ours", folders / "a-name-of-some-thirty-characters")
    table = out.splitlines()[3:]
    assert max(map(len, table)) <= 80
    assert "a-name-of-some-thirty-characters" in "".join(line.split("  ")[0] for line in table)


def test_pictures_equal_to_their_targets_are_infinite_in_table_and_note(rainkit, folders):
    code, out, err = rainkit(
        "score", folders / "clean", folders / "clean", "--input", folders / "rainy"
    )
    assert code == 0
    assert "+inf" in out
    assert "the only restored picture equals its target: PSNR is infinite" in err
    assert "left out" not in err


def test_quiet_leaves_missed_bars(rainkit, folders):
    arguments = ("score", folders / "ours", folders / "clean", "-q")
    assert rainkit(*arguments) == (0, "", "")
    code, out, err = rainkit(*arguments, "--fail-below", "psnr=44")
    assert (code, out, len(err.splitlines())) == (3, "", 1)


def test_json_is_one_document_with_both_protocols(rainkit, folders):
    code, out, _ = rainkit(
        "score", folders / "ours", folders / "clean",
        "--protocol", "restormer", "--protocol", "prenet", "--json",
    )  # fmt: skip
    assert code == 0
    results = json.loads(out)["results"]
    assert [each["protocol"]["name"] for each in results] == ["restormer", "prenet"]
    assert results[1]["summary"]["psnr"]["mean"] == pytest.approx(43.43, abs=0.01)


def test_output_folder(rainkit, folders):
    arguments = ("score", folders / "ours", folders / "clean", "-o", folders / "report")
    assert rainkit(*arguments)[0] == 0
    assert sorted(path.name for path in (folders / "report").iterdir()) == [
        "metrics.json", "per_image.csv", "table.md",
    ]  # fmt: skip
    code, _, err = rainkit(*arguments)
    assert code == 2
    assert "--overwrite" in err
    assert rainkit(*arguments, "--overwrite")[0] == 0


def test_fail_below_exits_with_3(rainkit, folders):
    arguments = ("score", folders / "ours", folders / "clean", "--fail-below")
    assert rainkit(*arguments, "psnr=43")[0] == 0
    code, out, err = rainkit(*arguments, "psnr=44")
    assert code == 3
    assert "43.43" in out
    assert "psnr 43.4321 < 44" in err


def test_a_damaged_picture_exits_with_1_and_is_named(rainkit, folders):
    for side in ("ours", "clean"):
        (folders / side / "b.png").write_text("not a picture")
    code, out, err = rainkit("score", folders / "ours", folders / "clean")
    assert code == 1
    assert "43.43" in out
    assert "b.png" in err
    assert "1 picture could not be scored" in err


def test_names_that_do_not_match_exit_with_2_and_are_listed(rainkit, folders):
    (folders / "ours/a.png").rename(folders / "ours/other.png")
    code, out, err = rainkit("score", folders / "ours", folders / "clean")
    assert (code, out) == (2, "")
    assert "other.png" in err
    assert "a.png" in err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["ours"], "RESTORED and TARGET"),
        (["ours", "nowhere"], "nowhere does not exist"),
        (["ours", "clean", "--protocol", "psnr"], "choose from prenet, restormer"),
        (["ours", "clean", "--fail-below", "psnr"], "psnr=30"),
        (["ours", "clean", "--fail-below", "psnr=nan"], "psnr=30"),
        (["ours", "clean", "--fail-below", "ssim=-inf"], "psnr=30"),
        (["ours", "clean", "--fail-below", "psnr_gain=1"], "--input"),
        (["ours", "clean", "--report"], "--output"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(rainkit, folders, monkeypatch, arguments, remedy):
    monkeypatch.chdir(folders)
    code, out, err = rainkit("score", *arguments)
    assert (code, out) == (2, "")
    assert remedy in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_several_results_share_a_table(rainkit, folders):
    code, out, err = rainkit(
        "score", folders / "ours", folders / "rainy", folders / "clean", "--json"
    )
    assert code == 0, err
    names = [each["restored"] for each in json.loads(out)["comparisons"]]
    assert names == ["ours", "set/rainy"]


def test_folders_may_be_called_like_commands(rainkit, folders, monkeypatch):
    monkeypatch.chdir(folders)
    (folders / "ours").rename(folders / "compare")
    code, out, err = rainkit("score", "compare", "clean")
    assert code == 0, err
    assert "compare" in out


def test_metrics_without_their_weights_are_skipped_with_one_line(rainkit, folders):
    code, out, err = rainkit(
        "score", folders / "ours", folders / "clean", "--metric", "lpips", "--metric", "mae"
    )
    assert code == 0
    assert "lpips skipped" in err
    assert "mae/1" in out
    assert "2.0000" in out
