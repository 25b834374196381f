"""``rainkit train`` killed, stopped, out of disk space and shared: it goes on to the same bits."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open

from rainkit import images
from rainkit.cli import main
from rainkit.images import Picture

resource = pytest.importorskip("resource", reason="limits and signals are POSIX's")

SCRIPT = Path(__file__).parents[2] / "examples" / "checks" / "train_kill_and_resume.py"

STEPS, EPOCH, EVERY = 16, 8, 5

PLAIN = {
    "OMP_NUM_THREADS": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "COLUMNS": "1000",
    "NO_COLOR": "1",
}
"""As many threads as torchrun gives each process, no network, and lines that are not wrapped."""

SERVER = """
import json, os, sys
import accelerate.utils, albumentations, cv2, timm.utils, torch, torch.utils.tensorboard
from rainkit.cli import main
cv2.setNumThreads(0)
torch.set_num_threads(1)
def trained():
    try:
        main()
    except SystemExit as end:
        # Threads of a group that was not left abort the process at times.
        if not end.code and torch.distributed.is_initialized():
            sys.exit("the group of processes was not left")
        raise
for line in sys.stdin:
    arguments, told, world = json.loads(line)
    if not (child := os.fork()):
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
os.setsid()
file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(file, 1)
os.dup2(file, 2)
sys.argv = ["rainkit", *arguments]
if not world:
    trained()
children = []
for rank in range(int(world["WORLD_SIZE"])):
    if not (child := os.fork()):
        os.environ |= world | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        trained()
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""
"""Starts ``rainkit`` in copies of a process that has imported everything, one after another.

A copy has a session of its own. Several processes have the environment that torchrun gives them.
"""


@dataclass
class Started:
    """``rainkit`` in a copy of the server; as a Popen."""

    server: subprocess.Popen[bytes]
    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while the process runs."""
        if self.code is None and select.select([self.server.stdout], [], [], 0)[0]:
            self.code = int(self.server.stdout.readline())
        return self.code

    def wait(self, timeout: float = 300) -> int:
        """The exit code, when the process has ended."""
        patience = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > patience:
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        return self.code


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
    assert _here(_training(data, run)) == 0
    return run


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Started]]:
    """Start ``rainkit``, which writes to a file; by several processes if there is more than one."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        env=os.environ | PLAIN,
    )  # fmt: skip

    def begin(arguments: list[str], told: Path, processes: int = 1) -> Started:
        world = {}
        if processes > 1:
            world = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
            world["MASTER_PORT"] = check.launcher(processes)[-1]
        server.stdin.write(json.dumps([arguments, str(told), world]).encode() + b"\n")
        return Started(server, int(server.stdout.readline()))

    with server:
        yield begin


@pytest.fixture(scope="module")
def two(data, start, tmp_path_factory) -> Path:
    """The same by two processes, in parts; five pictures to validate on do not divide by two."""
    five = tmp_path_factory.mktemp("validation") / "five"
    shutil.copytree(data.pairs, five)
    for side in ("input", "target"):
        for name in ("astronaut", "coffee"):
            turned = np.ascontiguousarray(images.read(five / side / f"{name}.png").rgb[::-1])
            images.write(five / side / f"{name}-turned.png", Picture(turned))
    run = tmp_path_factory.mktemp("two") / "run"
    _end(start(_shared(data, run, five), run.with_name("told"), 2), run.with_name("told"))
    return run


def _shared(data, run: Path, validate: Path) -> list[str]:
    settings = ("training.accumulate=2", "training.steps=8", "training.epoch_steps=4")
    return _training(data, run, *settings, validate=validate)


def _training(data, run: Path, *settings: str, validate: Path | None = None) -> list[str]:
    named = (
        *check.TINY["graspp-gan"], "training.patch=32", "training.warmup_steps=2",
        "training.batch=4", f"training.steps={STEPS}", f"training.epoch_steps={EPOCH}", *settings,
    )  # fmt: skip
    return [
        "train", "-m", "graspp-gan", "--clean", str(data.photos),
        "--validate", str(validate or data.pairs), "--device", "cpu", "--precision", "fp32",
        "--set", "run.workers=0", "--set", f"run.save_every={EVERY}", "--seed", "4", "-o", str(run),
        *(word for setting in named for word in ("--set", setting)),
    ]  # fmt: skip


def _resuming(run: Path) -> list[str]:
    return ["train", "--resume", str(run)]


def _here(arguments: list[str]) -> int:
    """The exit code of the command line, run in this process with as many threads as elsewhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["rainkit", *arguments])
            patch.setenv("COLUMNS", "1000")
            with pytest.raises(SystemExit) as ended:
                main()
    finally:
        torch.set_num_threads(threads)
    return int(ended.value.code or 0)


def _end(started: Started, told: Path) -> None:
    """Wait for a training, which must succeed."""
    assert started.wait() == 0, told.read_text()[-3000:]


def _wait_for(started: Started, run: Path, step: int, told: Path) -> None:
    """Wait until the checkpoint of a step has just appeared."""
    patience = time.monotonic() + 300
    while not _checkpoint(run, step).exists():
        assert started.poll() is None, told.read_text()[-3000:]
        if time.monotonic() > patience:
            check.kill(started)
            pytest.fail(f"no checkpoint: {told.read_text()[-3000:]}")
        time.sleep(0.002)


def _checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def _validated(run: Path) -> Path:
    (folder,) = json.loads((run / "run.json").read_text())["data"]["validation"]
    return Path(folder)


def _differing(run: Path, other: Path) -> list[str]:
    return check.differences(check.content(run), check.content(other))


def test_two_processes_killed_at_once_resume_to_the_same_bits(
    data, start, two: Path, tmp_path: Path
) -> None:
    """With accumulation, while the critic learns: every process draws its own share again."""
    cut, told = tmp_path / "cut", tmp_path / "told"
    started = start(_shared(data, cut, _validated(two)), told, 2)
    _wait_for(started, cut, 5, told)
    check.kill(started)
    assert not _checkpoint(cut, 8).exists(), "killed too late to tell anything"
    _end(start(_resuming(cut), told, 2), told)
    assert _differing(two, cut) == []
    state = check.checkpointing.open_state(_checkpoint(cut, 8))
    assert state["optimisers"]["critic"]["state"], "the critic has stepped"


def test_a_stopped_run_saves_that_very_step_and_says_how_to_go_on(
    data, start, alone: Path, tmp_path: Path
) -> None:
    cut, told = tmp_path / "cut", tmp_path / "told"
    started = start(_training(data, cut, "run.workers=1"), told)
    _wait_for(started, cut, EVERY, told)
    os.killpg(started.pid, signal.SIGTERM)  # schedulers signal the loading processes, too
    assert started.wait(120) == 130, told.read_text()[-3000:]
    said = told.read_text()
    step = int(re.search(rf"step (\d+) of {STEPS}", said)[1])
    assert EVERY <= step < STEPS, "stopped too late to tell anything"
    assert f"rainkit train --resume {cut}\n" in said
    assert check.checkpointing.latest(cut) == _checkpoint(cut, step)
    with safe_open(cut / "last.safetensors", "pt") as file:
        assert file.metadata()["step"] == str(step)
    assert _here(_resuming(cut)) == 0
    assert _differing(alone, cut) == []


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_one_before(
    data, alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the critic joins, its optimiser makes checkpoints larger than files may be here."""
    cut = tmp_path / "cut"
    limit = (_checkpoint(alone, STEPS) / "state.pt").stat().st_size // 2
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        assert _here(_training(data, cut)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    told = capsys.readouterr().err
    last = told.strip().splitlines()[-1]
    assert "the checkpoint cannot be written" in last
    assert f"--resume {cut}" in last
    assert "Traceback" not in told
    assert check.checkpointing.latest(cut) == _checkpoint(cut, EPOCH)
    left = [path.name for path in (cut / "checkpoints").iterdir()]
    assert not [name for name in left if not name.startswith("step-")]
    assert _here(_resuming(cut)) == 0
    assert _differing(alone, cut) == []


def test_two_processes_keep_one_log_and_validate_every_picture_once(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with the weights that ship: the scores are those that one process finds."""
    with (two / "log.csv").open(newline="") as file:
        rows = [
            (row["name"], int(row["step"]), float(row["value"])) for row in csv.DictReader(file)
        ]
    assert len({row[:2] for row in rows}) == len(rows), "a line is written twice"
    assert [step for name, step, _ in rows if name == "generator/total"] == [8]
    logged = {name: value for name, _, value in rows}
    assert logged["validation/five/images"] == 5
    with safe_open(two / "last.safetensors", "pt") as file:
        scores = json.loads(file.metadata()["validation"])
    scoring = (
        "eval", _validated(two), "-m", f"graspp-gan={two / 'last.safetensors'}",
        "--device", "cpu", "--precision", "fp32", "--protocol", "prenet", "--json", "--quiet",
    )  # fmt: skip
    capsys.readouterr()
    assert _here([*map(str, scoring)]) == 0
    (scored,) = json.loads(capsys.readouterr().out)["results"]
    assert scored["images"] == 5
    for name in ("psnr", "ssim", "input_psnr", "input_ssim"):
        wanted = scored["summary"][name]["mean"]
        # eval folds batch normalisation, so that a pixel may be rounded to the other level.
        assert scores[f"five/{name}"] == pytest.approx(wanted, rel=1e-6), name
        assert logged[f"validation/five/{name}"] == pytest.approx(wanted, rel=1e-5), name
