"""Count the modules and functions of rainkit that a command passes through.

    $ python examples/checks/hops.py synth photos -o out
    $ python examples/checks/hops.py --list eval restored/ clean/
    $ python examples/checks/hops.py --map

Runs ``rainkit`` with the arguments given, with a profiler in all of its processes, and counts the
distinct functions of rainkit that are entered and the distinct modules that they are of. What runs
while a module is imported does not count. A comprehension, a lambda and a function defined in
another count as the outermost function around them; a further line counts them apart, and the
modules that are loaded at all. Plugins do not count. The command really runs, but slower.

``--map`` runs nothing: it counts the modules, their lines, and by how many others each is imported.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

FOUND, PACKAGE = "RAINKIT_HOPS_FOUND", "RAINKIT_HOPS_PACKAGE"
"""Environment of the processes that are watched: file to write to, folder of rainkit."""


def main() -> int:
    if sys.argv[1:2] == ["--map"]:
        show_map(package())
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--map", action="store_true", help="count modules and their importers")
    parser.add_argument("--list", action="store_true", help="name all functions, by module")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="arguments of rainkit")
    given = parser.parse_args()
    if not given.command:
        parser.error("give a command, such as: synth photos -o out")
    code, entered = passed(given.command)
    later = {each for each in entered if each.function and not each.importing}
    outermost = {(each.module, each.name.split(".<locals>")[0]) for each in later}
    modules = Counter(module for module, _ in outermost)
    if given.list:
        for module in sorted(modules):
            names = sorted(name for each, name in outermost if each == module)
            print(f"{module}: {', '.join(names)}")
    rooms = Counter(module.split(".")[1] for module in modules if "." in module)
    told = ", ".join(f"{room} {count}" for room, count in sorted(rooms.items()))
    print(f"rainkit {' '.join(given.command)}: {len(modules)} modules, {len(outermost)} functions")
    print(f"  by room: {told}")
    inner = {(each.module, each.name, each.line) for each in later}
    loaded = {each.module for each in entered}
    print(f"  {len(inner)} with those in other functions apart; {len(loaded)} modules loaded")
    return code


def package() -> Path:
    """The folder of the rainkit that would be imported."""
    found = importlib.util.find_spec("rainkit")
    if found is None or found.origin is None:
        sys.exit("rainkit is not installed")
    return Path(found.origin).resolve().parent


# A command


@dataclass(frozen=True)
class Entered:
    """A piece of rainkit's code that ran.

    Attributes:
        module: its dotted name.
        name: the qualified name, with ``<locals>`` after each function around it.
        line: where it starts.
        function: whether it is one; else the body of a module or a class.
        importing: whether it ran while a module was imported.
    """

    module: str
    name: str
    line: int
    function: bool
    importing: bool


def passed(arguments: Sequence[str]) -> tuple[int, set[Entered]]:
    """The exit code of a command, and what it entered."""
    root = package()
    with tempfile.TemporaryDirectory(prefix="hops-") as folder:
        found = Path(folder) / "found"
        found.touch()
        # Every Python process, worker processes included, imports this by itself when it starts.
        start = f"import sys\nsys.path.insert(0, {str(Path(__file__).resolve().parent)!r})\n"
        start += "import hops\nsys.path.pop(0)\nhops.watch()\n"
        (Path(folder) / "sitecustomize.py").write_text(start, encoding="utf-8")
        paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        watched = {FOUND: str(found), PACKAGE: str(root), "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            [sys.executable, "-m", "rainkit", *arguments], env=os.environ | watched, check=False
        )
        lines = set(found.read_text(encoding="utf-8").splitlines())
    entered = set()
    for line in lines:
        path, name, start, function, importing = line.split("\t")
        module = name_of(Path(path), root)
        entered.add(Entered(module, name, int(start), function == "True", importing == "True"))
    return done.returncode, entered


def watch() -> None:
    """Write down, from now on, what of rainkit this process enters."""
    prefix = os.environ[PACKAGE] + os.sep
    # Short lines that are appended whole: processes share the file, and may be killed.
    out = os.open(os.environ[FOUND], os.O_WRONLY | os.O_APPEND)
    local = threading.local()
    seen: set[tuple[CodeType, bool]] = set()

    def entered(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        depth = getattr(local, "depth", 0)
        if event == "call":
            if code.co_name == "<module>":
                # The command's own module is not imported, though it is run like one.
                depth += frame.f_globals.get("__name__") != "__main__"
                local.depth = depth
            if code.co_filename.startswith(prefix) and (code, depth > 0) not in seen:
                seen.add((code, depth > 0))
                function = bool(code.co_flags & CO_OPTIMIZED)
                parts = (code.co_filename, code.co_qualname, code.co_firstlineno, function)
                os.write(out, "\t".join(map(str, (*parts, depth > 0))).encode() + b"\n")
        elif event == "return" and code.co_name == "<module>":
            local.depth = depth - (frame.f_globals.get("__name__") != "__main__")

    threading.setprofile(entered)
    sys.setprofile(entered)


# The map


def show_map(root: Path) -> None:
    """Print how many modules there are, how large they are, and who imports them."""
    paths = {name_of(path, root): path for path in sorted(root.rglob("*.py"))}
    lines = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in paths.items()
    }
    importers: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for target in imported(path, name, paths):
            if target != name:
                importers[target].add(name)
    largest = max(lines, key=lambda name: lines[name])
    single = sorted(name for name in paths if len(importers[name]) == 1)
    print(f"modules: {len(paths)}, {sum(lines.values())} lines")
    print(f"median: {statistics.median(lines.values()):g} lines")
    print(f"largest: {lines[largest]} lines, {largest}")
    print(f"over 400 lines: {sum(count > 400 for count in lines.values())}")
    inner = [name for name in single if name.rpartition(".")[0] in importers[name]]
    outer = [name for name in single if name not in inner and paths[name].name != "__init__.py"]
    print(f"with exactly one importer: {len(single)}; without packages and those that only their")
    print(f"own package imports: {len(outer)}, marked *")
    for name in single:
        mark = "*" if name in outer else " "
        print(f" {mark} {name} ({lines[name]}), by {', '.join(importers[name])}")
    base = Counter(path.name for path in paths.values() if path.name != "__init__.py")
    shared = sorted((name for name in base if base[name] > 1), key=lambda name: (-base[name], name))
    print(f"names of several modules: {', '.join(f'{n} {base[n]}' for n in shared) or 'none'}")


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, name: str, known: dict[str, Path]) -> set[str]:
    """The modules of ``known`` that a file names in its imports, wherever they stand."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ""
            if node.level:
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                parts = package.split(".")
                start = ".".join(parts[: len(parts) - node.level + 1])
            module = ".".join(filter(None, (start, node.module)))
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                found.add(inner if inner in known else module)
    return found & known.keys()


if __name__ == "__main__":
    sys.exit(main())
