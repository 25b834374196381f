"""What the shell offers after Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, rainkit) -> Complete:
    """Complete a line as bash has it done; the word after the last space is completed."""
    monkeypatch.setenv("_RAINKIT_COMPLETE", "complete_bash")

    def run(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        return rainkit()[1].split()

    return run


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rainkit inf", ["infer"]),
        ("rainkit infer -m gran", ["granet"]),
        ("rainkit infer -m a", ["all", "auto"]),
        ("rainkit eval x -m granet=rain-v1", ["granet=rain-v1"]),
        ("rainkit infer -m granet --weights rain-v1", ["rain-v1"]),
        ("rainkit infer -m granet --variant coarse-", ["coarse-no-ra"]),
        ("rainkit train -m granet --variant no-", ["no-context"]),
        ("rainkit train -m granet --set network.w", ["network.width="]),
        ("rainkit methods show time", ["timelapse"]),
        ("rainkit weights verify timelapse.", ["timelapse.rain-v3", "timelapse.rain-v1"]),
        ("rainkit export -m resg", ["resguidenet"]),
        ("rainkit bench -m resg", ["resguidenet"]),
        ("rainkit config set dev", ["device"]),
        ("rainkit config set offline f", ["false"]),
        ("rainkit config set method gran", ["granet"]),
        ("rainkit infer --weights nothing-of-the-kind", []),
    ],
)
def test_names_are_offered(complete: Complete, line: str, offered: list[str]):
    assert complete(line) == offered


def test_a_broken_plugin_offers_nothing_and_says_nothing(plugin_folder):
    words = {"COMP_WORDS": "rainkit infer --weights x", "COMP_CWORD": "3"}
    done = plugin_folder.run("", _RAINKIT_COMPLETE="complete_bash", **words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_zsh_shows_a_short_line_beside_each_name(monkeypatch: pytest.MonkeyPatch, rainkit):
    monkeypatch.setenv("_RAINKIT_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "rainkit infer -m granet --weights ")
    _, out, err = rainkit()
    assert '"rain-v1":"GraNet, variant default"' in out
    assert err == ""


def test_completion_loads_nothing_heavy():
    script = (
        "import sys\nsys.argv = ['rainkit']\nfrom rainkit.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    words = {"COMP_WORDS": "rainkit train -m granet --set ", "COMP_CWORD": "5"}
    environment = os.environ | words | {"_RAINKIT_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "network.width=" in done.stdout
    assert not {"torch", "numpy", "cv2", "PIL"} & set(done.stderr.split())
