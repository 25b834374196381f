"""``rainkit train`` killed, stopped, out of disk space and shared: it goes on to the same bits."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors import safe_open

from rainkit import images
from rainkit.images import Picture

pytest.importorskip("resource", reason="limits and signals are POSIX's")

SCRIPT = Path(__file__).parents[2] / "examples" / "checks" / "train_kill_and_resume.py"

STEPS, EPOCH, EVERY = 24, 12, 5

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


check = _script()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return check.make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> Path:
    """The run that nothing happens to."""
    run = tmp_path_factory.mktemp("alone") / "run"
    _finish(_training(data, run))
    return run


@pytest.fixture(scope="module")
def two(data, tmp_path_factory) -> Path:
    """The same by two processes, in parts; five pictures to validate on do not divide by two."""
    five = tmp_path_factory.mktemp("validation") / "five"
    shutil.copytree(data.pairs, five)
    for side in ("input", "target"):
        for name in ("astronaut", "coffee"):
            turned = np.ascontiguousarray(images.read(five / side / f"{name}.png").rgb[::-1])
            images.write(five / side / f"{name}-turned.png", Picture(turned))
    run = tmp_path_factory.mktemp("two") / "run"
    _finish(_shared(data, run, five))
    return run


def _shared(data, run: Path, validate: Path) -> list[str]:
    settings = ("training.accumulate=2", "training.steps=8", "training.epoch_steps=4")
    return _training(data, run, *settings, processes=2, validate=validate)


def _training(
    data, run: Path, *settings: str, processes: int = 1, validate: Path | None = None
) -> list[str]:
    named = (
        *check.TINY["graspp-gan"], "training.patch=32", "training.warmup_steps=2",
        "training.batch=4", f"training.steps={STEPS}", f"training.epoch_steps={EPOCH}", *settings,
    )  # fmt: skip
    return [
        *_rainkit(processes), "train", "-m", "graspp-gan", "--clean", str(data.photos),
        "--validate", str(validate or data.pairs), "--device", "cpu", "--precision", "fp32",
        "--set", "run.workers=0", "--set", f"run.save_every={EVERY}", "--seed", "4", "-o", str(run),
        *(word for setting in named for word in ("--set", setting)),
    ]  # fmt: skip


def _resuming(run: Path, processes: int = 1) -> list[str]:
    return [*_rainkit(processes), "train", "--resume", str(run)]


def _rainkit(processes: int = 1) -> list[str]:
    return [sys.executable, *check.launcher(processes), "-m", "rainkit"]


def _environment() -> dict[str, str]:
    """Threads as torchrun gives them, and lines that are not wrapped."""
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "1000", "NO_COLOR": "1"}


def _finish(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=_environment(), timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _start_until(command: list[str], run: Path, step: int, told: Path) -> subprocess.Popen[bytes]:
    """A training in which the checkpoint of a step has just appeared."""
    with told.open("wb") as file:
        started = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
    patience = time.monotonic() + 300
    while not _checkpoint(run, step).exists():
        assert started.poll() is None, told.read_text()[-3000:]
        if time.monotonic() > patience:
            check.kill(started)
            pytest.fail(f"no checkpoint: {told.read_text()[-3000:]}")
        time.sleep(0.002)
    return started


def _checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def _validated(run: Path) -> Path:
    (folder,) = json.loads((run / "run.json").read_text())["data"]["validation"]
    return Path(folder)


def _differing(run: Path, other: Path) -> list[str]:
    return check.differences(check.content(run), check.content(other))


def test_two_processes_killed_at_once_resume_to_the_same_bits(
    data, two: Path, tmp_path: Path
) -> None:
    """With accumulation, while the critic learns: every process draws its own share again."""
    cut = tmp_path / "cut"
    command = _shared(data, cut, _validated(two))
    check.kill(_start_until(command, cut, 5, tmp_path / "told"))
    assert not _checkpoint(cut, 8).exists(), "killed too late to tell anything"
    _finish(_resuming(cut, processes=2))
    assert _differing(two, cut) == []
    state = check.checkpointing.open_state(_checkpoint(cut, 8))
    assert state["optimisers"]["critic"]["state"], "the critic has stepped"


def test_a_stopped_run_saves_that_very_step_and_says_how_to_go_on(
    data, alone: Path, tmp_path: Path
) -> None:
    cut, told = tmp_path / "cut", tmp_path / "told"
    started = _start_until(_training(data, cut, "run.workers=1"), cut, EVERY, told)
    os.killpg(started.pid, signal.SIGTERM)  # schedulers signal the loading processes, too
    assert started.wait(120) == 130, told.read_text()[-3000:]
    said = told.read_text()
    step = int(re.search(rf"step (\d+) of {STEPS}", said)[1])
    assert EVERY <= step < STEPS, "stopped too late to tell anything"
    assert f"rainkit train --resume {cut}\n" in said
    assert check.checkpointing.latest(cut) == _checkpoint(cut, step)
    with safe_open(cut / "last.safetensors", "pt") as file:
        assert file.metadata()["step"] == str(step)
    _finish(_resuming(cut))
    assert _differing(alone, cut) == []


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_one_before(
    data, alone: Path, tmp_path: Path
) -> None:
    """Once the critic joins, its optimiser makes checkpoints larger than files may be here."""
    cut = tmp_path / "cut"
    limit = (_checkpoint(alone, STEPS) / "state.pt").stat().st_size // 2

    failed = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *_training(data, cut)],
        capture_output=True, text=True, check=False, env=_environment(), timeout=300,
    )  # fmt: skip
    assert failed.returncode == 1, failed.stderr[-3000:]
    last = failed.stderr.strip().splitlines()[-1]
    assert "the checkpoint cannot be written" in last
    assert f"--resume {cut}" in last
    assert "Traceback" not in failed.stderr
    assert check.checkpointing.latest(cut) == _checkpoint(cut, EPOCH)
    left = [path.name for path in (cut / "checkpoints").iterdir()]
    assert not [name for name in left if not name.startswith("step-")]
    _finish(_resuming(cut))
    assert _differing(alone, cut) == []


def test_two_processes_validate_every_picture_once(two: Path) -> None:
    """Each with the weights that ship: the scores are those that one process finds."""
    with (two / "log.csv").open(newline="") as file:
        logged = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    assert logged["validation/five/images"] == 5
    with safe_open(two / "last.safetensors", "pt") as file:
        scores = json.loads(file.metadata()["validation"])
    scoring = (
        "eval", _validated(two), "-m", f"graspp-gan={two / 'last.safetensors'}",
        "--device", "cpu", "--precision", "fp32", "--protocol", "prenet", "--json", "--quiet",
    )  # fmt: skip
    (scored,) = json.loads(_finish([*_rainkit(), *map(str, scoring)]))["results"]
    assert scored["images"] == 5
    for name in ("psnr", "ssim", "input_psnr", "input_ssim"):
        wanted = scored["summary"][name]["mean"]
        assert scores[f"five/{name}"] == pytest.approx(wanted, rel=1e-9), name
        assert logged[f"validation/five/{name}"] == pytest.approx(wanted, rel=1e-5), name
