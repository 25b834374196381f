"""`rainkit train` as a user runs it: one real run, and wrong input of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.cli import main
from rainkit.images import Picture

TINY = [
    item
    for setting in (
        "network.width1=4", "network.width2=4", "network.width3=4", "network.width4=4",
        "network.context=4", "training.batch=2", "training.patch=32", "training.epoch_steps=2",
    )
    for item in ("--set", setting)
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rgb = np.ascontiguousarray(data.astronaut()[:90, :120])
    images.write(folder / "astronaut.png", Picture(rgb=rgb), overwrite=False)
    return folder


def _run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["rainkit", "train", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_recipe_trains_and_a_run_is_continued(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'method = "graspp-gan"\nseed = 4\n[training]\nsteps = 2\n[data.rain]\ndense = 0.5\n'
    )
    run = tmp_path / "run"
    options = ("--clean", photos, "-o", run, "--workers", 0, "--device", "cpu", "--json")
    options += ("--set", "data.rain_free=0.5", "--set", "data.rain.soft=0")
    assert _run(monkeypatch, "--config", recipe, *options, *TINY) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 2
    assert Path(result["weights"]).is_file()
    record = json.loads((run / "run.json").read_text())
    assert record["seed"] == 4
    assert record["data"]["rain"]["dense"] == 0.5
    assert record["data"]["rain"]["soft"] == 0
    assert record["data"]["rain_free"] == 0.5
    assert record["command"][:2] == ["rainkit", "train"]
    record["hyperparameters"]["training"]["steps"] = 4
    (run / "run.json").write_text(json.dumps(record))
    assert _run(monkeypatch, "--resume", run, "--device", "cpu", "--json") == 0
    assert json.loads(capsys.readouterr().out)["done_now"] == 2
    assert _run(monkeypatch, "--resume", run) == 0
    assert "nothing left to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ("metod = 'graspp-gan'", "did you mean method"),
        ("method = 3", "method must be"),
        ("method = 'graspp-gan'\n[training]\nstepz = 3", "training.steps"),
        ("method = 'graspp-gan'\n[data]\nrainfree = 0.1", "data.rain_free"),
        ("method = 'graspp-gan'\n[data.rain]\ndens = 0.1", "data.rain.dense"),
        ("method = 'graspp-gan'\n[data]\njpeg = 'often'", "data.jpeg"),
        ("method = ", "not TOML"),
    ],
)
def test_a_mistake_in_a_recipe_is_named(
    recipe: str, named: str, photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe)
    run = tmp_path / "run"
    assert _run(monkeypatch, "--config", path, "--clean", photos, "-o", run) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert named in error
    assert "Traceback" not in error
    assert not run.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--method"),
        (("-m", "graspp-gan"), "--clean"),
        (("-m", "grasp-gan"), "graspp-gan"),
        (("-m", "graspp-gan", "--variant", "defualt"), "default"),
        (("-m", "graspp-gan", "--set", "network.widht1=4"), "network.width1"),
        (("-m", "graspp-gan", "--config", "absent.toml"), "absent.toml"),
        (("-m", "graspp-gan", "--clean", "absent/"), "absent"),
        (("-m", "graspp-gan", "--resume", "runs/x"), "--resume"),
        (("--resume", "runs/x"), "nothing to resume"),
        (("-m", "graspp-gan", "--set", "data.rainfree=0.1"), "data.rain_free"),
        (("-m", "graspp-gan", "--set", "data.clean=photos"), "data.name=value"),
        (("-m", "graspp-gan", "--set", "training.patch=100000"), "training.patch"),
    ],
)
def test_wrong_options_are_usage_errors(
    arguments: tuple[str, ...], named: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *arguments) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert named in error
    assert not list(tmp_path.iterdir())


def test_a_run_folder_that_cannot_be_made_is_named(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    options = ("-m", "graspp-gan", "--clean", photos, "-o", blocked / "run", "--device", "cpu")
    assert _run(monkeypatch, *options, *TINY) == 1
    error = capsys.readouterr().err
    assert str(blocked) in error.replace("\n", "")
    assert "Traceback" not in error
