"""``rainkit data`` as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_a_mix(run, sets: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixed"
    code, said, _ = run("mix", f"{sets / 'a'}:1", sets / "c", "-o", out, "--seed", 3)
    assert code == 0
    assert f"2 pairs in {out}" in said
    assert len(list((out / "input").iterdir())) == 2
    assert json.loads((out / "mix.json").read_text())["seed"] == 3


def test_a_mix_that_keeps_away_from_a_set(run, sets: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixed"
    code, said, _ = run("mix", sets / "a", "-o", out, "--against", sets / "b", "--json")
    assert code == 0
    assert json.loads(said)["sources"][0]["left_out"] == 1
    assert [path.name for path in (out / "target").iterdir()] == ["a-astronaut.png"]


def test_a_split_of_a_dataset(run, sets: Path, tmp_path: Path) -> None:
    (sets / "whole").mkdir()
    (sets / "a").rename(sets / "whole" / "train")
    (sets / "b").rename(sets / "whole" / "test")
    out = tmp_path / "mixed"
    assert run("mix", f"{sets / 'whole' / 'train'}:2", "-o", out)[0] == 0
    assert len(list((out / "input").iterdir())) == 2
    assert run("audit", sets / "whole/train", sets / "whole/test")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("audit", "nothing"), "no such file or folder"),
        (("audit", "a", "a"), "given twice"),
        (("audit", "a/input", "c"), "rainy pictures, by its name"),
        (("audit", "a", "c", "--limit", "50"), "--limit 50"),
        (("mix", "a:3", "-o", "out"), "holds 2 pairs; ask for 2 at most"),
        (("mix", "a:x", "-o", "out"), "write FOLDER:COUNT"),
        (("mix", "nothing:3", "-o", "out"), "nothing"),
        (("mix", "a:2", "-o", "c"), "not empty"),
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


def test_help_loads_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "rainkit", "data", "mix", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "rainkit.cli.data" in imported
    assert not imported & {"numpy", "cv2", "torch", "PIL"}
