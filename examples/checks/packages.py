"""From source to a user's machine: build all packages, install them, use them, add and remove one.

python examples/checks/packages.py [-o FOLDER] [--borrow] [--transcript FILE]

Builds wheels and source distributions of rainkit and of every plugin, checks that they hold what
they need and nothing else, and installs ``rainkit[all]`` from that folder into a new environment.
There it draws rain on a photograph, takes it off again and scores the result; removes a method and
adds it again; writes a new plugin, installs it and runs the conformance kit on it. Each command is
printed with its time. Dependencies, torch among them, come from pip's index. With ``--borrow`` they
are those of the interpreter that runs this script, which takes a minute instead of several.

The script needs nothing but Python and git; with ``--borrow`` also build and hatchling.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import tomllib
import zipfile
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDED = "rainkit-granet"
NEW = "thin-drizzle"
DIST_INFO = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
PROJECT_FILES = {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
PHOTOGRAPH = """
from matplotlib.cbook import get_sample_data
from PIL import Image
Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).save("photo.png")
"""
"""Grace Hopper, US Navy, public domain: it is in matplotlib's wheel, and nothing is fetched."""


class FailedError(Exception):
    """A package or a command is not as it should be."""


@dataclass
class Transcript:
    """Runs commands and prints them with what they say and the time that they take."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    times: list[tuple[str, float]] = field(default_factory=list)

    def say(self, line: str = "") -> None:
        """Print a line, and keep it."""
        print(line, flush=True)
        self.lines.append(line)

    def run(self, *command: str | Path, name: str, code: int = 0, last: int = 12) -> str:
        """Run a command in the folder and return what it prints.

        Args:
            command: the program and its arguments.
            name: what the table of times calls it.
            code: exit code that the command must have.
            last: number of lines of its output that are printed.

        Raises:
            FailedError: it ended with another exit code.
        """
        words = [str(word) for word in command]
        program = Path(words[0])
        shown = [program.name if program.is_absolute() else words[0], *words[1:]]
        self.say(f"\n$ {shlex.join(shown)}")
        # Nothing of the environment that this script runs in may reach the new one.
        environment = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        environment |= {"NO_COLOR": "1", "COLUMNS": "100", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        started = time.monotonic()
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - started
        said = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
        for line in said[-last:]:
            self.say(f"  {line}")
        self.say(f"  [{seconds:.1f} s]")
        self.times.append((name, seconds))
        if done.returncode != code:
            raise FailedError(f"{shlex.join(shown)} ended with {done.returncode}, not {code}")
        return done.stdout


def projects() -> list[Path]:
    """Return the folders of all distributions, the core first."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def tracked(project: Path) -> set[str]:
    """Return the files of a project that git knows, relative to it."""
    command = ["git", "ls-files", "-z", "--cached", "--", "."]
    listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name}


def check_contents(project: Path, dist: Path, *, needed: set[str]) -> str:
    """Check the wheel and the source distribution of one project; return a line about them.

    Args:
        project: the project's folder.
        dist: folder of the built files.
        needed: the project's files as git knows them.

    Raises:
        FailedError: something is missing, or there is something else.
    """
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = about["name"].replace("-", "_")
    (wheel,) = dist.glob(f"{package}-*.whl")
    (source,) = dist.glob(f"{package}-*.tar.gz")
    inside = {name for name in needed if name.startswith(f"{package}/")}
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
        (metadata,) = (name for name in held if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(opened.read(metadata).decode())
    info = metadata.rpartition("/")[0]
    _same(wheel.name, held, inside | {f"{info}/{name}" for name in DIST_INFO})
    for name in ("Name", "Summary", "Requires-Python", "License-Expression", "Classifier"):
        if not headers[name]:
            raise FailedError(f"{wheel.name}: its metadata have no {name}")
    with tarfile.open(source) as archive:
        files = (member.name for member in archive.getmembers() if member.isfile())
        packed = {name.partition("/")[2] for name in files}
    tests = {name for name in needed if name.startswith("tests/")} if project != ROOT else set()
    more = {"CHANGELOG.md"} if project == ROOT else tests
    _same(source.name, packed, inside | more | PROJECT_FILES)
    weights = sum(name.endswith(".safetensors") for name in inside)
    size = wheel.stat().st_size / 1e6
    return f"{wheel.name}: {len(inside)} files, {weights} of them weights, {size:.1f} MB"


def _same(name: str, held: set[str], wanted: set[str]) -> None:
    for files, problem in ((wanted - held, "misses"), (held - wanted, "should not hold")):
        if files:
            raise FailedError(f"{name} {problem} {', '.join(sorted(files)[:5])}")


def borrow(folder: Path) -> None:
    """Link what this interpreter has installed, but for rainkit and its plugins, into a folder."""
    folder.mkdir()
    for kind in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
        for path in Path(kind).iterdir():
            if "rainkit" not in path.name.lower() and path.suffix != ".pth":
                (folder / path.name).symlink_to(path)


def go(folder: Path, *, borrowing: bool, transcript: Transcript) -> None:
    """Do everything in an empty folder.

    Raises:
        FailedError: something is not as it should be.
    """
    run, dist, all_projects = transcript.run, folder / "dist", projects()
    scripts = "Scripts" if os.name == "nt" else "bin"

    def environment(name: str, *options: str) -> Path:
        venv: list[str | Path] = [sys.executable, "-m", "venv", *options, folder / name]
        run(*venv, name=f"environment {name}")
        return folder / name / scripts

    transcript.say(f"# Python {sys.version.split()[0]}, {sys.platform}")
    if borrowing:
        builder: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation"]
    else:
        build = environment("for-building")
        run(build / "python", "-m", "pip", "install", "-q", "build", name="install build")
        builder = [build / "python", "-m", "build"]
    for project in all_projects:
        run(*builder, "--outdir", dist, project, name=f"build {project.name}", last=1)
    transcript.say("\n# what the packages hold")
    for project in all_projects:
        needed = tracked(project)
        transcript.say(f"  {check_contents(project, dist, needed=needed)}")

    # A borrowed pip comes with a setuptools that is new enough for the other packages.
    user = environment("for-using", *(["--without-pip"] if borrowing else []))
    pip: list[str | Path] = [user / "python", "-m", "pip"]
    install = [*pip, "install", "-q"]
    rainkit = user / "rainkit"
    if borrowing:
        borrow(folder / "borrowed")
        (place,) = (folder / "for-using").glob("**/site-packages")
        (place / "borrowed.pth").write_text(f"{folder / 'borrowed'}\n", encoding="utf-8")
    # Their files are named, so that pip takes none of them from elsewhere.
    methods = [_wheel(name, dist) for name in sorted(_all_methods())]
    run(*install, f"{_wheel('rainkit', dist)}[all]", *methods, name="install rainkit[all]")
    listed = run(rainkit, "methods", name="methods", last=20)
    for project in all_projects[1:]:
        method = project.name.removeprefix("rainkit-")
        wanted = project.name in _all_methods()
        if wanted and method not in listed:
            raise FailedError(f"rainkit[all] does not bring {method}")

    run(user / "python", "-c", PHOTOGRAPH, name="take a photograph", last=0)
    run(rainkit, "synth", "photo.png", "-o", "pairs", name="synth")
    run(rainkit, "infer", "pairs/input", "-o", "derained", "--report", name="infer")
    if not list((folder / "derained").glob("*.png")):
        raise FailedError("infer wrote no picture")
    run(rainkit, "eval", "-m", "graspp-gan", "pairs", name="eval")

    method = ADDED.removeprefix("rainkit-")
    run(*pip, "uninstall", "-q", "-y", ADDED, name="remove a method")
    said = run(rainkit, "methods", "--json", name="methods", last=0)
    if f'"{method}"' in said:
        raise FailedError(f"{method} is still listed after its package was removed")
    run(rainkit, "infer", "photo.png", "-m", method, name="infer with it", code=2)
    run(*install, _wheel(ADDED, dist), name="add a method")
    run(rainkit, "infer", "pairs/input", "-m", method, "-o", "again", name="infer with it")

    run(rainkit, "plugin", "new", NEW, name="plugin new")
    test = f"./rainkit-{NEW}[test]"
    # The new plugin's build must not fetch anything where packages are borrowed.
    run(*install, *(["--no-build-isolation"] if borrowing else []), test, name="install it")
    run(rainkit, "plugin", "check", NEW, name="plugin check", last=40)
    run(*pip, "check", name="pip check")


def _wheel(name: str, dist: Path) -> Path:
    """Return the wheel of a distribution."""
    (found,) = dist.glob(f"{name.replace('-', '_')}-[0-9]*.whl")
    return found


def _all_methods() -> set[str]:
    """Return the plugins that the extra ``all`` brings."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {line.partition(">")[0] for line in about["optional-dependencies"]["all"]}


def main() -> int:
    """Run the check; returns 1 if something is not as it should be."""
    parser = argparse.ArgumentParser(description="Build, install and use all packages.")
    parser.add_argument("-o", "--output", type=Path, help="a new folder that is kept")
    parser.add_argument("--borrow", action="store_true", help="take this interpreter's packages")
    parser.add_argument("--transcript", type=Path, help="file for a copy of what is printed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rainkit-packages-") as temporary:
        folder = (given.output or Path(temporary) / "work").resolve()
        folder.mkdir(parents=True)
        transcript = Transcript(folder)
        try:
            go(folder, borrowing=given.borrow, transcript=transcript)
        except FailedError as error:
            transcript.say(f"\nFAILED: {error}")
            return 1
        finally:
            transcript.say("\n# times")
            for name, seconds in transcript.times:
                transcript.say(f"  {seconds:8.1f} s  {name}")
            if given.transcript:
                text = "\n".join((*transcript.lines, "")).replace(str(folder), "WORK")
                given.transcript.write_text(text.replace(str(ROOT), "REPOSITORY"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
