"""``rainkit infer``, its options, output and exit codes, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rainkit import images
from rainkit.cli import app


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(2):
        rgb = np.full((20, 30, 3), 50 + i, np.uint8)
        images.write(tmp_path / "photos" / f"[{i}].png", images.Picture(rgb))
    return tmp_path / "photos"


@pytest.fixture
def infer(tiny_weights: Path):
    def run(*arguments: object) -> Result:
        options = ["-m", "graspp-gan", "--weights", str(tiny_weights), "--device", "cpu"]
        return CliRunner().invoke(app, ["infer", *options, *map(str, arguments)])

    return run


def test_a_folder(infer, photos: Path):
    result = infer(photos)
    assert result.exit_code == 0, result.stderr
    assert "2 pictures derained" in result.stdout
    assert "cpu" in result.stdout
    assert "photos-graspp-gan" in result.stdout
    assert {p.name for p in (photos.parent / "photos-graspp-gan").iterdir()} == {
        "[0].png",
        "[1].png",
    }


def test_json_is_the_result_alone(infer, photos: Path):
    result = infer(photos, "--json", "-o", photos.parent / "out", "--report", "--tile", 64)
    data = json.loads(result.stdout)
    assert (data["method"], data["done"], data["failed"]) == ("graspp-gan", 2, 0)
    assert Path(data["report"]).is_file()


def test_a_failure_is_one_line_and_exit_code_1(infer, photos: Path):
    (photos / "[bad].jpg").write_bytes(b"not a picture")
    result = infer(photos, "--quiet")
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert "[bad].jpg: is not a JPEG" in lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing"], "missing: no such file or folder"),
        (["photos", "--tile", "big"], "--tile big"),
        (["photos", "--tile", "9"], "--tile 9"),
        (["photos", "--device", "abacus"], "--device abacus"),
        (["photos", "--precision", "fp8"], "--precision fp8"),
        (["photos", "--variant", "grand"], "--variant grand"),
        (["photos", "-o", "photos"], "is an input and would be lost"),
        (["photos", "-o", "one.png"], "names a picture"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    infer, photos: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
):
    monkeypatch.chdir(photos.parent)
    result = infer(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not result.stdout
    assert {path.name for path in photos.parent.iterdir()} == {"photos"}


def test_results_are_replaced_only_when_asked(infer, photos: Path):
    assert infer(photos).exit_code == 0
    refused = infer(photos)
    assert (refused.exit_code, "--overwrite" in refused.stderr) == (2, True)
    assert infer(photos, "--overwrite").exit_code == 0
