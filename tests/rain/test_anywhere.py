"""Rain has the same pixels whatever instructions numpy and OpenCV find in the processor."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import cv2
import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from rainkit.rain import PRESETS, Bank, render
from rainkit.rain.noise import add_noise


def pixels() -> str:
    """Return a hash of every preset: without and with depth, in linear light, with a tone curve."""
    digest = hashlib.sha256()
    rng = np.random.default_rng(0)
    clean = cv2.resize(rng.integers(0, 255, (8, 11, 3), dtype=np.uint8), (170, 130))
    depth = np.repeat(np.geomspace(300, 0.7, 130, dtype=np.float32)[:, None], 170, 1)
    depth[40:70, 50:90] = 1.1
    for settings in PRESETS.values():
        strong = settings.at_rate(60)
        for each in (strong, strong.changed({"light": "linear", "dim": 0.8, "gamma": 1.4})):
            for scene in ({}, {"depth": depth}, {"distance": 90.0}):
                rendered = render(clean, each, (1, 2), **scene)
                digest.update(rendered.rainy)
                digest.update(rendered.clear)
        digest.update(Bank(settings, (1,), tiles=1, side=200).render(clean, (4,)).rainy)
    digest.update(add_noise(clean, 30.0, (5,)))
    return digest.hexdigest()


def test_pixels_do_not_depend_on_the_instruction_set() -> None:
    found = " ".join(name for name in __cpu_dispatch__ if __cpu_features__.get(name))
    plain = {
        "NPY_DISABLE_CPU_FEATURES": found,
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,AVX,FP16,SSE4.2,SSE4.1",
    }
    command = [sys.executable, __file__]
    done = subprocess.run(
        command, env=os.environ | plain, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == pixels()


if __name__ == "__main__":
    sys.stdout.write(pixels())
