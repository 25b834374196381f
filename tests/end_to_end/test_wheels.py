"""The packages that users install are complete and hold nothing else."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import rainkit
from rainkit import plugins
from rainkit.plugins import installed

ROOT = Path(__file__).parent.parent.parent
PROJECTS = (ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")))


@pytest.fixture(scope="module", params=PROJECTS, ids=lambda project: project.name)
def wheel(
    request: pytest.FixtureRequest,
    build: Callable[[Path, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
):
    """The project, its wheel opened, and the name of its import package."""
    path = build(request.param, tmp_path_factory.mktemp("wheel"))
    with ZipFile(path) as opened:
        yield request.param, opened, path.name.partition("-")[0]


def test_wheel_holds_every_file_of_the_package(wheel):
    project, opened, package = wheel
    there = {
        path.relative_to(project).as_posix()
        for path in (project / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert held == there
    assert f"{package}/py.typed" in held
    if package == "rainkit":
        assert "rainkit/render/templates/side_by_side.html.j2" in held


def test_wheel_has_licence_and_metadata(wheel):
    _, opened, package = wheel
    (licence,) = [name for name in opened.namelist() if name.endswith("licenses/LICENSE")]
    assert b"Apache License" in opened.read(licence)
    (file,) = [name for name in opened.namelist() if name.endswith("/METADATA")]
    about = HeaderParser().parsestr(opened.read(file).decode())
    assert about["Name"].replace("-", "_") == package
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload().startswith(f"# {about['Name']}\n")
    classifiers = about.get_all("Classifier")
    for python in ("3.11", "3.12", "3.13", "3.14"):
        assert f"Programming Language :: Python :: {python}" in classifiers
    for system in ("POSIX :: Linux", "MacOS"):
        assert f"Operating System :: {system}" in classifiers
    assert not [c for c in classifiers if c.startswith("License ::")], "the expression says it"


def test_wheel_of_a_method_holds_its_weights(wheel):
    _, opened, package = wheel
    for row in installed():
        if row.distribution.replace("-", "_") != package:
            continue
        for declared in plugins.get(row.qualified).weights:
            if declared.file is not None:
                assert f"{package}/{declared.file}" in opened.namelist()


def _about(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_packages_fit_one_another():
    """Plugins take this rainkit and no next minor one, and ``rainkit[all]`` takes these plugins."""
    versions = {}
    for project in PROJECTS[1:]:
        about = _about(project)
        versions[about["name"]] = Version(about["version"])
        needed = {each.name: each.specifier for each in map(Requirement, about["dependencies"])}
        assert rainkit.__version__ in needed["rainkit"]
        major, minor, *_ = Version(rainkit.__version__).release
        assert f"{major}.{minor + 1}" not in needed["rainkit"]
    brought = [Requirement(line) for line in _about(ROOT)["optional-dependencies"]["all"]]
    assert all(versions[each.name] in each.specifier for each in brought)
    shipping = {row.distribution for row in installed() if plugins.get(row.qualified).weights}
    assert {each.name for each in brought} == shipping & set(versions)


def test_the_check_of_packages_finds_what_is_missing_or_too_much(
    build: Callable[[Path, Path], Path], tmp_path: Path
):
    """The script that builds, installs and uses everything also says what is wrong."""
    from hatchling.build import build_sdist

    path = ROOT / "examples" / "checks" / "packages.py"
    spec = importlib.util.spec_from_file_location("check_of_packages", path)
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, check)  # dataclasses look it up
        spec.loader.exec_module(check)
    for project in (ROOT, ROOT / "plugins" / "rainkit-resguidenet"):
        build(project, tmp_path)
        with chdir(project), redirect_stdout(io.StringIO()):
            build_sdist(str(tmp_path))
        needed = _tracked(project)
        assert "files" in check.check_contents(project, tmp_path, needed=needed)
    package = "rainkit_resguidenet"
    with pytest.raises(check.FailedError, match=f"misses {package}/more.py"):
        check.check_contents(project, tmp_path, needed=needed | {f"{package}/more.py"})
    with pytest.raises(check.FailedError, match=r"should not hold .*card\.py"):
        check.check_contents(project, tmp_path, needed=needed - {f"{package}/card.py"})


def _tracked(project: Path) -> set[str]:
    """The files of a project, as a checkout has them."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
        return {name for name in listed.stdout.splitlines() if (project / name).exists()}
    files = (path for path in project.rglob("*") if "__pycache__" not in path.parts)
    return {path.relative_to(project).as_posix() for path in files}
