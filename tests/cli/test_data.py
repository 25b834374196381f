"""``rainkit data`` as typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit import cli, images


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rainkit", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """``a`` has two scenes, ``b`` one of them and another, ``c`` none of these."""
    names = {"a": ("astronaut", "chelsea"), "b": ("chelsea", "coffee"), "c": ("rocket",)}
    for folder, scenes in names.items():
        for scene in scenes:
            rgb = np.ascontiguousarray(getattr(data, scene)()[::4, ::4, :3])
            for side, shown in (("input", 255 - rgb), ("target", rgb)):
                images.write(tmp_path / folder / side / f"{scene}.png", images.Picture(shown))
    return tmp_path


def test_an_audit_that_finds_something(run, sets: Path) -> None:
    code, out, err = run("audit", sets / "a", sets / "b", sets / "c")
    assert (code, err) == (1, "")
    assert "a and b: 1 of 2 and 1 of 2 clean pictures show the same scenes" in out
    assert "a (2) and c (1): no scene in both" in out
    row = next(line for line in out.splitlines() if line.startswith(str(sets / "a")[:20]))
    assert row.split()[-1] == "0"


def test_an_audit_that_finds_nothing(run, sets: Path) -> None:
    assert run("audit", sets / "a", sets / "c") == (0, "a (2) and c (1): no scene in both\n", "")
    assert run("audit", sets / "a", sets / "c", "-q") == (0, "", "")
    code, out, _ = run("audit", sets / "a")
    assert code == 0
    assert out == "a: 2 different pictures, no scene twice\n"


def test_an_audit_as_json(run, sets: Path) -> None:
    code, out, _ = run("audit", sets / "a", sets / "b", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["pictures"] == {"a": 2, "b": 2}
    ((overlap),) = found["overlaps"]
    assert overlap["leaks"] == [
        {
            "a": str(sets / "a/target/chelsea.png"),
            "b": str(sets / "b/target/chelsea.png"),
            "distance": 0,
        }
    ]


def test_an_audit_writes_what_may_be_used(run, sets: Path) -> None:
    usable = sets / "usable.txt"
    code, out, _ = run("audit", sets / "a", sets / "b", "--write-clean", usable)
    assert code == 1
    assert usable.read_text() == "input/astronaut.png\ttarget/astronaut.png\n"
    assert f"1 line of a in {usable}" in out
    code, _, err = run("audit", sets / "a", sets / "b", "--write-clean", usable)
    assert (code, err.count("\n")) == (2, 1)
    assert "add --overwrite" in err
    assert run("audit", sets / "a", "--write-clean", usable, "--overwrite")[0] == 0
    assert usable.read_text().count("\n") == 2


def test_a_merge(run, sets: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixed"
    code, said, _ = run("merge", f"{sets / 'a'}:1", sets / "c", "-o", out, "--seed", 3)
    assert code == 0
    assert f"2 pairs in {out}" in said
    assert len(list((out / "input").iterdir())) == 2
    assert json.loads((out / "mix.json").read_text())["seed"] == 3


def test_a_merge_that_keeps_away_from_a_set(run, sets: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixed"
    code, said, _ = run("merge", sets / "a", "-o", out, "--against", sets / "b", "--json")
    assert code == 0
    assert json.loads(said)["sources"][0]["left_out"] == 1
    assert [path.name for path in (out / "target").iterdir()] == ["a-astronaut.png"]


def test_a_split_of_a_dataset(run, sets: Path, tmp_path: Path) -> None:
    (sets / "whole").mkdir()
    (sets / "a").rename(sets / "whole" / "train")
    (sets / "b").rename(sets / "whole" / "test")
    out = tmp_path / "mixed"
    assert run("merge", f"{sets / 'whole' / 'train'}:2", "-o", out)[0] == 0
    assert len(list((out / "input").iterdir())) == 2
    assert run("audit", sets / "whole/train", sets / "whole/test")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("audit", "nothing"), "no such file or folder"),
        (("audit", "a", "a"), "given twice"),
        (("audit", "a/input", "c"), "rainy pictures, by its name"),
        (("audit", "a", "c", "--limit", "50"), "--limit 50"),
        (("merge", "a:3", "-o", "out"), "holds 2 pairs; ask for 2 at most"),
        (("merge", "a:x", "-o", "out"), "write FOLDER:COUNT"),
        (("merge", "nothing:3", "-o", "out"), "nothing"),
        (("merge", "a:2", "-o", "c"), "not empty"),
    ],
)
def test_wrong_use_is_one_line(run, sets: Path, monkeypatch, arguments, said: str) -> None:
    monkeypatch.chdir(sets)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert not (sets / "out").exists()


@pytest.fixture
def made(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Path:
    """A dataset of one photograph with two rains."""
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    images.write(photo, images.Picture(np.full((64, 96, 3), 70, np.uint8)))
    words = ["rainkit", "synth", photo, "-o", out, "--variants", 2, "-q"]
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    return out


def test_verifying_a_dataset(run, made: Path, tmp_path: Path) -> None:
    code, out, err = run("verify", made / "manifest.jsonl")
    assert (code, err) == (0, "")
    assert "2 pairs, 2 drawn again with equal pixels: all as" in out
    (made / "input" / "photo_02.png").unlink()
    code, out, err = run("verify", made, "--json")
    assert code == 1
    assert "missing: photo_02: input/photo_02.png" in err
    found = json.loads(out)
    assert (found["verified"], found["pairs"], found["rendered"]) == (False, 2, 2)
    assert found["findings"][0]["id"] == "photo_02"
    away = (made / "manifest.jsonl").rename(tmp_path / "away.jsonl")
    assert run("verify", away, "--folder", made, "-q")[:2] == (1, "")
    assert "is not a folder" in run("verify", away, "--folder", tmp_path / "none")[2]


def test_rebuilding_a_dataset(run, made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    code, out, _ = run("rebuild", made / "manifest.jsonl", "-o", again, "--report")
    assert code == 0
    assert "2 pairs of 1 scene in" in out
    assert (again / "manifest.jsonl").read_bytes() == (made / "manifest.jsonl").read_bytes()
    assert (again / "report.html").exists()
    wanted = ("--layout", "wds", "--set", "depth_format=mm")
    assert run("rebuild", made, tmp_path / "photo.png", "-o", tmp_path / "wds", *wanted)[0] == 0
    assert list((tmp_path / "wds").glob("*.tar"))
    code, _, err = run("rebuild", tmp_path / "none.jsonl", "-o", tmp_path / "more")
    assert code == 1
    assert "none.jsonl" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "add -o DIR"),
        (("-o", "new", "--layout", "dnn"), "--layout dnn: unknown; did you mean ddn?"),
        (("-o", "new", "--set", "fps=3"), "--set fps: unknown; choose from depth_format"),
        (("-o", "out"), "out is not an empty folder"),
    ],
)
def test_what_cannot_be_rebuilt_is_one_line(
    run, made: Path, monkeypatch, arguments, said: str
) -> None:
    monkeypatch.chdir(made.parent)
    code, out, err = run("rebuild", made, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_frames_of_a_video(run, tmp_path: Path) -> None:
    video, out = tmp_path / "still.avi", tmp_path / "scenes"
    view = np.ascontiguousarray(data.coffee()[:180, :240, ::-1])
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 25, (240, 180))
    rng = np.random.default_rng(0)
    for _ in range(12):
        writer.write(cv2.add(view, rng.integers(0, 9, (180, 240, 1), np.uint8).repeat(3, 2)))
    writer.release()
    code, said, _ = run("frames", video, "-o", out, "--frames", 4)
    assert code == 0
    assert f"1 scene in {out}" in said
    assert len(list((out / "seq" / "still-1").iterdir())) == 4
    assert json.loads(run("frames", video, "-o", out, "--frames", 4, "--json")[1])["ready"] == 1
    code, _, err = run("frames", video, "-o", out, "--frames", 1)
    assert (code, err) == (2, "error: --frames must be at least 2, not 1\n")


def test_help_loads_nothing_heavy(fresh) -> None:
    (ended,) = fresh(["data", "merge", "--help"])
    assert ended.code == 0, ended.said
    assert "rainkit.cli.data" in ended.modules
    assert not ended.modules & {"numpy", "cv2", "torch", "PIL"}
