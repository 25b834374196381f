"""Kill ``rainkit infer`` at random moments, continue it, and compare with an undisturbed run.

    $ python examples/checks/infer_kill_and_resume.py photos/ -m graspp-gan --times 30
    $ python examples/checks/infer_kill_and_resume.py photos/ -m prenet -- --workers 4 --parts

The script derains a folder undisturbed. Then it starts the same command with another folder, kills
it with SIGKILL at a random moment, and repeats it, which goes on. After each kill, every file that
has a visible name must equal that of the undisturbed run. When all are done, both folders must be
equal, and the next folder is begun until there were enough kills. Options after ``--`` are those of
``rainkit infer``. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("-m", "--method", required=True, help="installed method")
    parser.add_argument("--times", type=int, default=30, help="kills (default: 30)")
    parser.add_argument("--seed", type=int, help="of the moments (default: a new one)")
    asked, options = parser.parse_known_args()
    options = ["-m", asked.method, *(option for option in options if option != "--")]
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    print(f"seed {seed}, options {' '.join(options)}", flush=True)
    # The server has torch imported, so that its children begin at once; it computes nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rainkit.cli.following", "rainkit.inference.loading"])
    with tempfile.TemporaryDirectory(prefix="infer-kill-") as folder:
        return check(context, asked.photos, Path(folder), asked.times, seed, options)


def check(
    context: ForkServerContext,
    photos: Path,
    folder: Path,
    times: int,
    seed: int,
    options: Sequence[str],
) -> int:
    """Return 0 if every folder that was made in spite of kills equals the undisturbed one."""
    moments = random.Random(seed)
    alone, out = folder / "alone", folder / "killed"
    command = ["infer", str(photos), *options, "-q", "-o"]
    infer(context, [*command, str(alone)]).join()  # warms up
    shutil.rmtree(alone, ignore_errors=True)
    started = time.monotonic()
    infer(context, [*command, str(alone)]).join()
    whole = time.monotonic() - started
    wanted = hashes(folder, alone)
    if not wanted:
        print("the undisturbed run gave nothing")
        return 1
    print(f"undisturbed: {len(wanted)} files in {whole:.1f} s", flush=True)
    kills = finished = differing = 0
    while kills < times or not finished or out.exists():
        run = infer(context, [*command, str(out)])
        run.join(None if kills >= times else moments.uniform(0.05, 0.6) * whole)
        if run.is_alive():
            os.kill(run.pid or 0, signal.SIGKILL)
            run.join()
            kills += 1
            found = hashes(folder, out)
            wrong = [name for name, digest in found.items() if wanted.get(name) != digest]
            differing += bool(wrong)
            print(f"kill {kills}: {len(found)} files there, wrong: {wrong}", flush=True)
            continue
        found = hashes(folder, out)
        if run.exitcode != 0 or found != wanted:
            print(f"ended with {run.exitcode}, {len(found)} files of {len(wanted)}")
            return 1
        finished += 1
        for place in folder.glob("killed*"):
            shutil.rmtree(place)
    print(f"{kills} kills, {finished} folders finished, {differing} differ")
    return 1 if differing else 0


def infer(context: ForkServerContext, arguments: Sequence[str]) -> BaseProcess:
    """Start ``rainkit`` in a process of its own."""
    process = context.Process(target=command_line, args=(tuple(arguments),))
    process.start()
    return process


def command_line(arguments: Sequence[str]) -> None:
    """Run ``rainkit`` with arguments; called in a process of its own."""
    from rainkit.cli import main as run

    sys.argv = ["rainkit", *arguments]
    run()


def hashes(folder: Path, out: Path) -> dict[str, str]:
    """Return the SHA-256 of every visible file of results and parts, by its name."""
    found = {}
    for place in (out, folder / f"{out.name}-parts"):
        for path in sorted(place.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                name = str(path.relative_to(folder)).replace(out.name, "", 1)
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


if __name__ == "__main__":
    sys.exit(main())
