"""Time of rain at 512x512 on one core, beside plain composition and albumentations.

python examples/benchmarks/rain.py [--check] [--json]

CPU time of the fastest of many rounds; all rows take turns, so that all see the same machine. The
ratio is to a plain screen composition of two uint8 pictures. Rendering alone: no files. The depth
map is a ramp from 0.6 m to 200 m, so that both slabs of rain are drawn. The C library keeps large
arrays, as in rainkit's own processes (rainkit.environment). --check exits 1 above 30 times the
composition at 7 mm/h, 75 times at 80 mm/h, or 6 times for the bank.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Callable

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A  # noqa: TID253
import cv2
import numpy as np
from skimage import data

from rainkit.environment import keep_large_blocks
from rainkit.errors import exiting
from rainkit.rain import PRESETS, Bank, render

SIDE = 512
ROUNDS = 40
LIMITS = {"depth, 7 mm/h": 30.0, "depth, 80 mm/h": 75.0, "bank, 7 mm/h": 6.0}


def rows() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    clean = np.ascontiguousarray(data.astronaut())
    other = np.ascontiguousarray(clean[::-1])
    copy = np.empty_like(clean)
    ramp = np.linspace(200, 0.6, SIDE, dtype=np.float32)
    depth = np.ascontiguousarray(np.repeat(ramp[:, None], SIDE, 1))
    rain = PRESETS["default"]
    bank = Bank(rain, (1,))
    light = (200.0, 200.0, 200.0)  # as training sets it

    def screen() -> object:
        return cv2.subtract(cv2.add(clean, other), cv2.multiply(clean, other, scale=1 / 255))

    found: dict[str, Callable[[], object]] = {
        "copy": lambda: np.copyto(copy, clean),
        "cv2.add": lambda: cv2.add(clean, other),
        "screen composition": screen,
    }
    for kind in ("default", "heavy"):
        drawn = A.RandomRain(rain_type=kind, p=1.0)
        found[f"albumentations RandomRain, {kind}"] = functools.partial(drawn, image=clean)
    for rate in (2.0, 7.0, 25.0, 80.0):
        settings = rain.at_rate(rate)
        found[f"depth, {rate:g} mm/h"] = functools.partial(
            render, clean, settings, (1, 2), depth=depth
        )
    for rate in (7.0, 80.0):
        found[f"flat, {rate:g} mm/h"] = functools.partial(render, clean, rain.at_rate(rate), (1, 2))
    found["bank, 7 mm/h"] = functools.partial(bank.render, clean, (1, 2), airlight=light)
    found["bank and fog, 7 mm/h"] = functools.partial(
        bank.render, clean, (1, 2), airlight=light, distance=100.0
    )
    found["bank, airlight estimated"] = functools.partial(bank.render, clean, (1, 2))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Time of rain at 512x512 on one core.")
    parser.add_argument("--check", action="store_true", help="exit 1 if a limit is exceeded")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    keep_large_blocks()
    timed = rows()
    best = dict.fromkeys(timed, float("inf"))
    for _ in range(ROUNDS):
        for name, work in timed.items():
            started = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - started)
    unit = best["screen composition"]
    if given.json:
        print(json.dumps({name: round(1e3 * seconds, 4) for name, seconds in best.items()}))
    else:
        print(f"{'512x512, one core':36}      ms  pictures/s   ratio  limit")
        for name, seconds in best.items():
            limit = f"{LIMITS[name]:6.0f}" if name in LIMITS else ""
            print(
                f"{name:36} {1e3 * seconds:7.3f} {1 / seconds:11.0f} {seconds / unit:7.1f} {limit}"
            )
    missed = [name for name, limit in LIMITS.items() if best[name] > limit * unit]
    for name in missed if given.check else ():
        print(f"{name}: {best[name] / unit:.1f} times, more than {LIMITS[name]:g}", file=sys.stderr)
    return int(given.check and bool(missed))


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
