"""Real wheels of tiny plugins, and the command line run beside them."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
import typer.main
import typer.testing

if TYPE_CHECKING:
    from rainkit.api import Method

# A shell starts background jobs with Ctrl-C ignored, and the commands under test would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


NOBODY = {"RAINKIT_CACHE": os.devnull, "RAINKIT_CONFIG": os.devnull}
"""Neither a cache nor a settings file."""

# What is imported is there until the end: looking for garbage in it takes time and finds none.
gc.disable()


def pytest_configure() -> None:
    """Make the consoles while COLUMNS is unset, since rich keeps the width that it finds then.

    The command line is made once, too, instead of anew (0.1 s) for each of hundreds of calls.
    """
    # Neither what was measured on this machine nor its user may choose what the tests run.
    os.environ |= NOBODY
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        importlib.import_module("rainkit.cli.console")
    typer.main.get_command = typer.testing._get_command = cache(typer.main.get_command)


def pytest_collection_finish() -> None:
    """Look for garbage from now on."""
    gc.freeze()
    gc.enable()


PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "{version}"
description = "{summary}"
dependencies = ["{requires}"]

[project.entry-points."rainkit.methods"]
{method} = "{package}:METHOD"

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

SPEC = """
from dataclasses import dataclass
from rainkit.api import Hyperparameters, ImageSpec, Method, Paper, Training, option, replace

@dataclass(frozen=True, kw_only=True)
class Network:
    width: int = option(4, "channels [of both layers]", ge=1, le=64)

@dataclass(frozen=True, kw_only=True)
class Objective:
    norm: int = option(1, "exponent of the error", ge=1, le=2)

TINY = Hyperparameters(network=Network(), objective=Objective(), training=Training(lr=1e-2))

METHOD = Method(
    api=2, name="{method}", title="Tiny", summary="two small convolutions", licence="MIT",
    paper=Paper(authors=("A. Author",), title="Tiny nets", venue="Nowhere", year=2020),
    variants={{"default": TINY, "paper": replace(TINY, network={{"width": 8}})}},
    network="{package}.network:Net", objective="{package}.objective:Error",
    image=lambda network: ImageSpec(min_size=3, receptive_radius=2, tiling="exact", half=("bf16",)),
)
"""

NETWORK = """
from torch import nn
from rainkit.objective import Derained

class Net(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.first = nn.Conv2d(3, settings.width, 3, padding=1, padding_mode="reflect")
        self.last = nn.Conv2d(settings.width, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, rainy):
        return Derained(rainy + self.last(self.first(rainy).relu()), {})
"""

OBJECTIVE = """
from rainkit.objective import Loss, Objective, Pair

class Error(Objective[Pair]):
    def __init__(self, settings):
        super().__init__()
        self.norm = settings.norm

    def loss(self, outputs, batch, progress):
        return {"error": Loss((outputs.image - batch.clean).abs().pow(self.norm).mean())}
"""


@dataclass(frozen=True)
class PluginFolder:
    """A folder of installed plugins that is put in front of the path."""

    path: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``rainkit`` in this process, with these plugins beside those of the environment."""
        out, err, known = io.StringIO(), io.StringIO(), set(sys.modules)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in set(os.environ) - set(_inherited()):
                patch.delenv(name)
            for name, value in (PLAIN | environment).items():
                patch.setenv(name, value)
            patch.syspath_prepend(str(self.path))
            code = _run_main(patch, *arguments)
        for name in set(sys.modules) - known:  # another folder may have a module of that name
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(self.path)):
                del sys.modules[name]
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A Python of its own with these plugins on its path."""
        path = os.pathsep.join(filter(None, (str(self.path), os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            [sys.executable, *arguments],
            env=_inherited() | PLAIN | {"PYTHONPATH": path} | environment,
            capture_output=True,
            text=True,
            check=False,
        )


PLAIN = {"COLUMNS": "200", "NO_COLOR": "1"} | NOBODY


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RAINKIT_")}


def _run_main(patch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of the command line, run in this process."""
    from rainkit.cli import main

    patch.setattr(sys, "argv", ["rainkit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


FRESH = """
import contextlib, io, json, sys
from rainkit.cli import main
for arguments in json.loads(sys.argv[1]):
    said = io.StringIO()
    sys.argv, code = ["rainkit", *arguments], 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    print(json.dumps([code, said.getvalue(), sorted(sys.modules)]))
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, all that it said, and modules imported until then."""

    code: int
    said: str
    modules: set[str]


def _run_fresh(*commands: Sequence[str], cwd: Path | None = None) -> list[Ended]:
    command = [sys.executable, "-c", FRESH, json.dumps(commands)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    return [Ended(code, said, set(modules)) for code, said, modules in ended]


def write_plugin(
    folder: Path,
    distribution: str,
    method: str,
    *,
    version: str = "1.0",
    requires: str = "rainkit>=0.1",
    spec: str = SPEC,
) -> Path:
    """The sources of a plugin; returns its project folder."""
    package = distribution.replace("-", "_")
    project = folder / distribution
    (project / package).mkdir(parents=True)
    names = {"distribution": distribution, "method": method, "package": package}
    about = {"version": version, "requires": requires, "summary": f"{distribution} for tests"}
    (project / "pyproject.toml").write_text(PYPROJECT.format(**names, **about))
    (project / package / "__init__.py").write_text(spec.format(**names))
    (project / package / "network.py").write_text(NETWORK)
    (project / package / "objective.py").write_text(OBJECTIVE)
    return project


def _build(project: Path, folder: Path) -> Path:
    """Build the wheel of a project into a folder, as tools that install packages have it built."""
    from hatchling.build import build_wheel

    folder.mkdir(parents=True, exist_ok=True)
    with chdir(project), redirect_stdout(io.StringIO()):
        return folder / build_wheel(str(folder))


@pytest.fixture(scope="session")
def build() -> Callable[[Path, Path], Path]:
    """Build the wheel of a project into a folder; returns the wheel."""
    return _build


@pytest.fixture
def fresh() -> Callable[..., list[Ended]]:
    """Run command lines one after another in one process that had nothing imported."""
    return _run_fresh


class _Reports:
    """Outcomes of the tests that pytest runs, and why it skips some of them."""

    def __init__(self) -> None:
        self.code: int = pytest.ExitCode.OK
        self.outcomes: dict[str, str] = {}
        self.reasons: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.when == "call" or not report.passed:
            self.outcomes[name] = report.outcome
        if report.skipped:
            self.reasons.append(str(report.longrepr))


@pytest.fixture
def nested(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Path], _Reports]:
    """Run the tests in a folder by a pytest in this process, with another folder on the path."""

    def run(tests: Path, folder: Path) -> _Reports:
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        alone = ("-c", os.devnull, "--rootdir", str(tests), "--import-mode", "importlib")
        plain = ("-p", "no:cacheprovider", "-s", "-q", "-W", "error")
        reports = _Reports()
        reports.code = pytest.main([*alone, *plain, str(tests)], plugins=[reports])
        return reports

    return run


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> PluginFolder:
    """One good plugin, one that raises at import, one for a newer rainkit, two with one name."""
    root = tmp_path_factory.mktemp("plugins")
    raises = "import rainkit_module_that_does_not_exist\n"
    projects = [
        write_plugin(root, "rainkit-tiny", "tiny"),
        write_plugin(root, "rainkit-broken", "broken", spec=raises),
        write_plugin(root, "rainkit-future", "future", requires="rainkit>=99"),
        write_plugin(root, "rainkit-twin-a", "twin"),
        write_plugin(root, "rainkit-twin-b", "twin", version="2.0"),
    ]
    for project in projects:
        with ZipFile(_build(project, root / "wheels")) as wheel:
            wheel.extractall(root / "site")
    return PluginFolder(root / "site")


@pytest.fixture(scope="session")
def tiny_method(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Method]:
    """The METHOD of a tiny plugin that is installed in this process under the name ``tiny``."""
    from rainkit import plugins

    project = write_plugin(tmp_path_factory.mktemp("tiny"), "rainkit-tiny", "tiny")
    lay_out(project, "rainkit-tiny", "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(project))
        yield plugins.get("tiny")


def lay_out(project: Path, distribution: str, method: str) -> None:
    """Give a plugin's sources the metadata that pip would, so that their folder can be a path."""
    package = distribution.replace("-", "_")
    about = project / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    points = f"[rainkit.methods]\n{method} = {package}:METHOD\n"
    (about / "entry_points.txt").write_text(points)


@pytest.fixture
def odd_plugin(tmp_path: Path) -> Callable[..., PluginFolder]:
    """A plugin ``odd`` whose spec has ``old`` replaced by ``new``, laid out as pip leaves it."""

    def make(old: str, new: str, imports: str = "") -> PluginFolder:
        assert old in SPEC
        spec = f"{imports}\n{SPEC.replace(old, new)}"
        project = write_plugin(tmp_path, "rainkit-odd", "odd", spec=spec)
        lay_out(project, "rainkit-odd", "odd")
        return PluginFolder(project)

    return make


@pytest.fixture(scope="session")
def tiny_weights(tiny_method: Method, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network of the tiny method, saved the way trained weights are."""
    import torch

    from rainkit import networks, weights

    settings = tiny_method.default.network
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = networks.build(tiny_method, settings).state_dict()
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    weights.save(path, state, method=tiny_method, variant="default", network=settings)
    return path


@pytest.fixture(scope="session")
def anytime_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random network of the resguidenet plugin: three blocks and a merge."""
    import torch
    from rainkit_resguidenet import METHOD

    from rainkit import networks, weights

    settings = replace(METHOD.default.network, blocks=3, width=4, recursion=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = networks.build(METHOD, settings).state_dict()
        torch.nn.init.normal_(state["merge.weight"], std=0.3)  # a fresh one is the last block
    path = tmp_path_factory.mktemp("weights") / "anytime.safetensors"
    weights.save(path, state, method=METHOD, variant="default", network=settings)
    return path


@pytest.fixture
def rainkit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "140")

    def run(*arguments: object) -> tuple[int, str, str]:
        return _run_main(monkeypatch, *arguments), *capsys.readouterr()

    return run


@pytest.fixture
def without_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw plots without arranging what is in them, which takes half of the time."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "set_layout_engine", lambda self, *_, **__: None)


@pytest.fixture(scope="session")
def check() -> Iterator[ModuleType]:
    """The script that checks pages in Chromium, as a module: examples/checks/eval_page.py."""
    path = Path(__file__).parents[1] / "examples" / "checks" / "eval_page.py"
    spec = importlib.util.spec_from_file_location("checks_of_pages", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]
