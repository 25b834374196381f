"""`rainkit train` as a user runs it: one real run, and wrong input of every kind."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images, networks, plugins, training, weights
from rainkit.api import Method
from rainkit.cli import main
from rainkit.images import Picture

TINY = [
    item
    for setting in (
        "training.batch=2", "training.patch=32", "training.epoch_steps=2",
    )
    for item in ("--set", setting)
]  # fmt: skip

pytestmark = pytest.mark.usefixtures("tiny_method")


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
        'method = "tiny"\nseed = 4\n[training]\nsteps = 2\n[data.rain]\ndense = 0.5\n'
    )
    run = tmp_path / "run"
    options = ("--clean", photos, "-o", run, "--set", "run.workers=0", "--device", "cpu", "--json")
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
        ("metod = 'tiny'", "did you mean method"),
        ("method = 3", "method must be"),
        ("method = 'tiny'\n[training]\nstepz = 3", "training.steps"),
        ("method = 'tiny'\n[data]\nrainfree = 0.1", "data.rain_free"),
        ("method = 'tiny'\n[data.rain]\ndens = 0.1", "data.rain.dense"),
        ("method = 'tiny'\n[data]\njpeg = 'often'", "data.jpeg"),
        ("method = 'tiny'\n[run]\nworker = 2", "run.workers"),
        ("method = 'tiny'\n[run]\nkeep = 0", "run.keep"),
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
    assert f"--config {path}" in error
    assert "Traceback" not in error
    assert not run.exists()


@pytest.mark.parametrize(
    ("whose", "lists", "told"),
    [
        ("published", {}, "--ablation published: the paper of tiny compares no variants"),
        ("published", {"own_ablation": ("paper",)}, "no variants; --ablation ours trains paper"),
        ("ours", {}, "--ablation ours: tiny lists no variants beyond its paper's"),
        ("ours", {"ablation": ("default", "paper")}, "--ablation published trains default, paper"),
        ("published", {"ablation": ("paper", "default")}, "--validate"),
        ("ours@2", {"own_ablation": ("paper", "default")}, "--validate"),
    ],
)
def test_the_papers_ablation_and_ours_are_told_apart(
    whose: str,
    lists: dict[str, tuple[str, ...]],
    told: str,
    tiny_method: Method,
    photos: Path,
    monkeypatch,
    capsys,
) -> None:
    method = dataclasses.replace(tiny_method, **lists)
    monkeypatch.setattr(plugins, "get", lambda name: method)
    assert _run(monkeypatch, "-m", "tiny", "--clean", photos, "--ablation", whose) == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--method"),
        (("-m", "tiny"), "--clean"),
        (("-m", "tinny"), "did you mean tiny?"),
        (("-m", "tiny", "--variant", "defualt"), "default"),
        (("-m", "tiny", "--set", "network.widht=4"), "network.width"),
        (("-m", "tiny", "--config", "absent.toml"), "absent.toml"),
        (("-m", "tiny", "--clean", "absent/"), "absent"),
        (("-m", "tiny", "--resume", "runs/x"), "--resume"),
        (("--resume", "runs/x"), "nothing to resume"),
        (("-m", "tiny", "--set", "data.rainfree=0.1"), "data.rain_free"),
        (("-m", "tiny", "--set", "data.clean=photos"), "data.name=value"),
        (("-m", "tiny", "--set", "training.patch=100000"), "training.patch"),
        (("-m", "tiny", "--max-time", "90"), "write a time such as 90m"),
        (("-m", "tiny", "--ablation", "paper@none"), "write VARIANTS@SEEDS"),
        (("-m", "tiny", "--ablation", "paper,defualt"), "did you mean default"),
        (("-m", "tiny", "--ablation", "paper,default"), "--validate"),
        (
            ("-m", "tiny", "--ablation", "paper", "--variant", "default"),
            "--variant cannot be used with --ablation",
        ),
        (("-m", "tiny", "--set", "run.worker=2"), "run.workers"),
        (("-m", "tiny", "--set", "run.save_every=-1"), "run.save_every"),
        (("--resume", "runs/x", "--max-time", "1h"), "--max-time cannot be used with --resume"),
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


def test_bad_starting_weights_are_named(
    photos: Path, tiny_method: Method, tmp_path: Path, monkeypatch, capsys
) -> None:
    """A file cut short, weights of another method, and a pickle that would run code."""
    run, marker = tmp_path / "run", tmp_path / "ran"
    good = tmp_path / "other.safetensors"
    network = tiny_method.default.network
    other = {"method": dataclasses.replace(tiny_method, name="other"), "network": network}
    state = networks.build(tiny_method, network).state_dict()
    weights.save(good, state, variant="default", **other)

    class Malicious:
        def __reduce__(self) -> tuple:
            return (Path.touch, (marker,))

    (tmp_path / "short.safetensors").write_bytes(good.read_bytes()[:-100])
    torch.save({"state_dict": Malicious()}, tmp_path / "evil.pth")
    wrong = {
        tmp_path / "short.safetensors": "not a whole safetensors file",
        good: "of other, not of tiny",
        tmp_path / "evil.pth": "tensors",
        tmp_path / "absent.pth": "absent.pth",
    }
    for path, named in wrong.items():
        options = ("-m", "tiny", "--clean", photos, "--init", path, "-o", run, *TINY)
        assert _run(monkeypatch, *options) in (1, 2)
        error = " ".join(capsys.readouterr().err.split())
        assert named in error.replace(" ", "") or named in error
        assert "Traceback" not in error
        assert not run.exists()
    assert not marker.exists()


def test_an_ablation_prints_and_writes_its_table(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    for side in ("input", "target"):
        shutil.copytree(photos, tmp_path / "pairs" / side)
    options = ("--clean", photos, "--validate", tmp_path / "pairs", "--device", "cpu", *TINY)
    asked = ("-m", "tiny", "--ablation", "paper,default", "--max-steps", 2)
    home = tmp_path / "ablation"
    assert _run(monkeypatch, *asked, *options, "-o", home, "--set", "run.workers=0") == 0
    assert "paper" in capsys.readouterr().out
    assert {p.name for p in home.glob("ablation.*")} == {
        "ablation.csv", "ablation.json", "ablation.md", "ablation.tex"
    }  # fmt: skip


def test_an_ablation_that_is_stopped_in_its_last_variant_says_how_to_go_on(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    for side in ("input", "target"):
        shutil.copytree(photos, tmp_path / "pairs" / side)
    options = ("--clean", photos, "--validate", tmp_path / "pairs", "--device", "cpu", *TINY)
    asked = ("-m", "tiny", "--ablation", "paper", "--max-steps", 2, "-o", tmp_path / "ablation")
    stops = iter(("signal", None))

    def train(request, console):
        return dataclasses.replace(training.train(request), stopped=next(stops))

    monkeypatch.setattr("rainkit.training.ablation.train", train)
    assert _run(monkeypatch, *asked, *options, "--set", "run.workers=0") == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "repeat the command to continue" in said
    assert "--resume" not in said
    assert _run(monkeypatch, *asked, *options, "--set", "run.workers=0") == 0


def test_folders_of_the_user_are_found_again(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    shutil.copytree(photos, tmp_path / "home" / "photos")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    streaks = np.zeros((80, 80, 3), np.uint8)
    streaks[10:60, 40] = 200
    images.write(tmp_path / "home" / "streaks" / "a.png", Picture(rgb=streaks), overwrite=False)
    options = ("-m", "tiny", "--clean=~/photos", "--set", "data.streaks=~/streaks", "-o", "run")
    options += ("--max-steps", 1, "--set", "run.workers=0", "--device", "cpu", *TINY)
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *options) == 0
    assert _run(monkeypatch, "--resume", "run", "--max-steps", 2) == 0


def test_a_resume_needs_no_weights_that_the_run_started_from(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    options = ("-m", "tiny", "--clean", photos, "--max-steps", 1, "--device", "cpu", *TINY)
    options += ("--set", "run.workers=0")
    assert _run(monkeypatch, *options, "-o", tmp_path / "first") == 0
    start = tmp_path / "first" / "last.safetensors"
    assert _run(monkeypatch, *options, "-o", tmp_path / "run", "--init", start) == 0
    start.unlink()
    assert _run(monkeypatch, "--resume", tmp_path / "run", "--max-steps", 2) == 0
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    capsys.readouterr()
    assert _run(monkeypatch, "--resume", tmp_path / "run", "--max-steps", 3) != 0
    assert "last.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-time", "9s", "--max-steps", "3"), "--max-steps cannot be used with --max-time"),
        (("--set", "training.milestones=1,2"), "the schedule cosine does not read it"),
        (("--set", "training.distill_weight=3"), "name one by --teacher"),
        (("--set", "training.stop_after=2"), "nothing to validate on"),
    ],
)
def test_what_would_change_nothing_is_refused(
    photos: Path, tmp_path: Path, monkeypatch, capsys, options: tuple[str, ...], said: str
) -> None:
    asked = ("-m", "tiny", "--clean", photos, "-o", tmp_path / "run", "--device", "cpu", *TINY)
    assert _run(monkeypatch, *asked, *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_dry_run_and_a_profile_write_nothing(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    options = ("-m", "tiny", "--clean", photos, "-o", tmp_path / "run", "--device", "cpu")
    assert _run(monkeypatch, *options, *TINY, "--dry-run", "plan") == 0
    shown = capsys.readouterr().out
    assert "memory, estimated" in shown
    assert "network" in shown
    monkeypatch.setattr(training, "profile", partial(training.profile, steps=2))
    options += ("--dry-run", "profile", "--json", "--set", "run.workers=0")
    assert _run(monkeypatch, *options, *TINY) == 0
    assert json.loads(capsys.readouterr().out)["ratio"] > 0
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_files_is_no_run_folder(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    mine = Path(shutil.copytree(photos, tmp_path / "photos"))
    options = ("-m", "tiny", "--clean", mine, "-o", mine, "--device", "cpu")
    assert _run(monkeypatch, *options, *TINY) == 2
    assert "photos is not empty and holds no run: choose another -o" in " ".join(
        capsys.readouterr().err.split()
    )
    assert [path.name for path in mine.iterdir()] == ["astronaut.png"]


def test_a_run_folder_that_cannot_be_made_is_named(
    photos: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    options = ("-m", "tiny", "--clean", photos, "-o", blocked / "run", "--device", "cpu")
    assert _run(monkeypatch, *options, *TINY) == 1
    error = capsys.readouterr().err
    assert str(blocked) in error.replace("\n", "")
    assert "Traceback" not in error
