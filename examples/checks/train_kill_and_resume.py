"""Kill ``rainkit train`` at random moments, resume it, and compare with a training left alone.

    $ python examples/checks/train_kill_and_resume.py
    $ python examples/checks/train_kill_and_resume.py --fork
    $ python examples/checks/train_kill_and_resume.py --only graspp-gan --processes 2 --accumulate 2

Each method is made small, and trained undisturbed on a few photographs with rain on the fly, or on
time-lapse scenes. Then the same training is started elsewhere, killed with SIGKILL at a random
moment, all its processes at once, resumed, killed again ... until it ends; and begun anew until
there were enough kills. What a finished one left must be the same: weights and their headers,
average, optimisers, helper networks, what the loop remembers, and every row of log.csv that is not
a time. Ends with 1 if anything differs. Half-written files that a kill leaves behind, under names
of their own, are counted.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import importlib
import multiprocessing
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import psutil
import skimage.data
import torch
from rich.console import Console
from rich.table import Table
from safetensors import safe_open

from rainkit import images, plugins
from rainkit.errors import exiting
from rainkit.images import Picture
from rainkit.rain import PRESETS, render
from rainkit.training import checkpointing

TINY: dict[str, tuple[str, ...]] = {
    "freq-gan": (
        "network.stages=2", "network.width=4", "network.blocks=1", "objective.alone_epochs=1",
    ),
    "granet": (
        "network.width=4", "network.growth=4", "network.layers=2", "training.schedule=plateau",
        "training.patience=0", "training.factor=0.5", "training.clip_norm=0.1",
    ),
    "graspp-gan": (
        "network.width1=4", "network.width2=4", "network.width3=4", "network.width4=4",
        "network.context=4", "objective.alone_epochs=1",
    ),
    "prenet": ("network.stages=2", "network.width=4", "network.blocks=1"),
    "resguidenet": ("network.blocks=2", "network.width=4", "network.recursion=2"),
    "timelapse": ("network.widths=4,4,4", "network.rank=4"),
}  # fmt: skip
"""Small networks whose critics join after an epoch; another method trains as it is."""

COMMON = ("training.batch=4", "training.patch=32", "training.warmup_steps=5")

TIMES = frozenset({"seconds", "steps per second", "memory MiB"})
"""Names in log.csv that tell of the machine."""


@dataclass
class Data:
    """Folders to train on and to validate on."""

    photos: Path
    pairs: Path
    scenes: Path


@dataclass
class Row:
    """What became of one method."""

    method: str
    kills: int = 0
    resumes: int = 0
    finished: int = 0
    differing: set[str] = field(default_factory=set)
    left: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", metavar="METHOD", action="append", help="this method; repeatable")
    parser.add_argument("--kills", type=int, default=20, help="of each method (default: 20)")
    parser.add_argument("--steps", type=int, default=24, help="of a training (default: 24)")
    parser.add_argument("--save-every", type=int, default=3, help="steps (default: 3)")
    parser.add_argument("--processes", type=int, default=1, help="by torchrun (default: 1)")
    parser.add_argument("--accumulate", type=int, default=1, help="parts of a batch (default: 1)")
    parser.add_argument("--workers", type=int, default=1, help="loading processes (default: 1)")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="settings")
    parser.add_argument("--seed", type=int, help="of the moments (default: a new one)")
    parser.add_argument("--fork", action="store_true", help="import once: less time for a kill")
    given = parser.parse_args()
    if given.fork:
        if given.processes > 1:
            parser.error("--fork goes with one process")
        _import_everything()
    seed = secrets.randbits(32) if given.seed is None else given.seed
    names = given.only or [row.name for row in plugins.installed() if not row.problem]
    say(f"seed {seed}, {given.processes} processes, {given.accumulate} parts of a batch")
    with tempfile.TemporaryDirectory(prefix="train-kill-") as folder:
        data = make_data(Path(folder))
        rows = []
        for name in names:
            command = training(name, data, given)
            moments = random.Random(f"{seed} {name}")
            rows.append(check(name, command, Path(folder) / name, given, moments))
    Console().print(table(rows, given.processes))
    return 1 if any(row.differing or not row.finished for row in rows) else 0


def check(
    name: str,
    command: Sequence[str],
    folder: Path,
    given: argparse.Namespace,
    moments: random.Random,
) -> Row:
    """Train one method undisturbed and disturbed, and compare."""
    row, alone, out = Row(name), folder / "alone", folder / "killed"
    started = time.monotonic()
    run([*command, "-o", str(alone)], given, None)
    whole = time.monotonic() - started
    wanted = content(alone)
    say(f"{name}: {whole:.1f} s undisturbed")
    while row.kills < given.kills or not row.finished or out.exists():
        # Before its record is written there is nothing to resume.
        resuming = (out / "run.json").is_file()
        row.resumes += resuming
        again = [*command[:1], "--resume", str(out)] if resuming else [*command, "-o", str(out)]
        patience = None if row.kills >= given.kills else moments.uniform(0, whole)
        if not run(again, given, patience):
            row.kills += 1
            last = checkpointing.latest(out)
            where = last.name if last else "no checkpoint"
            say(f"{name}: kill {row.kills} after {patience:.1f} s, {where}")
            continue
        row.finished += 1
        found = differences(wanted, content(out))
        row.differing |= set(found)
        row.left += len(left := leftovers(out))
        told = [", ".join(found) or "all the same", *(f"left over: {each}" for each in left)]
        say(f"{name}: finished {row.finished}, {'; '.join(told)}")
        shutil.rmtree(out)
    return row


def training(name: str, data: Data, given: argparse.Namespace) -> list[str]:
    """The arguments after ``rainkit`` of a short training of a method, but for its folder."""
    frames = plugins.get(name).training_data == "frames"
    settings = (
        *COMMON, *TINY.get(name, ()), f"training.steps={given.steps}",
        f"training.epoch_steps={max(1, given.steps // 3)}",
        f"training.accumulate={given.accumulate}", *given.settings,
    )  # fmt: skip
    return [
        "train", "-m", name, *(("--scenes", str(data.scenes)) if frames else
        ("--clean", str(data.photos))), "--validate", str(data.pairs), "--device", "cpu",
        "--seed", "3", "--set", f"run.workers={given.workers}",
        "--set", f"run.save_every={given.save_every}",
        *(word for setting in settings for word in ("--set", setting)),
    ]  # fmt: skip


def run(arguments: Sequence[str], given: argparse.Namespace, patience: float | None) -> bool:
    """Whether ``rainkit`` ended by itself; it is killed after ``patience`` seconds.

    Exits if it fails.
    """
    with tempfile.TemporaryFile("w+") as told:
        started = (
            Forked(arguments, told) if given.fork else _start(arguments, told, given.processes)
        )
        try:
            code = started.wait(patience)
        except subprocess.TimeoutExpired:
            kill(started)
            return False
        except BaseException:
            kill(started)
            raise
        if code:
            told.seek(0)
            sys.exit(f"rainkit {' '.join(arguments)} ended with {code}:\n{told.read()[-3000:]}")
        return True


def _start(arguments: Sequence[str], told: IO[str], processes: int) -> subprocess.Popen[Any]:
    return subprocess.Popen(
        [sys.executable, *launcher(processes), "-m", "rainkit", *arguments],
        stdout=told,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"} | os.environ,
    )


def _import_everything() -> None:
    """What a training imports; without threads, which a copy of this process would lack."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for name in ("rainkit.cli", "accelerate.utils", "timm.utils", "torch.utils.tensorboard"):
        importlib.import_module(name)


class Forked:
    """``rainkit`` in a copy of this process, which has imported everything."""

    def __init__(self, arguments: Sequence[str], told: IO[str]) -> None:
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_main, args=(arguments, told.fileno()))
        self._process.start()
        self.pid = self._process.pid or 0

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, as of a Popen."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("rainkit", timeout or 0)
        return self._process.exitcode


def _main(arguments: Sequence[str], told: int) -> None:
    from rainkit.cli import main

    for standard in (1, 2):
        os.dup2(told, standard)
    sys.argv = ["rainkit", *arguments]
    main()


def launcher(processes: int) -> list[str]:
    """Of several processes on this machine."""
    if processes == 1:
        return []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    each = ["--nproc-per-node", str(processes), "--master-port", str(port)]
    return ["-m", "torch.distributed.run", *each]


def kill(started: subprocess.Popen[Any] | Forked) -> None:
    """SIGKILL a process and all under it; torchrun gives each of them a session of its own."""
    tree: set[psutil.Process] = set()
    # Those that are stopped start no others.
    while new := _tree(started.pid) - tree:
        for process in new:
            _quietly(process.suspend)
        tree |= new
    for process in tree:
        _quietly(process.kill)
    started.wait()
    psutil.wait_procs(tree)


def _tree(root: int) -> set[psutil.Process]:
    try:
        top = psutil.Process(root)
        return {top, *top.children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


def _quietly(act: Any) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        act()


def content(out: Path) -> dict[str, str]:
    """SHA-256 of everything in a run that must come out alike, by file and part."""
    last = checkpointing.latest(out)
    if last is None:
        return {}
    state = last / checkpointing.STATE
    parts = {
        f"{state.name}: {name}": value for name, value in checkpointing.open_state(last).items()
    }
    parts["checkpoint"] = last.name
    for path in sorted([*out.glob("[!.]*.safetensors"), *last.glob("*.safetensors")]):
        with safe_open(path, "pt") as file:
            parts[path.name] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            parts[f"{path.name}: header"] = file.metadata()
    with (out / "log.csv").open(newline="", encoding="utf-8") as file:
        parts["log.csv"] = [row for row in csv.reader(file) if row[1] not in TIMES]
    return {name: digest(value) for name, value in parts.items()}


def leftovers(out: Path) -> list[str]:
    """Files that were being written when they were killed, and that no resume removed."""
    found = [*out.rglob(".rainkit-*"), *(out / "checkpoints").glob("unfinished-*")]
    return sorted(path.relative_to(out).as_posix() for path in found)


def digest(value: Any) -> str:
    """SHA-256 of nested values and tensors."""
    found = hashlib.sha256()
    for part in _flat(value):
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for key in sorted(value, key=repr):
            yield repr(key).encode()
            yield from _flat(value[key])
    elif isinstance(value, list | tuple):
        yield f"{len(value)} of {type(value).__name__}".encode()
        for each in value:
            yield from _flat(each)
    elif isinstance(value, torch.Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    else:
        yield repr(value).encode()


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """The parts that are not the same."""
    return [
        name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)
    ]


def make_data(folder: Path) -> Data:
    """Small photographs, rainy and clean pairs of them, and scenes of rainy frames."""
    data = Data(folder / "photos", folder / "pairs", folder / "scenes")
    places = ("train/seq/a_01", "train/seq/b_01", "test/seq/c_01")
    for number, name in enumerate(("astronaut", "coffee", "chelsea")):
        photograph = getattr(skimage.data, name)()
        clean = np.ascontiguousarray(photograph[100:164, 100:180])
        rainy = render(clean, PRESETS["rain100h"], (number,)).rainy
        images.write(data.photos / f"{name}.png", Picture(clean))
        images.write(data.pairs / "input" / f"{name}.png", Picture(rainy))
        images.write(data.pairs / "target" / f"{name}.png", Picture(clean))
        for frame in range(1, 5):
            rainy = render(clean, PRESETS["rain100l"], (number, frame)).rainy
            images.write(data.scenes / places[number] / f"{frame:04d}.png", Picture(rainy))
        images.write(data.scenes / places[number] / "clean.png", Picture(clean))
    return data


def table(rows: Sequence[Row], processes: int) -> Table:
    """One line per method."""
    shown = Table("method")
    for heading in ("processes", "kills", "resumes", "finished", "left over"):
        shown.add_column(heading, justify="right")
    shown.add_column("differing")
    for row in rows:
        numbers = (processes, row.kills, row.resumes, row.finished, row.left)
        differing = ", ".join(sorted(row.differing)) or "none"
        shown.add_row(row.method, *map(str, numbers), differing)
    return shown


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
