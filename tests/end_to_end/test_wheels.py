"""The wheels that users install are complete and hold nothing else."""

from __future__ import annotations

from collections.abc import Callable
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

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


def test_wheel_of_a_method_holds_its_weights(wheel):
    _, opened, package = wheel
    for row in installed():
        if row.distribution.replace("-", "_") != package:
            continue
        for declared in plugins.get(row.qualified).weights:
            if declared.file is not None:
                assert f"{package}/{declared.file}" in opened.namelist()
