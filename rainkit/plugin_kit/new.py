"""Writing a new plugin: a complete distribution that passes the conformance kit as it is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template

from packaging.version import Version

from rainkit import __version__, plugins
from rainkit.api import API
from rainkit.errors import UsageError
from rainkit.files import write_text

__all__ = ["create"]

_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "init.py": "{package}/__init__.py",
    "card.py": "{package}/card.py",
    "network.py": "{package}/network.py",
    "objective.py": "{package}/objective.py",
    "py.typed": "{package}/py.typed",
    "test_contract.py": "tests/test_contract.py",
    "tests.yml": ".github/workflows/tests.yml",
}
"""Templates, and the files that they become."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


_RESERVED = frozenset({"all", "auto"})
"""What ``--method`` takes besides names of methods."""

_IMPORTED = frozenset(
    {"Derained", "Hyperparameters", "Loss", "Method", "Module", "Objective", "Pair", "Tensor"}
)
"""Classes that the templates import."""


def create(method: str, folder: Path | None = None) -> list[Path]:
    """Write a plugin for a new method, whose three convolutions are there to be replaced.

    Args:
        method: name of the method: lower case, digits and hyphens.
        folder: the project's folder; None for ``rainkit-METHOD`` in the working directory. It may
            exist, but must be empty.

    Returns:
        The files that were written.

    Raises:
        UsageError: the name cannot be that of a method, or the folder holds something.
        FileError: the system refuses to write.
    """
    if not _NAME.fullmatch(method):
        raise UsageError(
            f"{method!r} cannot be the name of a method: use lower case, digits and hyphens, and "
            "begin with a letter, as in my-method"
        )
    if method in _RESERVED:
        raise UsageError(
            f"{method!r} cannot be the name of a method: --method {method} means another thing"
        )
    if any(each.name == method for each in plugins.installed()):
        raise UsageError(
            f"{method!r} is the name of a method that is installed, which the new one would hide: "
            "choose another"
        )
    distribution = f"rainkit-{method}"
    project = folder or Path(distribution)
    if project.exists() and (not project.is_dir() or any(project.iterdir())):
        raise UsageError(f"{project} is there already and holds something: name another folder")
    package = distribution.replace("-", "_")
    words = [word.capitalize() for word in method.split("-")]
    class_name = "".join(words)
    if class_name in _IMPORTED:
        class_name += "Network"
    version = Version(__version__)
    values = {
        "method": method,
        "distribution": distribution,
        "package": package,
        "title": " ".join(words),
        "class_name": class_name,
        "api": API,
        "year": datetime.now(UTC).year,
        "series": f"{version.major}.{version.minor}",
        "next_series": f"{version.major}.{version.minor + 1}",
    }
    written = []
    for template, place in _FILES.items():
        source = resources.files(__package__) / "templates" / f"{template}.tmpl"
        text = Template(source.read_text(encoding="utf-8")).substitute(values)
        path = project / place.format(package=package)
        write_text(path, text, overwrite=False)
        written.append(path)
    return written
