"""``make demo`` in an environment that is there: from bundled photographs to the page."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
import skimage.data

from rainkit import evaluation, images

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    for name in ("VENV", "PYTHON", "DEMO"):
        inherited.pop(name, None)
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],  # noqa: S607
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment whose stamps say that everything is installed; it is this one."""
    venv = tmp_path / "venv"
    script(venv / "bin" / "python", f'exec "{sys.executable}" "$@"')
    for stamp in (".rainkit-demo", ".rainkit-test"):
        (venv / stamp).touch()
    return venv


def load(path: Path) -> ModuleType:
    """A script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_demo_derains_photographs_and_makes_the_page(
    rainkit: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """In this process, which has imported everything, and with photographs of half the size."""
    demo = tmp_path / "my demo"
    script = load(ROOT / "examples" / "demo" / "demo.py")
    for name in script.PHOTOGRAPHS:
        small = cv2.resize(
            getattr(skimage.data, name)(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA
        )
        monkeypatch.setattr(skimage.data, name, lambda small=small: small)

    def run(command: list[str], check: bool) -> SimpleNamespace:
        assert command[:3] == [sys.executable, "-m", "rainkit"]
        return SimpleNamespace(returncode=rainkit(*command[3:])[0])

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr(sys, "argv", ["demo.py", str(demo)])
    assert script.main() == 0
    told = capsys.readouterr().out
    rainy = sorted((demo / "pairs" / "input").iterdir())
    assert len(rainy) == 4
    prenet = evaluation.PROTOCOLS["prenet"]
    gains = []
    for path in rainy:
        before, after, clean = (
            images.read(folder / path.name).rgb.astype(np.uint8)
            for folder in (path.parent, demo / "derained", demo / "pairs" / "target")
        )
        gains.append(prenet.psnr(after, clean) - prenet.psnr(before, clean))
    assert min(gains) > 1, f"gains in dB: {gains}"
    page = demo / "derained" / "report.html"
    assert page.read_text().count("data:image/jpeg;base64,") >= 8
    assert str(page) in told
    assert str(demo / "derained") in told
    # What the README opens with is made out of it.
    picture = tmp_path / "before-after.jpg"
    monkeypatch.setattr(sys, "argv", ["before_after.py", str(demo), str(picture)])
    load(ROOT / "examples" / "before_after.py").main()
    assert images.read(picture).size == (904, 604)


def test_make_runs_the_demo_with_the_environments_python(tmp_path: Path, environment: Path):
    script(environment / "bin" / "python", 'printf "%s\\n" "$@"')
    demo = tmp_path / "my demo"
    done = make("demo", f"VENV={environment}", f"DEMO={demo}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["examples/demo/demo.py", str(demo)]


def test_demo_says_what_it_does_before_it_does_it(tmp_path: Path):
    done = make("-n", "demo", f"VENV={tmp_path / 'none'}", f"DEMO={tmp_path}")
    assert done.returncode == 0, done.stderr
    told = done.stdout.index("make demo: rain on four")
    size = done.stdout.index("6 GB on")
    assert told < size < done.stdout.index("pip install")


def test_an_old_python_is_refused_before_anything_is_made(tmp_path: Path):
    old = script(
        tmp_path / "python3.9", '[ "$1" = --version ] && echo "Python 3.9.18" && exit 0; exit 1'
    )
    done = make("demo", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert f"needs Python 3.11 or newer; {old} is Python 3.9.18" in done.stderr
    assert "PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()
    assert "pip install" not in done.stdout


def test_what_is_not_there_is_told_from_what_is_too_old(tmp_path: Path):
    done = make("demo", "PYTHON=/nowhere/a python", f"VENV={tmp_path / 'venv'}")
    assert "/nowhere/a python: there is no such program" in done.stderr
    (tmp_path / "gone" / "bin").mkdir(parents=True)
    (tmp_path / "gone" / "bin" / "python").symlink_to(tmp_path / "nowhere")
    done = make("demo", f"VENV={tmp_path / 'gone'}")
    assert "was made with a Python that is gone" in done.stderr
    assert "rm -rf" in done.stderr
    done = make("-n", "demo", "VENV=my venv")
    assert "VENV=my venv: make cannot handle names with a space" in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(tmp_path: Path):
    script(tmp_path / "python3", "exit 1")
    script(tmp_path / "python3.12", "exit 0")
    for name in ("python3.14", "python3.13", "python3.11"):
        script(tmp_path / name, "exit 1")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = make("-n", "demo", f"VENV={tmp_path / 'venv'}", PATH=path)
    assert re.search(r"^'python3\.12' -m venv", done.stdout, re.MULTILINE), done.stdout


def test_a_python_without_ensurepip_names_the_package_to_install(tmp_path: Path):
    bare = script(
        tmp_path / "python",
        f'[ "$2" = venv ] && mkdir -p "$3/bin" && exit 1; exec "{sys.executable}" "$@"',
    )
    venv = tmp_path / "venv"
    done = make("demo", f"PYTHON={bare}", f"VENV={venv}")
    assert done.returncode != 0
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt-get install python{version}-venv" in done.stderr
    assert not venv.exists(), "the half-made environment must not be taken for a whole one"


def test_an_environment_without_pip_is_told(tmp_path: Path):
    python = script(
        tmp_path / "venv" / "bin" / "python",
        f'[ "$2" = pip ] && exit 1; exec "{sys.executable}" "$@"',
    )
    done = make("demo", f"VENV={python.parent.parent}")
    assert done.returncode != 0
    assert "has no pip" in done.stderr
    assert "ensurepip" in done.stderr


def test_an_opencv_without_system_libraries_comes_with_the_remedy(tmp_path: Path):
    library = "libGL.so.1: cannot open shared object file: No such file or directory"
    broken = tmp_path / "site" / "cv2.py"
    broken.parent.mkdir()
    broken.write_text(f"raise ImportError({library!r})")
    # What takes long to import is not looked at here.
    (broken.parent / "torch.py").write_text("raise ImportError('not for this test')")
    python = script(
        tmp_path / "venv" / "bin" / "python",
        '[ "$2" = pip ] && exit 0\n'
        f'PYTHONPATH="{broken.parent}" COLUMNS=120 exec "{sys.executable}" "$@"',
    )
    done = make("demo", f"VENV={python.parent.parent}", f"DEMO={tmp_path / 'demo'}")
    assert done.returncode != 0
    assert "apt-get install libgl1" in done.stdout
    assert "OpenCV cannot be imported" in done.stderr
    assert not (python.parent.parent / ".rainkit-demo").exists()
    assert not (tmp_path / "demo").exists()


def test_ci_runs_the_tests_and_asks_nothing(tmp_path: Path):
    script(tmp_path / "make", 'echo "make $*"; pwd; cat')
    done = subprocess.run(
        [ROOT / ".ci" / "run"],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        input="no",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["make test", str(ROOT)]
