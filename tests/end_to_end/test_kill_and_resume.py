"""A dataset that was killed and resumed equals one that was not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from rainkit import images

SCRIPT = Path(__file__).parents[2] / "examples" / "checks" / "kill_and_resume.py"


def test_three_kills_change_nothing(tmp_path: Path) -> None:
    for index in range(12):
        rng = np.random.default_rng(index)
        rgb = cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (160, 120))
        images.write(tmp_path / "photos" / f"{index}.png", images.Picture(rgb))
    command = [sys.executable, SCRIPT, tmp_path / "photos", "--times", "3", "--seed", "7"]
    options = ["--", "--variants", "4", "--test-scenes", "2", "--workers", "1"]
    done = subprocess.run(
        [str(word) for word in (*command, *options)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout
    assert "0 differ" in done.stdout
