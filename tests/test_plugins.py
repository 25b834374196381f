"""Discovery with real wheels: a broken plugin spoils nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rainkit
from rainkit import images, networks, plugins, weights
from rainkit.api import Method
from rainkit.errors import MethodError, UsageError

SERVED = "this rainkit serves contract 2"


def test_the_list_has_a_row_for_each_plugin_and_imports_none(plugin_folder) -> None:
    script = """
import json, sys
from dataclasses import asdict
from rainkit import plugins
rows = [asdict(row) for row in plugins.installed()]
loaded = [name for name in sys.modules if name.startswith("rainkit_")]
print(json.dumps([rows, loaded]))
"""
    done = plugin_folder.python("-c", script)
    assert done.returncode == 0, done.stderr
    rows, loaded = json.loads(done.stdout)
    assert loaded == []
    found = {row["distribution"]: row for row in rows}
    assert found["rainkit-tiny"] == {
        "name": "tiny",
        "distribution": "rainkit-tiny",
        "version": "1.0",
        "summary": "rainkit-tiny for tests",
        "problem": None,
    }
    assert found["rainkit-broken"]["problem"] is None  # metadata cannot tell
    future = found["rainkit-future"]["problem"]
    assert ">=99" in future
    assert rainkit.__version__ in future
    for twin in ("rainkit-twin-a", "rainkit-twin-b"):
        assert found[twin]["name"] == "twin"
        assert "rainkit-twin-a:twin or rainkit-twin-b:twin" in found[twin]["problem"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("broken", 1, "rainkit_module_that_does_not_exist"),
        ("future", 1, "needs rainkit >=99"),
        ("twin", 2, "rainkit-twin-a and rainkit-twin-b"),
        ("tinny", 2, "did you mean tiny?"),
        ("drizzle", 2, "the packages that bring methods"),
    ],
)
def test_a_method_that_cannot_be_used_is_one_clear_line(plugin_folder, name, code, said) -> None:
    done = plugin_folder.run("methods", "show", name)
    assert done.returncode == code
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, "more than one line"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("methods",),
        ("methods", "--json"),
        ("methods", "show", "tiny"),
        ("methods", "show", "rainkit-twin-b:twin"),
        ("infer", "--help"),
        ("train", "--help"),
        ("eval", "--help"),
        ("synth", "--help"),
        ("bench", "--help"),
    ],
)
def test_broken_plugins_spoil_no_other_command(plugin_folder, arguments) -> None:
    done = plugin_folder.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_rainkit_methods_limits_what_is_seen_and_loaded(plugin_folder) -> None:
    done = plugin_folder.run("methods", "--json", RAINKIT_METHODS="tiny,rainkit-twin-a:twin")
    rows = json.loads(done.stdout)
    assert [(row["distribution"], row["problem"]) for row in rows] == [
        ("rainkit-tiny", None),
        ("rainkit-twin-a", None),
    ]
    left_out = plugin_folder.run("methods", "show", "broken", RAINKIT_METHODS="tiny")
    assert left_out.returncode == 2
    assert "RAINKIT_METHODS=tiny" in left_out.stderr


@pytest.mark.parametrize(
    ("chosen", "said"),
    [("nobody", "RAINKIT_METHODS=nobody hides all"), ("future", "rainkit doctor says why")],
)
def test_a_user_without_a_method_is_told_why(plugin_folder, chosen: str, said: str) -> None:
    done = plugin_folder.run("infer", "rainy.png", RAINKIT_METHODS=chosen)
    assert done.returncode == 2
    assert said in done.stderr
    assert "pip install" not in done.stderr


def test_strict_raises_what_the_plugin_raised(plugin_folder) -> None:
    done = plugin_folder.python("-m", "rainkit", "methods", "show", "broken", RAINKIT_STRICT="1")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("api=2", "api=3", f"contract 3 and {SERVED}: upgrade rainkit"),
        (
            "api=2",
            "api=1",
            f"contract 1 and {SERVED}: upgrade the plugin rainkit-odd",
        ),
        ("api=2", "hyperparameters=Network, api=1", f"{SERVED}, and the plugin may be written"),
        ("import Hyperparameters,", "import measured, Hyperparameters,", f"{SERVED}, and"),
        ('name="{method}"', 'name="other"', "calls itself 'other'"),
        ('"default"', '"standard"', "no variant 'default'"),
        ('"default": TINY', '"default": 3', "'default' that is not a rainkit.api.Hyperparameters"),
        ("METHOD = Method(", "METHOD = dict(", "gives a dict"),
        ("METHOD = Method(", "raise SystemExit(3)\nMETHOD = Method(", "SystemExit: 3"),
    ],
)
def test_a_wrong_spec_is_refused_with_its_remedy(
    odd_plugin: Callable, old: str, new: str, said: str
) -> None:
    done = odd_plugin(old, new).run("methods", "show", "odd")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "rainkit-odd 1.0" in done.stderr


def test_the_contract_is_not_blamed_for_another_faulty_import(odd_plugin: Callable) -> None:
    folder = odd_plugin("METHOD = Method(", "from json import absent\nMETHOD = Method(")
    done = folder.run("methods", "show", "odd")
    assert "reinstall or uninstall the package" in done.stderr
    assert "serves contract" not in done.stderr


def test_a_qualified_name_finds_the_method(tiny_method) -> None:
    assert plugins.get("rainkit-tiny:tiny") is tiny_method
    assert plugins.get("tiny") is tiny_method
    with pytest.raises(UsageError, match="did you mean tiny"):
        plugins.get("rainkit-other:tiny")


@pytest.mark.parametrize("name", ["tinny", "TINY", "tin", "iny"])
def test_the_nearest_name_is_suggested(tiny_method, name: str) -> None:
    with pytest.raises(UsageError, match="did you mean tiny"):
        plugins.get(name)


@pytest.mark.parametrize("name", ["drizzle", "no such thing", "x; rm -rf /", ""])
def test_no_package_of_a_mistyped_name_is_advised(tiny_method, name: str) -> None:
    """Anyone may have published a package of that name."""
    with pytest.raises(UsageError) as caught:
        plugins.get(name)
    assert "pip install" not in str(caught.value)
    assert f"rainkit-{name}" not in str(caught.value)


def test_resolve_gives_the_object_or_one_line() -> None:
    assert plugins.resolve("rainkit.plugins:Installed.qualified") is plugins.Installed.qualified
    for target in ("rainkit.plugins", ":x", "rainkit.plugins:", ""):
        with pytest.raises(MethodError, match="is not 'module:Class'"):
            plugins.resolve(target)
    with pytest.raises(MethodError, match="ModuleNotFoundError"):
        plugins.resolve("rainkit.nowhere:x")
    with pytest.raises(MethodError, match="AttributeError"):
        plugins.resolve("rainkit.plugins:nothing")


def test_infer_names_a_plugin_that_forgets_derained_in_one_line(
    odd_plugin: Callable, tiny_method: Method, tmp_path: Path
) -> None:
    folder = odd_plugin("api=2", "api=2")
    network = folder.path / "rainkit_odd" / "network.py"
    text = network.read_text()
    forgetful = text.replace("return Derained(", "return (").replace(", {})", ")")
    assert forgetful != text
    network.write_text(forgetful)
    state = networks.build(tiny_method, tiny_method.default.network).state_dict()
    own = {"method": replace(tiny_method, name="odd"), "network": tiny_method.default.network}
    weights.save(tmp_path / "odd.safetensors", state, variant="default", **own)
    images.write(tmp_path / "rainy.png", images.Picture(np.full((12, 16, 3), 90, np.uint8)))
    options = ("--weights", str(tmp_path / "odd.safetensors"), "--device", "cpu")
    done = folder.run("infer", str(tmp_path / "rainy.png"), "-m", "odd", *options)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "rainkit_odd.network.Net returns a Tensor: end forward with return Derained(" in said
