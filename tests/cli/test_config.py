"""Settings of the user: where each comes from, which goes first, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rainkit import config
from rainkit.cli.console import Verbosity, verbosity
from rainkit.errors import UsageError

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file that does not exist yet, and no other setting."""
    for key in config.KEYS:
        monkeypatch.delenv(config.variable(key), raising=False)
    path = tmp_path / "user" / "config.toml"
    monkeypatch.setenv("RAINKIT_CONFIG", str(path))
    return path


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    assert config.settings()["device"] == config.Setting(
        key="device", value="auto", origin="default"
    )
    _write(file, 'device = "cuda:1"\n')
    found = config.settings()["device"]
    assert (found.value, found.origin, found.place) == ("cuda:1", "file", str(file))
    monkeypatch.setenv("RAINKIT_DEVICE", "cpu")
    found = config.settings()["device"]
    assert (found.value, found.origin, found.place) == ("cpu", "environment", "RAINKIT_DEVICE")
    assert found.hidden == "cuda:1"
    monkeypatch.setenv("RAINKIT_DEVICE", "")
    assert config.value("device") == "cuda:1"


def test_set_and_unset_leave_the_other_lines_alone(file: Path):
    _write(file, "# mine\nworkers = 2  # few\n")
    assert config.store("device", "cpu") == file
    config.store("workers", "3")
    config.store("offline", "no")
    assert file.read_text() == '# mine\nworkers = 3\ndevice = "cpu"\noffline = false\n'
    assert (config.value("workers"), config.offline()) == (3, False)
    assert config.unset("workers")
    assert not config.unset("workers")
    assert config.value("workers") is None
    assert file.read_text().startswith("# mine\ndevice")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('device = "gpu"', 'device = "gpu": give auto, cpu, cuda, cuda:N or mps'),
        ("device = 1", "device = 1: give auto, cpu"),
        ('workers = "4"', 'workers = "4": give a whole number from 1 to 256'),
        ("workers = 0", "workers = 0: give"),
        ("workers = true", "workers = true: give"),
        ('cache = "here"', 'cache = "here": give a folder, absolute or from ~ on'),
        ('offline = "no"', 'offline = "no": give true or false'),
        ("method = []", "method = []: give auto, or the name of a method"),
        ('devise = "cpu"', "devise: no such setting; did you mean device?"),
        ("[device]\nx = 1", 'device = {"x": 1}: give auto'),
        ("device = ", "is not TOML ("),
    ],
)
def test_a_bad_file_is_one_line_that_names_file_and_key(
    file: Path, rainkit: Run, text: str, told: str
):
    _write(file, text + "\n")
    code, out, err = rainkit("methods")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {file}: {told}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "text"),
    [("DEVICE", "gpu"), ("WORKERS", "many"), ("WORKERS", "300"), ("OFFLINE", "2"), ("METHOD", "=")],
)
def test_a_bad_variable_is_one_line_that_names_it(
    file: Path, rainkit: Run, monkeypatch: pytest.MonkeyPatch, key: str, text: str
):
    monkeypatch.setenv(f"RAINKIT_{key}", text)
    code, _, err = rainkit("methods")
    assert code == 2
    assert err.startswith(f"error: RAINKIT_{key}={text}: give ")


def test_a_bad_file_can_be_repaired_by_commands_alone(file: Path, rainkit: Run):
    _write(file, 'devise = "cpu"\nworkers = 0\n')
    code, _, err = rainkit("config")
    assert (code, "`rainkit config unset devise` removes it" in err) == (2, True)
    assert rainkit("config", "unset", "devise")[0] == 0
    code, out, err = rainkit("config")
    assert (code, "cannot be used" in out, "workers = 0" in err) == (2, True, True)
    assert rainkit("config", "set", "workers", "2")[0] == 0
    assert rainkit("methods")[0] == 0
    code, out, _ = rainkit("doctor")
    assert f"workers=2;{file}" in "".join(out.split())  # a long path is broken in its cell


def test_show_names_the_origin_of_each(file: Path, rainkit: Run, monkeypatch: pytest.MonkeyPatch):
    rainkit("config", "set", "device", "cuda")
    monkeypatch.setenv("RAINKIT_DEVICE", "cpu")
    monkeypatch.setenv("RAINKIT_CACHE", "there")
    _, out, _ = rainkit("config", "show")
    assert "RAINKIT_DEVICE (the file has cuda)" in out
    assert str(file) in out
    _, out, _ = rainkit("config", "show", "--json")
    told = json.loads(out)
    assert told["settings"]["device"] == {
        "value": "cpu",
        "origin": "environment",
        "place": "RAINKIT_DEVICE",
        "problem": None,
    }
    assert told["settings"]["cache"]["value"] == os.path.abspath("there")
    assert (told["file"], told["exists"]) == (str(file), True)
    assert rainkit("config", "get", "device")[1] == "cpu\n"
    assert rainkit("config", "get", "workers")[1] == ""
    assert rainkit("config", "path")[1] == f"{file}\n"
    code, _, err = rainkit("config", "set", "device", "mps")
    assert (code, "RAINKIT_DEVICE is set" in err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("set", "device", "gpu"), "device gpu: give auto, cpu, cuda, cuda:N or mps"),
        (("set", "devise", "cpu"), "setting devise: unknown; did you mean device?"),
        (("get", "x"), "setting x: unknown; choose from method, device"),
        (("set", "method", "nobody"), "no method 'nobody' is installed"),
    ],
)
def test_what_cannot_be_set_is_refused(file: Path, rainkit: Run, arguments: tuple, told: str):
    code, _, err = rainkit("config", *arguments)
    assert (code, told in err) == (2, True), err
    assert not file.exists()


def test_a_device_that_is_not_there_names_who_asked_for_it(
    file: Path, rainkit: Run, tiny_weights: Path, tmp_path: Path
):
    (tmp_path / "a.png").write_bytes(b"")
    asked = ("infer", tmp_path / "a.png", "-m", f"tiny={tiny_weights}", "-o", tmp_path / "out")
    config.store("device", "cuda:9")
    _, _, err = rainkit(*asked)
    assert f"(device is set in {file})" in err
    _, _, err = rainkit(*asked, "--device", "cpu")
    assert "cuda:9" not in err
    assert "a.png" in err


def test_the_method_of_infer_can_be_set(
    file: Path, rainkit: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_weights: Path
):
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.setenv("RAINKIT_METHOD", "nobody")
    asked = ("infer", tmp_path / "a.png", "-o", tmp_path / "out")
    code, _, err = rainkit(*asked)
    assert "using nobody, the method set in RAINKIT_METHOD" in err
    assert (code, "no method 'nobody'" in err) == (2, True)
    _, _, err = rainkit(*asked, "--weights", tiny_weights)
    assert "using tiny, the method of the weights" in err


def test_a_recipe_goes_before_the_number_of_workers(
    file: Path, monkeypatch: pytest.MonkeyPatch, rainkit: Run, pairs: Path, tmp_path: Path
):
    seen = []

    def synthesise(request, advance):
        seen.append(request.workers)
        raise UsageError("enough")

    monkeypatch.setattr("rainkit.synthesis.run.synthesise", synthesise)
    (tmp_path / "recipe.toml").write_text("[synth]\nworkers = 1\n")
    config.store("workers", "3")
    asked = ("synth", pairs / "clean", "-o", tmp_path / "out")
    rainkit(*asked)
    rainkit(*asked, "--config", tmp_path / "recipe.toml")
    rainkit(*asked, "--workers", "2")
    rainkit(*asked, "--engine", "ray")
    assert seen == [3, 1, 2, None]


def test_help_shows_the_fixed_defaults_whatever_the_file_says(file: Path, rainkit: Run):
    before = rainkit("infer", "--help")
    _write(file, "nonsense")
    assert rainkit("infer", "--help") == before


@pytest.mark.parametrize(
    ("system", "variables", "settings", "cache"),
    [
        ("linux", {}, ".config/rainkit/config.toml", ".cache/rainkit"),
        ("linux", {"XDG_CONFIG_HOME": "c", "XDG_CACHE_HOME": "k"}, "c/rainkit/config.toml",
         "k/rainkit"),
        ("darwin", {}, "Library/Application Support/rainkit/config.toml", "Library/Caches/rainkit"),
        ("win32", {"APPDATA": "r", "LOCALAPPDATA": "l"}, "r/rainkit/config.toml",
         "l/rainkit/Cache"),
        ("win32", {}, "AppData/Roaming/rainkit/config.toml", "AppData/Local/rainkit/Cache"),
    ],
)  # fmt: skip
def test_each_platform_has_its_own_folders(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    system: str,
    variables: dict[str, str],
    settings: str,
    cache: str,
):
    for name in ("RAINKIT_CONFIG", "RAINKIT_CACHE", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", system)
    assert config.file_path() == tmp_path / settings
    assert config.cache_folder() == tmp_path / cache


def test_verbose_says_what_is_chosen_and_shows_where_an_error_arose(
    file: Path, rainkit: Run, tiny_weights: Path, tmp_path: Path
):
    (tmp_path / "a.png").write_bytes(b"")
    config.store("device", "cpu")
    asked = ("infer", tmp_path / "a.png", "-m", f"tiny={tiny_weights}", "-o", tmp_path / "out")
    _, _, said = rainkit(*asked)
    assert "settings:" not in said
    for line in (("-v", *asked), (*asked, "--verbose")):
        _, _, said = rainkit(*line)
        assert f"settings: device = cpu, from {file}" in said
        assert f"variant default: {tiny_weights}" in said
        assert "runs on cpu in" in said
    _, _, said = rainkit("methods", "show", "nobody", "-v")
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith("error: no method 'nobody'")
    assert verbosity() == Verbosity.NORMAL


def test_quiet_may_stand_in_front_of_any_command(rainkit: Run, pairs: Path, tmp_path: Path):
    scored = ("score", pairs / "rainy", pairs / "clean")
    assert rainkit("--quiet", *scored)[1:] == ("", "")
    assert "PSNR" in rainkit(*scored)[1]
    code, out, _ = rainkit("methods", "-q")
    assert (code, "granet" in out) == (0, True)


def test_tables_in_pipes_have_one_line_a_row(rainkit: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    narrow = rainkit("methods", "show", "granet")[1]
    monkeypatch.delenv("COLUMNS")
    wide = rainkit("methods", "show", "granet")[1]
    row = next(line for line in wide.splitlines() if line.startswith("network.region_aware"))
    assert "attend within the regions of a 1x1, 2x2 and 4x4 grid" in row
    assert len(narrow.splitlines()) > len(wide.splitlines())
    assert [line for line in wide.splitlines() if line.endswith(" ")] == []


def test_no_color_holds_even_where_colour_is_forced(plugin_folder):
    from rich.console import Console

    from rainkit.cli import console

    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert isinstance(console.errors, Console)
    red = plugin_folder.python("-m", "rainkit", "methods", "show", "x", NO_COLOR="", **forced)
    assert "\x1b[1;31merror:" in red.stderr
    plain = plugin_folder.python("-m", "rainkit", "methods", "show", "x", **forced)
    assert "\x1b[1merror:" in plain.stderr or "\x1b" not in plain.stderr
    assert "[1;31m" not in plain.stderr


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_settings_that_are_linked_stay_linked(file: Path):
    real = file.with_name("dotfiles.toml")
    _write(real, "workers = 2\n")
    real.chmod(0o600)
    file.symlink_to(real)
    config.store("device", "cpu")
    assert file.is_symlink()
    assert real.read_text() == 'workers = 2\ndevice = "cpu"\n'
    assert real.stat().st_mode & 0o777 == 0o600


def test_a_table_has_a_remedy_that_works(file: Path, rainkit: Run):
    _write(file, "workers = 2\n[a]\nb = 1\n")
    code, _, err = rainkit("config")
    assert (code, "a: no such setting" in err, "remove that table" in err) == (2, True, True)
