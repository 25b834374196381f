"""The notebooks in examples/ run from the first cell to the last, and so do tools for weights."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
import torch

from rainkit import networks, plugins, weights

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


def test_widened_weights_give_the_same_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    method = plugins.get("resguidenet")
    narrow = weights.find(method, "rain-v1")
    wide = tmp_path / "wide.safetensors"
    script = ROOT / "examples" / "recipes" / "widen_resguidenet.py"
    monkeypatch.setattr("sys.argv", [script.name, str(narrow.path), "wide", str(wide)])
    runpy.run_path(str(script), run_name="__main__")
    rainy = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(2))
    results = []
    for file in (narrow, weights.open_file(method, wide)):
        network = weights.load(networks.build(method, file.network), file).eval()
        with torch.no_grad():
            results.append(network(rainy).image)
    torch.testing.assert_close(results[1], results[0])
    assert not torch.equal(results[0], rainy)
    assert weights.open_file(method, wide).network.width == 32


def test_doubled_weights_give_the_mean_with_the_mirrored_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    method = plugins.get("graspp-gan")
    narrow = weights.find(method, "rain-v1")
    wide = tmp_path / "wide.safetensors"
    script = ROOT / "examples" / "recipes" / "double_graspp_gan.py"
    monkeypatch.setattr("sys.argv", [script.name, str(narrow.path), "wide", str(wide)])
    runpy.run_path(str(script), run_name="__main__")
    rainy = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(2))
    single, double = (
        weights.load(networks.build(method, file.network), file).eval()
        for file in (narrow, weights.open_file(method, wide))
    )
    with torch.no_grad():
        alone, mirrored = single(rainy).image, single(rainy.flip(-1)).image.flip(-1)
        both = double(rainy).image
    torch.testing.assert_close(both, (alone + mirrored) / 2)
    assert (both - alone).abs().max() > 0.01


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
