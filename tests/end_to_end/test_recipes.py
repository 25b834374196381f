"""Recipes are what the commands take: every TOML file, and every command of every script."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer

from rainkit import images, plugins
from rainkit.cli import app
from rainkit.datasets.pairs import find_pairs
from rainkit.precision import choose_runtime
from rainkit.synthesis.request import SynthRequest
from rainkit.training import TrainRequest
from rainkit.training.run_config import refuse_impossible

ROOT = Path(__file__).parent.parent.parent
RECIPES = ROOT / "examples" / "recipes"
TOML = sorted(RECIPES.glob("*.toml"))
SCRIPTS = sorted(RECIPES.glob("*.sh"))

COMMAND: Any = typer.main.get_command(app)

recipes = pytest.mark.parametrize("recipe", TOML, ids=lambda path: path.name)
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)


class StopAskedError(Exception):
    """Raised where work would begin; carries what was asked for."""


@pytest.fixture(autouse=True)
def nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(request: object, *_: object, **__: object) -> None:
        raise StopAskedError(request)

    monkeypatch.setattr("rainkit.training.train", stop)
    monkeypatch.setattr("rainkit.synthesis.run.synthesise", stop)


def asked(words: list[str]) -> Any:
    """The request that ``rainkit`` makes of its arguments; None if it refuses them."""
    try:
        COMMAND(words, standalone_mode=False)
    except StopAskedError as stopped:
        return stopped.args[0]
    return None


def check_training(words: list[str]) -> TrainRequest:
    request = asked(words)
    assert isinstance(request, TrainRequest)
    spec = request.method.image(request.hyperparameters.network)
    refuse_impossible(request, spec, choose_runtime("cpu", "fp32", spec))
    return request


def commands(script: Path, folder: Path, *options: str) -> list[list[str]]:
    """Arguments of every ``rainkit`` that a script runs, given the folders its header names."""
    usage = re.search(
        rf"^# +(\w+) examples/recipes/{script.name}((?: [A-Z]+)+)", script.read_text(), re.M
    )
    assert usage, f"the header of {script.name} does not say how it is run"
    record = folder / "record"
    stub = folder / "bin" / "rainkit"
    stub.parent.mkdir()
    stub.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" '' >> '{record}'\n")
    stub.chmod(0o755)
    given = [str(folder / name) for name in usage[2].split()]
    done = subprocess.run(
        [usage[1], str(script), *given, *options],
        env=os.environ | {"PATH": f"{stub.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [text.splitlines() for text in record.read_text().split("\n\n") if text]


def test_recipes_are_found() -> None:
    assert {"graspp-gan.toml", "dehazing.toml", "denoising.toml"} <= {path.name for path in TOML}
    assert {"dehazing.sh", "denoising.sh"} <= {path.name for path in SCRIPTS}


@recipes
def test_a_recipe_is_accepted(recipe: Path, tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "out"), "--config", str(recipe)]
    if tomllib.loads(recipe.read_text()).keys() <= {"synth", "rain"}:
        assert isinstance(asked(["synth", "photos", *out]), SynthRequest)
        return
    method = plugins.get(tomllib.loads(recipe.read_text())["method"])
    source = "--clean" if method.training_data == "pairs" else "--scenes"
    check_training(["train", source, "photos", *out])


def test_a_wrong_recipe_is_not(tmp_path: Path) -> None:
    for name, old, new in (
        ("dehazing.toml", "batch", "bitch"),
        ("denoising.toml", '"noise"', '"fog"'),
        ("dehazing-fog.toml", "fog_gain", "fog_gian"),
    ):
        wrong = tmp_path / name
        text = (RECIPES / name).read_text()
        assert old in text
        wrong.write_text(text.replace(old, new))
        with pytest.raises(AssertionError):
            test_a_recipe_is_accepted(wrong, tmp_path)


@scripts
def test_a_script_runs_what_exists(script: Path, tmp_path: Path) -> None:
    subprocess.run([shutil.which("bash") or "bash", "-n", script], check=True)
    ran = commands(script, tmp_path)
    assert ran
    for words in ran:
        if words[0] == "train":
            check_training(words)
            continue
        command = COMMAND
        rest = list(words)
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        assert not hasattr(command, "commands"), f"no command rainkit {words[0]}"
        command.make_context(words[0], rest)  # parses the options, and reads a synthesis' recipe


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if '"$@"' in path.read_text()], ids=lambda path: path.name
)
def test_options_go_before_the_settings_of_a_script(script: Path, tmp_path: Path) -> None:
    own = ("training.batch=3", "training.lr=1e-7", "data.jpeg=0.125")
    options = [word for setting in own for word in ("--set", setting)]
    ran = [words for words in commands(script, tmp_path, *options) if words[0] == "train"]
    told = [words for words in ran if own[0] in words]
    assert told
    for words in told:
        request = check_training(words)
        training = request.hyperparameters.training
        assert (training.batch, training.lr, request.data.jpeg) == (3, 1e-7, 0.125)
        assert words[-len(options) :] == options, "a setting after them may be one of them"


def scene(path: Path, seed: int, kind: str) -> None:
    """Write a picture of its own scene: clean, rainy, or both side by side in an order."""
    draw = np.random.default_rng(seed)
    clean = cv2.resize(draw.integers(20, 180, (5, 5, 3), np.uint8), (48, 48))
    rainy = np.clip(clean.astype(int) + 60 * (draw.random((48, 48, 1)) < 0.2), 0, 255)
    sides = {"clean": clean, "rainy": rainy.astype(np.uint8)}
    images.write(path, images.Picture(np.hstack([sides[side] for side in kind.split()])))


def published(root: Path) -> None:
    """Tiny datasets with the names of folders and files under which the papers' were published."""
    for number in (901, 902, 903):
        scene(root / f"DDN/ground_truth/{number}.jpg", number, "clean")
        for rain in (1, 2):
            scene(root / f"DDN/rainy_image/{number}_{rain}.jpg", number, "rainy")
    for number in range(1, 7):
        scene(root / f"RESCAN/{number}.jpg", 10 + number, "clean rainy")
        scene(root / f"DID/{number}.jpg", 20 + number, "rainy clean")
        scene(root / f"PHOTOS/{number}.png", 30 + number, "clean")
        scene(root / f"TRAIN/clear/{number}.png", 40 + number, "clean")
        scene(root / f"TRAIN/hazy/{number}_1_0.90179.png", 40 + number, "rainy")
        scene(root / f"TEST/outdoor/gt/{number:04}.png", 45 + number, "clean")
        scene(root / f"TEST/outdoor/hazy/{number:04}_0.8_0.2.jpg", 45 + number, "rainy")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("graspp-gan-data.sh", {"OUTPUT": 4}),
        ("graspp-gan-tests.sh", {"OUTPUT/rain-i": 6, "OUTPUT/rain-iii": 8}),
        ("reside.sh", {"OUT/train": 2}),
    ],
)
def test_sets_of_the_papers_are_made_of_published_folders(
    name: str, made: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # this is done
    monkeypatch.setenv("COUNT", "2")
    monkeypatch.setenv("VARIANTS", "2")
    published(tmp_path)
    for old, new in (("DDN", "FIRST"), ("DID", "SECOND"), ("RESCAN", "TESTED")):
        (tmp_path / new).symlink_to(tmp_path / old)
    for words in commands(RECIPES / name, tmp_path):
        if words[0] in ("data", "synth"):
            typer.main.get_command(app)([*words, "-q"], standalone_mode=False)
    assert {folder: len(find_pairs(tmp_path / folder)) for folder in made} == made
    if name == "reside.sh":
        (source,) = json.loads((tmp_path / "OUT/train/mix.json").read_text())["sources"]
        assert source["left_out"] == 1, "one scene of TRAIN is in TEST, too"
