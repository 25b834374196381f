"""The notebooks in examples/ run from the first cell to the last, and so do tools for weights."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
import torch

from rainkit import networks, plugins, weights
from rainkit.errors import UsageError, exiting

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "agg", "figure.dpi": 40, "savefig.dpi": 40}):
        runpy.run_path(str(path))
    assert (tmp_path / f"{path.stem}.png").stat().st_size > 1000
    assert re.search(r"\d", capsys.readouterr().out), "a figure is printed"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_cells_that_begin_with_a_title(path: Path):
    cells = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert cells[0] == ""
    assert cells[1].startswith(" [markdown]\n# # ")
    assert f"`python {path.name}` runs it" in cells[1]
    for cell in cells[1:]:
        code = [line for line in cell.splitlines()[1:] if line and not line.startswith("#")]
        assert bool(code) != cell.startswith(" [markdown]")


@pytest.mark.parametrize("name", ["freq-gan", "graspp-gan", "resguidenet"])
def test_widened_weights_begin_with_what_they_know(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    method = plugins.get(name)
    narrow = weights.find(method, "rain-v1")
    wide = tmp_path / "wide.safetensors"
    widen(monkeypatch, name, narrow.path, "wide", wide)
    rainy = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(2))
    before, after = (
        weights.load(networks.build(method, file.network), file).eval()
        for file in (narrow, weights.open_file(method, wide))
    )
    with torch.no_grad():
        alone, mirrored = before(rainy).image, before(rainy.flip(-1)).image.flip(-1)
        now = after(rainy).image
    known = (alone + mirrored) / 2 if name == "graspp-gan" else alone
    torch.testing.assert_close(now, known)
    assert not torch.equal(alone, rainy)
    assert (alone - mirrored).abs().max() > 0.01
    assert networks.parameters(after) > 3 * networks.parameters(before)


@pytest.mark.parametrize(
    ("name", "tag", "variant", "said"),
    [
        ("resguidenet", "rain-v8", "default", "default has no more feature maps"),
        ("graspp-gan", "rain-v9", "wide", "wide has no more feature maps"),
        ("graspp-gan", "rain-v8", "resnet18", "is not twice"),
    ],
)
def test_widening_refuses_what_it_cannot_fill(
    name: str, tag: str, variant: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = weights.find(plugins.get(name), tag)
    with pytest.raises(SystemExit, match=said):
        widen(monkeypatch, name, file.path, variant, tmp_path / "no.safetensors")
    assert not list(tmp_path.iterdir())


def widen(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    script = ROOT / "examples" / "recipes" / "widen.py"
    monkeypatch.setattr("sys.argv", [script.name, *map(str, arguments)])
    runpy.run_path(str(script), run_name="__main__")


def test_plain_pictures_are_plain_and_some_are_white(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = ROOT / "examples" / "recipes" / "plain_pictures.py"
    monkeypatch.setattr("sys.argv", [script.name, str(tmp_path / "plain"), "--count", "9"])
    runpy.run_path(str(script), run_name="__main__")
    pictures = [cv2.imread(str(path)) for path in sorted((tmp_path / "plain").iterdir())]
    assert len(pictures) == 9
    assert [n for n, each in enumerate(pictures) if each.min() == 255] == [0, 3, 6]
    assert len({each.mean().round() for each in pictures}) == 7
    assert all(np.ptp(each, axis=(0, 1)).max() <= 60 for each in pictures)


def test_scripts_end_in_one_line_where_rainkit_refuses_something(capsys) -> None:
    with pytest.raises(SystemExit) as ended, exiting():
        raise UsageError("nix: no such\nfile")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: nix: no such file\n"
    with exiting():
        pass


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("checks/dry.py", ("nix", "-m", "timelapse"), "nix: no such file or folder"),
        ("before_after.py", ("nix", "x.jpg"), "nix: has 0 pictures"),
        ("benchmarks/cluster_cost.py", ("--machine", "x", "a", "1"), "is no number"),
        ("benchmarks/training_pace.py", ("--method", "nix"), "no method 'nix'"),
    ],
)
def test_bad_input_of_scripts_is_one_line(script: str, arguments: tuple, said: str) -> None:
    path = ROOT / "examples" / script
    done = subprocess.run(
        [sys.executable, path, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
