"""``rainkit compare`` as typed."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.evaluation import PROTOCOLS, EvalRequest, FoldersRequest


@pytest.fixture
def compare(rainkit: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    return lambda *words: rainkit("compare", *words)


@pytest.fixture
def scores(tmp_path: Path) -> tuple[Path, Path]:
    """Of three pictures, off by 8 levels in the first result and by 6, 4 and 8 in the second."""
    found = []
    for name, off in (("first", (8, 8, 8)), ("second", (6, 4, 8))):
        for number, levels in enumerate(off):
            clean = np.random.default_rng(number).integers(40, 180, (16, 20, 3), np.uint8)
            for folder, picture in (("clean", clean), (name, clean + np.uint8(levels))):
                path = tmp_path / "rain" / folder / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), picture[..., ::-1])
        source = FoldersRequest(
            restored=tmp_path / "rain" / name,
            target=tmp_path / "rain/clean",
            protocols=(PROTOCOLS["prenet"],),
        )
        evaluation.run(EvalRequest(sources=(source,), output=tmp_path / name))
        found.append(tmp_path / name / "metrics.json")
    return found[0], found[1]


def test_a_table_per_quantity_names_protocol_and_reference(compare, scores):
    code, out, err = compare(*scores)
    assert code == 0, err
    assert "PSNR dB (prenet/1, higher is better): difference from first" in out
    assert "SSIM (prenet/1, higher is better): difference from first" in out
    line = next(line for line in out.splitlines() if line.startswith("rain"))
    # 20 log10(8 / 6) = 2.499 dB and 20 log10(8 / 4) = 6.021 dB, and nothing: 2.840 dB.
    assert line.split()[:4] == ["rain", "second", "3", "+2.840"]
    assert line.endswith("2 / 1 / 0    0.5000")
    assert err == ""


def test_the_other_way_round_with_one_metric(compare, scores):
    _, out, _ = compare(*scores, "--reference", "second", "--metric", "psnr")
    assert "-2.840" in out
    assert "difference from second" in out
    assert "SSIM" not in out


def test_json_is_one_document(compare, scores):
    data = json.loads(compare(*scores, "--json")[1])
    assert data["reference"] == "first"
    psnr = data["differences"][0]
    assert (psnr["better"], psnr["same"], psnr["worse"]) == (2, 1, 0)
    assert psnr["mean_difference"] == pytest.approx(2.840, abs=1e-3)


def test_files_are_written_and_named(compare, scores, tmp_path):
    code, _, err = compare(*scores, "-o", tmp_path / "out")
    assert code == 0
    assert "compare.md" in err
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert compare(*scores, "-o", tmp_path / "out")[0] == 2
    quiet = compare(*scores, "-o", tmp_path / "out", "--overwrite", "--quiet")
    assert quiet == (0, "", "")


def test_a_baseline_holds_later_scores(rainkit, compare, pairs, tmp_path):
    folders = tmp_path / "before", tmp_path / "after"
    bars = ("--max-drop", "psnr=0.05", "--max-drop", "ssim=0.001")
    assert rainkit("eval", pairs, "-m", "timelapse", "-o", folders[0], "-q")[0] == 0
    assert rainkit("eval", pairs, "-m", "timelapse", "-o", folders[1], "-q")[0] == 0
    assert compare(*folders, *bars)[0] == 0
    worse = cv2.imread(str(pairs / "rainy/a.png"))
    assert cv2.imwrite(str(pairs / "rainy/a.png"), cv2.add(worse, np.full(3, 9.0)))
    again = ("-o", folders[1], "--overwrite", "-q")
    assert rainkit("eval", pairs, "-m", "timelapse", *again)[0] == 0
    code, out, err = compare(*folders, *bars)
    assert code == 3
    assert "below the bar: wet: psnr" in err
    assert "timelapse" in out
    quiet = compare(*folders, *bars, "--quiet")
    assert quiet[:2] == (3, "")
    assert "below the bar: wet: psnr" in quiet[2]
    assert compare(*folders, "--max-drop", "psnr=20", "--max-drop", "ssim=1")[0] == 0


def test_notes_go_to_standard_error(compare, scores):
    text = scores[1].read_text()
    scores[1].write_text(text.replace('"name": "2"', '"name": "9"'))
    _, out, err = compare(*scores)
    assert "note: rain: only second has 1 of the pictures: 9" in err
    assert "note" not in out


@pytest.mark.parametrize("columns", [20, 50, 80])
def test_no_terminal_is_too_narrow_for_a_figure(compare, scores, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = compare(*scores)
    for whole in ("+2.840", "0.5000", "2 / 1 / 0", "95 % interval", "second"):
        assert whole in out


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("{first}",), "less than two results"),
        (("{first}", "{second}", "--reference", "third"), "first"),
        (("{first}", "{second}", "--metric", "beauty"), "beauty"),
        (("{first}", "{nothing}"), "does not exist"),
        (("{first}", "--max-drop", "psnr=1"), "--max-drop: give two files"),
        (("{first}", "{second}", "--max-drop", "mae=1"), "--max-drop mae=1: write psnr=0.05"),
        (("{first}", "{second}", "--max-drop", "psnr=1", "--reference", "second"), "leave it out"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_work_is_refused(compare, scores, tmp_path, words, remedy):
    places = {"first": scores[0], "second": scores[1], "nothing": tmp_path / "nothing.json"}
    code, out, err = compare(*(word.format(**places) for word in words))
    assert (code, out) == (2, "")
    assert remedy in err
    assert "Traceback" not in err


def test_a_file_of_another_kind_fails(compare, scores, tmp_path):
    (tmp_path / "other.json").write_text("[1, 2]")
    code, out, err = compare(scores[0], tmp_path / "other.json")
    assert (code, out) == (1, "")
    assert "other.json: not a metrics.json of rainkit eval" in err
