"""``rainkit synth`` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rainkit import cli, images
from rainkit.datasets import manifest


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    images.write(path, images.Picture(np.full((64, 96, 3), 70, np.uint8)))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    def call(*arguments: object) -> int:
        words = ["rainkit", "synth", *(str(argument) for argument in arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    return call


def test_pairs_and_a_line_that_says_where(run, photo: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert run(photo, "-o", out, "--preset", "rain12", "--variants", 2) == 0
    assert "2 pairs of 1 scene in" in capsys.readouterr().out
    assert (out / "input" / "photo_02.png").exists()
    assert (out / "target" / "photo_02.png").exists()


def test_nothing_but_results_where_no_one_watches(run, photo: Path, tmp_path: Path, capsys) -> None:
    assert run(photo, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
    assert run(photo, "-o", tmp_path / "quiet", "-q") == 0
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_every_option_reaches_the_rain(run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = "--rate 33 --streak-gain 44 --fog-gain 2 --wind 5 --dim 0.7 --gamma 1.2 --seed 6"
    code = run(photo, "-o", out, "--distance", 90, "--format", "jpg", *options.split())
    assert code == 0
    (record,) = manifest.read(out / "manifest.jsonl")
    assert record.input == "input/photo_01.jpg"
    assert (record.rate_mm_h, record.distance, record.seed[0]) == (33.0, 90.0, 6)
    expected = {"streak_gain": 44.0, "fog_gain": 2.0, "wind_m_s": 5.0, "dim": 0.7, "gamma": 1.2}
    assert record.settings | expected == record.settings


def test_a_level_draws_rates_inside_it(run, photo: Path, tmp_path: Path) -> None:
    assert run(photo, "-o", tmp_path / "out", "--level", "violent", "--variants", 4) == 0
    rates = [record.rate_mm_h for record in manifest.read(tmp_path / "out" / "manifest.jsonl")]
    assert len(set(rates)) == 4
    assert all(50 <= rate <= 150 for rate in rates)


def test_json(run, photo: Path, tmp_path: Path, capsys) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    assert run(photo, bad, "-o", tmp_path / "out", "--json") == 1
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert (data["scenes"], data["pairs"]) == (1, 1)
    assert [failure["path"] for failure in data["failures"]] == [str(bad)]
    assert "bad.jpg" in captured.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--preset", "rain100x"), "did you mean rain100"),
        (("--preset", "drizzly-monday"), "choose from"),
        (("--level", "heavy", "--rate", "3"), "one of them"),
        (("--level", "torrential"), "--level torrential: unknown; choose from drizzle, light"),
        (("--rate", "-1"), "--rate must be 0.01 to 300, not -1"),
        (("--rate", "nan"), "--rate must be"),
        (("--dim", "2"), "--dim must be"),
        (("--wind", "99"), "--wind must be"),
        (("--streak-gain", "-1"), "--streak-gain must be"),
        (("--distance", "0"), "--distance: metres"),
        (("--fog-gain", "2"), "--distance"),
        (("--preset", "misty"), "--distance"),
        (("--format", "gif"), "--format: one of png, jpg"),
    ],
)
def test_wrong_options_end_with_one_line(
    run, photo: Path, tmp_path: Path, capsys, options: tuple[str, ...], said: str
) -> None:
    assert run(photo, "-o", tmp_path / "out", *options) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_a_usage_error(run, tmp_path: Path, capsys) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(empty, "-o", tmp_path / "out") == 2
    assert "holds no picture" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
