"""The same dataset, file by file, whatever instructions the processor has."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from rainkit import images


def test_any_instruction_set_writes_the_same_files(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for index in range(3):
        rng = np.random.default_rng(index)
        rgb = cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (200, 150))
        rgb[:50] = (150, 180, 220)  # a sky, so that depth is guessed and makes fog
        images.write(photos / f"{index}.png", images.Picture(rgb))
    extra = " ".join(name for name in __cpu_dispatch__ if __cpu_features__.get(name))
    plain = {
        "NPY_DISABLE_CPU_FEATURES": extra,
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,AVX,FP16,SSE4.2,SSE4.1",
    }
    made = []
    for name, environment in (("usual", {}), ("plain", plain)):
        out = tmp_path / name
        command = [sys.executable, "-m", "rainkit", "synth", str(photos), "-o", str(out), "-q"]
        command += ["--rate", "heavy", "--variants", "2", "--workers", "1"]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert list((out / "depth").iterdir())
        made.append(
            {
                path.relative_to(out): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in out.rglob("*")
                if path.is_file()
            }
        )
    assert made[0] == made[1]
