"""Recipes are what the commands take: every TOML file, and every command of every script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from rainkit import plugins
from rainkit.cli import app
from rainkit.networks import choose
from rainkit.synthesis.request import SynthRequest
from rainkit.training import TrainRequest
from rainkit.training.run_config import refuse_impossible

ROOT = Path(__file__).parent.parent.parent
RECIPES = ROOT / "examples" / "recipes"
TOML = sorted(RECIPES.glob("*.toml"))
SCRIPTS = sorted(RECIPES.glob("*.sh"))

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
        typer.main.get_command(app)(words, standalone_mode=False)
    except StopAskedError as stopped:
        return stopped.args[0]
    return None


def check_training(words: list[str]) -> TrainRequest:
    request = asked(words)
    assert isinstance(request, TrainRequest)
    spec = request.method.image(request.hyperparameters.network)
    refuse_impossible(request, spec, choose("cpu", "fp32", spec))
    return request


def commands(script: Path, folder: Path) -> list[list[str]]:
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
        [usage[1], str(script), *given],
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
        command: Any = typer.main.get_command(app)
        rest = list(words)
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        assert not hasattr(command, "commands"), f"no command rainkit {words[0]}"
        command.make_context(words[0], rest)  # parses the options, and reads a synthesis' recipe
