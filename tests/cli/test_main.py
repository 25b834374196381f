"""What every command does with errors and with Ctrl-C."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.core
from typer.testing import CliRunner

from rainkit.cli import app
from rainkit.cli.options import refuse_together
from rainkit.errors import MethodError, UsageError

SLOW = """
import time
from rainkit import plugins
def wait(*arguments):
    print("waiting", flush=True)
    time.sleep(60)
plugins.installed = wait
from rainkit.cli import main
main()
"""


@pytest.mark.parametrize(("error", "code"), [(UsageError, 2), (MethodError, 1)])
def test_errors_raised_on_purpose_are_one_line_and_their_code(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], code: int
) -> None:
    def fail() -> None:
        raise error("photos[1].jpg: a name with [brackets] " + "and many words " * 20)

    monkeypatch.setattr("rainkit.plugins.installed", fail)
    result = CliRunner().invoke(app, ["methods"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: photos[1].jpg: a name with [brackets]")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["methods", "--nonsense"], ["methods", "show"]]
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_alone_it_greets_with_commands_that_exist() -> None:
    result = CliRunner().invoke(app, [])
    named = re.findall(r"^  rainkit (\w+)", result.output, re.MULTILINE)
    assert result.exit_code == 0
    assert len(named) == 3
    for name in named:
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_ctrl_c_is_one_line_and_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "methods"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told.startswith("stopped by Ctrl-C")
    assert told.count("\n") == 1


def test_threads_sleep_while_they_wait_unless_the_user_chose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = (
        "import os, sys; from rainkit.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['NO_ALBUMENTATIONS_UPDATE'])"
    )
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    run = [sys.executable, "-c", script, "--version"]
    assert _last_line(run) == "PASSIVE 1"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert _last_line(run) == "ACTIVE 1"


def _last_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "rainkit", "methods", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_mistyped_value_names_the_nearest_one():
    result = CliRunner().invoke(app, ["infer", "photos", "--precision", "bf61"])
    assert result.exit_code == 2
    assert "--precision bf61: unknown; did you mean bf16? choose from auto, fp32," in result.stderr
    assert len(result.stderr.splitlines()) == 1


def commands(group: typer.core.TyperGroup, *path: str) -> Iterator[str]:
    for name, each in group.commands.items():
        if isinstance(each, typer.core.TyperGroup):
            yield from commands(each, *path, name)
        else:
            yield " ".join((*path, name))


@pytest.mark.parametrize("command", [*commands(typer.main.get_command(app))])
def test_help_shows_no_types_of_python(command: str):
    told = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "120"}).stdout
    assert "--help" in told
    assert not re.search(r"<(bool|str|int|float|path|file|list|int range)\b", told, re.IGNORECASE)


@pytest.mark.parametrize("command", ["bench", "infer", "synth", "train"])
def test_help_fills_eighty_columns_and_breaks_no_example(command: str):
    told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).stdout
    told, _, _ = told.partition("╭")
    usage, *paragraphs = (each for each in re.split(r"\n *\n", told) if each.strip())
    assert f"rainkit {command}" in usage
    for each in paragraphs:
        lines = [line.strip() for line in each.strip().split("\n")]
        assert len(lines) == 1 or not each.lstrip().startswith("rainkit ")
        for line, following in itertools.pairwise(lines):  # the next word did not fit
            assert len(line) + 1 + len(following.split()[0]) > 78


def test_the_help_says_what_the_program_is_and_how_to_begin():
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout
    assert "Take rain out of photographs. Start with: rainkit infer photos/ --report" in told


@pytest.mark.parametrize("given", ["nothere.jpg", "."])
def test_a_choice_of_method_is_not_told_of_pictures_that_are_not_there(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["infer", given, "-m", "auto"])
    assert result.exit_code == 2
    assert "auto:" not in result.stderr


def test_options_that_exclude_each_other_are_named():
    refuse_together("--resume", {"--seed": None, "--config": [], "--dry-run": False})
    with pytest.raises(UsageError, match=r"^--seed cannot be used with --resume; leave it out$"):
        refuse_together("--resume", {"--seed": 0, "--config": ()})
    with pytest.raises(UsageError, match=r"^--a and --b cannot be used with --c; leave them out$"):
        refuse_together("--c", {"--a": True, "--b": "x"})
    with pytest.raises(UsageError, match=r"^--a cannot be used with --c; rename it$"):
        refuse_together("--c", {"--a": 1}, "rename it")


def test_names_that_are_not_utf_8_pass_through_every_table(rainkit, pairs: Path, tmp_path: Path):
    for side in ("rainy", "clean"):
        place = os.fsencode(pairs / side)
        os.rename(place + b"/a.png", place + b"/" + "雨a.png".encode("gbk"))
    shutil.copytree(pairs / "rainy", tmp_path / "ours")
    (tmp_path / "ours" / "b.png").write_bytes(b"")
    out = tmp_path / "out"
    scored = ("score", tmp_path / "ours", pairs / "clean", "--input", pairs / "rainy")
    code, _, err = rainkit(*scored, "-o", out)
    assert (code, "b.png: is empty" in err) == (1, True), err
    for name in ("per_image.csv", "metrics.json"):
        assert r"\udcd3" in (out / name).read_text(encoding="utf-8")
    code, shown, err = rainkit("compare", out, out)
    assert (code, "PSNR" in shown) == (0, True), err
    code, shown, err = rainkit("data", "audit", pairs, "--write-clean", tmp_path / "usable.txt")
    assert code in (0, 1), err
    assert "雨a.png".encode("gbk") in (tmp_path / "usable.txt").read_bytes()
