"""What must not drift: the direction of imports, light commands, ``__all__``."""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rainkit.choices import Protocol

ROOT = Path(__file__).parents[1]
CORE = ROOT / "rainkit"
PLUGINS = sorted((ROOT / "plugins").glob("rainkit-*/rainkit_*"))
MODULES = sorted(CORE.rglob("*.py"))
HEAVY = {"torch", "torchvision", "numpy", "cv2", "PIL", "timm", "albumentations"}

LEVELS = (
    {"cli", "testing", "doctor", "__main__"},
    {"training", "inference", "evaluation", "benchmarking", "synthesis", "serving", "plugin_kit"},
    {"datasets", "weights", "backends", "render", "published", "overview", "gains"},
    {"networks", "precision", "rain", "depth", "images"},
    {"config", "plugins", "hyperparameters", "engine", "ledger", "files", "environment"},
    {"objective", "losses", "api", "choices", "runtime_options", "errors"},
)
"""From the top down: a room imports from its own level or from below."""


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    return [*module.split("."), "", ""][1]


def _level(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(nodes: Iterator[ast.AST] | list[ast.stmt]) -> set[str]:
    """Dotted names of what is imported; ``from rainkit import x`` counts as ``rainkit.x``."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "rainkit" else {str(node.module)}
    return found


@cache
def _all_imports(path: Path) -> set[str]:
    """What a file imports anywhere."""
    return _imports(ast.walk(_tree(path)))


def test_every_room_has_a_level() -> None:
    rooms = {_room(_name(path)) for path in MODULES} - {""}
    assert rooms <= set().union(*LEVELS)


def test_imports_point_down() -> None:
    wrong = []
    for path in MODULES:
        room = _room(_name(path))
        for target in _all_imports(path):
            aimed = _room(target)
            # The root gives __version__ to everyone and loads the public API lazily.
            if not target.startswith("rainkit.") or not room or aimed == "__version__":
                continue
            if _level(aimed) < _level(room):
                wrong.append(f"{_name(path)} imports {target}")
    assert not wrong


def test_rooms_of_one_level_do_not_import_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        room = _room(_name(path))
        aimed = {_room(t) for t in _all_imports(path) if t.startswith("rainkit.")}
        graph.setdefault(room, set()).update(aimed - {room, "__version__"})
    del graph[""]
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_plugin_describes_itself_with_the_contract_alone(package: Path) -> None:
    outside = _imports(_tree(package / "__init__.py").body) - set(sys.stdlib_module_names)
    outside = {name for name in outside if name.split(".")[0] not in sys.stdlib_module_names}
    own = {package.name, f"{package.name}.card", f"{package.name}.settings"}
    assert outside <= {"rainkit.api"} | own
    for name in ("card", "settings"):
        if (path := package / f"{name}.py").exists():
            outside = _imports(_tree(path).body) - set(sys.stdlib_module_names)
            assert outside == {"rainkit.api"}


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_plugin_sees_of_the_core_only_the_contract(package: Path) -> None:
    for path in package.rglob("*.py"):
        used = {n for n in _all_imports(path) if n.split(".")[0] == "rainkit"}
        contract = {f"rainkit.{room}" for room in ("api", "objective", "losses")}
        assert used <= contract, path


def test_the_core_names_no_method() -> None:
    names = {package.name.removeprefix("rainkit_") for package in PLUGINS}
    names |= {name.replace("_", "-") for name in names}
    names -= set(Protocol)  # one is that of a method's authors, under the method's name
    for path in MODULES:
        tree = _tree(path)
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        # Docstrings may give examples.
        constants = [
            n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in prose
        ]
        texts = [constant.value for constant in constants if isinstance(constant.value, str)]
        named = [text for text in texts if any(name in text for name in names)]
        assert not named, path


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_all_is_explicit_and_true(path: Path) -> None:
    if len(_tree(path).body) <= 1:  # nothing but a docstring
        return
    module = importlib.import_module(_name(path))
    exported = getattr(module, "__all__", None)
    assert exported is not None, "no __all__"
    assert len(set(exported)) == len(exported)
    assert not [name for name in exported if not hasattr(module, name)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = {node.name for node in _tree(path).body if isinstance(node, kinds)}
    forgotten = {name for name in defined if not name.startswith("_")} - set(exported)
    assert not forgotten, "public by name, absent from __all__"


LIGHT = [path for path in MODULES if _room(_name(path)) in {"cli", "choices", "runtime_options"}]


@pytest.mark.parametrize("path", LIGHT, ids=_name)
def test_the_command_line_imports_nothing_heavy_at_its_top(path: Path) -> None:
    imported = {name.split(".")[0] for name in _imports(_tree(path).body)}
    assert not imported & HEAVY


def _loaded(modules: str) -> set[str]:
    script = f"import sys, {modules}; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_light_modules_load_nothing_heavy() -> None:
    assert not _loaded("rainkit, rainkit.choices, rainkit.runtime_options, rainkit.cli") & HEAVY


def test_what_checks_a_request_does_not_load_torch() -> None:
    assert "torch" not in _loaded("rainkit.inference, rainkit.benchmarking, rainkit.weights.store")


def test_light_commands_load_nothing_heavy(fresh) -> None:
    commands = (["--help"], ["--version"], ["methods"])
    for arguments, ended in zip(commands, fresh(*commands), strict=True):
        assert ended.code == 0, ended.said
        assert "rainkit.cli" in ended.modules
        assert not ended.modules & HEAVY, arguments


def test_the_module_starts_as_light_as_its_command_line() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "rainkit", "methods"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "rainkit.cli" in imported
    assert not imported & HEAVY
