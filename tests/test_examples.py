"""The notebooks in examples/ run from the first cell to the last."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import matplotlib as mpl
import pytest

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
