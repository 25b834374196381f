"""Time of the scores at 512x512 on one core beside scikit-image and piq, and pairs/s from files.

python examples/benchmarks/metrics.py [--rounds 20] [--pairs 120] [--json]

CPU time of the fastest round; all rows take turns, so that all see the same machine. Pairs/s is
wall-clock time of scoring a folder of PNG files of 481x321 against another under one protocol,
with a thread for each core; a busy machine gives less.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import piq  # noqa: TID253
import torch
from skimage import data, metrics

from rainkit import evaluation, images
from rainkit.environment import keep_large_blocks
from rainkit.errors import exiting
from rainkit.evaluation.metrics.protocols import PROTOCOLS
from rainkit.evaluation.metrics.registry import METRICS, load_metrics
from rainkit.images import RGB8


def pair(height: int, width: int, seed: int = 0) -> tuple[RGB8, RGB8]:
    """A photograph and the same one with noise."""
    photo = cv2.resize(data.astronaut(), (width, height))
    noise = np.random.default_rng(seed).normal(6, 12, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8), np.asarray(photo, np.uint8)


def rows() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    restored, target = pair(512, 512)
    found: dict[str, Callable[[], object]] = {}
    for protocol in PROTOCOLS.values():
        label = f"rainkit {protocol.label}, PSNR + SSIM"
        found[label] = partial(protocol.scores, restored, target)
        found[f"{label}, exact"] = partial(protocol.scores, restored, target, exact=True)
    x, y = (PROTOCOLS["prenet"].luma(each) for each in (restored, target))
    found["scikit-image SSIM on Y, Gaussian"] = lambda: metrics.structural_similarity(
        x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    found["scikit-image SSIM on RGB, default"] = lambda: metrics.structural_similarity(
        restored, target, channel_axis=2
    )
    tx, ty = (torch.from_numpy(each)[None, None].float() for each in (x, y))
    found["piq SSIM on Y, downsample=False"] = lambda: piq.ssim(
        tx, ty, data_range=255, downsample=False
    )
    for each in load_metrics(name for name in METRICS if not METRICS[name].weights).metrics:
        found[f"{each.metric.label}"] = partial(
            each.measure, restored, target=target, rainy=restored
        )
    return found


def pairs_per_second(count: int) -> float:
    """What ``rainkit eval RESTORED TARGET`` does with files, the fastest of three times."""
    with tempfile.TemporaryDirectory() as name:
        for i in range(count):
            for side, picture in zip(("restored", "target"), pair(321, 481, i), strict=True):
                images.write(Path(name, side, f"{i}.png"), images.Picture(rgb=picture))
        request = evaluation.FoldersRequest(
            restored=Path(name, "restored"),
            target=Path(name, "target"),
            protocols=(PROTOCOLS["prenet"],),
        )
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            evaluation.evaluate_folders(request)
            seconds.append(time.perf_counter() - started)
        return count / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of the scores at 512x512 on one core.")
    parser.add_argument("--rounds", type=int, default=20, help="the fastest counts")
    parser.add_argument("--pairs", type=int, default=200, help="of PNG files")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_large_blocks()
    timed = rows()
    best = dict.fromkeys(timed, float("inf"))
    for _ in range(given.rounds):
        for name, run in timed.items():
            started = time.thread_time()
            run()
            best[name] = min(best[name], (time.thread_time() - started) * 1e3)
    rate = pairs_per_second(given.pairs)
    if given.json:
        print(json.dumps({"milliseconds": best, "pairs_per_second": rate}, indent=1))
        return
    for name, milliseconds in best.items():
        print(f"{milliseconds:8.2f} ms  {name}")
    print(f"{rate:8.0f} pairs/s  PSNR + SSIM (prenet) of PNG files 481x321, {os.cpu_count()} cores")


if __name__ == "__main__":
    with exiting():
        main()
