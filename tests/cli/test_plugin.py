"""``rainkit plugin``: a new plugin passes the kit, which says what a broken one must change."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, rainkit: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new plugin, laid out as pip leaves it, on the path."""
    folder = tmp_path / "project"
    code, _, err = rainkit("plugin", "new", "thin-drizzle", "-o", folder)
    assert code == 0, err
    about = folder / "rainkit_thin_drizzle-0.1.0.dist-info"
    about.mkdir()
    named = "Metadata-Version: 2.1\nName: rainkit-thin-drizzle\nVersion: 0.1.0\n"
    (about / "METADATA").write_text(named)
    point = "[rainkit.methods]\nthin-drizzle = rainkit_thin_drizzle:METHOD\n"
    (about / "entry_points.txt").write_text(point)
    monkeypatch.syspath_prepend(str(folder))
    others = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), others))))
    yield folder
    for name in [name for name in sys.modules if name.startswith("rainkit_thin_drizzle")]:
        del sys.modules[name]


def test_a_new_plugin_keeps_every_promise(project: Path, rainkit: Run):
    code, out, err = rainkit("plugin", "check", "thin-drizzle")
    assert code == 0, out + err
    assert "receptive radius is true" in out
    assert "0 broken" in out


def test_the_kit_says_what_to_change(project: Path, rainkit: Run):
    module = project / "rainkit_thin_drizzle" / "__init__.py"
    module.write_text(module.read_text().replace("receptive_radius=3", "receptive_radius=1"))
    code, out, _ = rainkit("plugin", "check", "thin-drizzle", "--json")
    broken = [each for each in json.loads(out)["results"] if each["state"] == "broken"]
    assert code == 1
    assert {each["promise"] for each in broken} == {
        "receptive radius is true",
        "exact tiles equal the whole",
    }
    assert any("3 px" in each["reason"] for each in broken)


@pytest.mark.parametrize("name", ["My-Method", "-x", "a_b", "7up", ""])
def test_names_that_no_method_can_have(name: str, rainkit: Run, tmp_path: Path):
    code, _, err = rainkit("plugin", "new", "-o", tmp_path / "project", "--", name)
    assert code == 2
    assert "lower case, digits and hyphens" in err
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("auto", "means another thing"),
        ("all", "means another thing"),
        ("granet", "is the name of a method that is installed"),
    ],
)
def test_names_that_are_taken(name: str, said: str, rainkit: Run, tmp_path: Path):
    code, _, err = rainkit("plugin", "new", name, "-o", tmp_path / "project")
    assert (code, said in " ".join(err.split())) == (2, True)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("name", ["derained", "pair", "tensor"])
def test_a_name_hides_no_class_of_the_templates(name: str, rainkit: Run, tmp_path: Path):
    assert rainkit("plugin", "new", name, "-o", tmp_path / "project")[0] == 0
    text = (tmp_path / "project" / f"rainkit_{name}" / "network.py").read_text()
    assert f"class {name.capitalize()}Network(nn.Module)" in text


@pytest.mark.parametrize("options", ["--color=yes", "-k names_licence"])
def test_the_kit_heeds_no_options_of_other_tests(
    options: str, project: Path, rainkit: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTEST_ADDOPTS", options)
    code, out, err = rainkit("plugin", "check", "thin-drizzle", "--json")
    assert code == 0, err
    assert len(json.loads(out)["results"]) > 20


def test_a_folder_that_holds_something_is_left_alone(rainkit: Run, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    code, _, err = rainkit("plugin", "new", "drizzle", "-o", tmp_path)
    assert code == 2
    assert "holds something" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_variants_that_do_not_exist_are_refused(rainkit: Run):
    code, _, err = rainkit("plugin", "check", "graspp-gan", "--large", "huge")
    assert code == 2
    assert "no variant huge" in err
