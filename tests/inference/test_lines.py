"""The page of thin bright lines that must stay: examples/checks/lines.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.images import Picture

SCRIPT = Path(__file__).parents[2] / "examples" / "checks" / "lines.py"


def test_lost_contrast_is_what_a_line_lost() -> None:
    script = runpy.run_path(str(SCRIPT))
    kinds = [scene.kind for scene in script["drawn_scenes"]()]
    assert kinds == ["posts", "railings", "letters", "bricks", "pitch lines", "wires"]
    for scene in script["drawn_scenes"]():
        before = script["contrast"](scene.rgb, scene.lines)
        assert before > 40, scene.kind
        assert 0.002 < scene.lines.mean() < 0.4, scene.kind
        mask = scene.lines[..., None]
        half = np.where(mask, scene.rgb - before / 2, scene.rgb).astype(np.uint8)
        after = script["contrast"](half, scene.lines)
        assert script["lost"](before, after) == pytest.approx(50, abs=2), scene.kind
        assert script["lost"](before, before) == 0


def test_a_page_is_written_with_all_scenes_and_photographs(
    tiny_weights: Path, tmp_path: Path
) -> None:
    photo = np.ascontiguousarray(data.astronaut()[:300, :200])
    images.write(tmp_path / "photos" / "a.png", Picture(photo))
    given = [str(tmp_path / "out"), str(tmp_path / "photos"), "-m", f"tiny={tiny_weights}"]
    runpy.run_path(str(SCRIPT))["main"](given)
    out = tmp_path / "out"
    page = (out / "lines.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 7 * 3
    assert images.read(out / "lines.png").rgb.shape == (7 * 260, 3 * 260, 3)
    table = (out / "lines.md").read_text("utf-8")
    assert table.startswith("| lost contrast in % | tiny=")
    for row in ("posts", "pitch lines", "photograph a", "drawn scenes, mean"):
        assert f"\n| {row} |" in table
