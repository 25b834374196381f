"""Kill ``rainkit synth`` at random moments, continue it, and compare with an undisturbed run.

    $ python examples/checks/kill_and_resume.py photos/ --times 20
    $ python examples/checks/kill_and_resume.py photos/ --times 20 -- --variants 3 --layout wds

The script makes one dataset undisturbed. Then it starts the same command with another folder,
kills it with SIGKILL at a random moment, and repeats it, which continues the dataset. Every dataset
that is finished in between is compared with the first one, file by file, and the next one is begun.
Options after ``--`` are those of ``rainkit synth``. The exit code is 1 if any file differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

USUAL = ("--variants", "3", "--test-scenes", "2", "--workers", "2")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of clean photographs")
    parser.add_argument("--times", type=int, default=20, help="kills (default: 20)")
    parser.add_argument("--seed", type=int, help="of the moments (default: a new one)")
    arguments, options = parser.parse_known_args()
    options = [option for option in options if option != "--"] or list(USUAL)
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}, options {' '.join(options)}")
    with tempfile.TemporaryDirectory(prefix="kill-and-resume-") as folder:
        return check(arguments.photos, Path(folder), arguments.times, seed, options)


def check(photos: Path, folder: Path, times: int, seed: int, options: Sequence[str]) -> int:
    """Return 0 if every resumed dataset in ``folder`` equals the undisturbed one, or else 1."""
    moments = random.Random(seed)
    command = [sys.executable, "-m", "rainkit", "synth", str(photos), *options, "-q", "-o"]
    alone, out = folder / "alone", folder / "killed"
    started = time.monotonic()
    subprocess.run([*command, str(alone)], check=True)
    whole = time.monotonic() - started
    wanted = hashes(alone)
    kills = finished = differing = 0
    while kills < times or not finished or out.exists():
        # A session of its own, so that half of the kills take the workers too.
        run = subprocess.Popen([*command, str(out)], start_new_session=True)
        try:
            patience = None if kills >= times else moments.uniform(0.1, 1.0) * whole
            code = run.wait(patience)
        except subprocess.TimeoutExpired:
            if moments.random() < 0.5:
                os.killpg(run.pid, signal.SIGKILL)
            else:
                run.kill()
            run.wait()
            kills += 1
            print(f"killed after {patience:.2f} s with {len(hashes(out))} files there")
            continue
        if code != 0 and not is_finished(out):
            print(f"ended with {code}")
            return 1
        finished += 1
        differing += differs(wanted, hashes(out))
        shutil.rmtree(out)
    print(f"{kills} kills, {finished} datasets finished, {differing} differ")
    return 1 if differing or not finished else 0


def is_finished(out: Path) -> bool:
    """Return whether a run was killed after its last step, so that the command refuses to write."""
    return (out / "manifest.jsonl").exists() and not list(out.glob("journal*"))


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file by its name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def differs(wanted: dict[str, str], found: dict[str, str]) -> bool:
    """Print the files that differ, and return whether there are any."""
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            print(f"differs: {name}")
    return wanted != found


if __name__ == "__main__":
    sys.exit(main())
