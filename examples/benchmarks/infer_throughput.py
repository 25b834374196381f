"""Measure how many pictures per second ``rainkit infer`` derains, and the network alone.

    $ python examples/benchmarks/infer_throughput.py graspp-gan
    $ python examples/benchmarks/infer_throughput.py prenet --pictures 200 --size 512 --device cuda

Both figures are of one process. The network alone takes tensors that are on its device already, as
many at once as ``infer`` gives it; ``infer`` reads PNG files, derains them and writes PNG files and
their record. Each is measured several times in turns, and the best time counts, since what disturbs
a measurement makes it longer. The pictures are smooth noise, which compresses like a photograph.
The exit code is 1 if the share is below ``--bar``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from rainkit import images, inference
from rainkit.errors import exiting
from rainkit.inference import InferRequest, loading
from rainkit.inference.setup import set_up
from rainkit.runtime_options import RuntimeOptions


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("method", help="installed method")
    parser.add_argument("--weights", help="tag or file (default: the method's first)")
    parser.add_argument("--pictures", type=int, default=24, help="number (default: 24)")
    parser.add_argument("--size", type=int, default=512, help="side in pixels (default: 512)")
    parser.add_argument("--device", default="auto", help="(default: auto)")
    parser.add_argument("--rounds", type=int, default=2, help="of measurements (default: 2)")
    parser.add_argument("--bar", type=float, default=0.0, help="least share (default: none)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="infer-throughput-") as folder:
        return measure(asked, Path(folder))


def measure(asked: argparse.Namespace, folder: Path) -> int:
    """Print both figures and their share; return the exit code."""
    options = RuntimeOptions.parse(device=asked.device)
    network = loading.build(set_up(asked.method, options, weights=asked.weights))
    for number in range(asked.pictures):
        coarse = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
        rgb = cv2.resize(coarse, (asked.size, asked.size), interpolation=cv2.INTER_CUBIC)
        images.write(folder / "in" / f"{number}.png", images.Picture(np.asarray(rgb, np.uint8)))
    together = network.batch_size(asked.size, asked.size)
    pictures = [images.read(path) for path in images.pictures_below(folder / "in")]
    batches = [
        torch.cat([images.to_tensor(each.rgb, network.runtime.device) for each in group])
        for first in range(0, asked.pictures, together)
        for group in [pictures[first : first + together]]
    ]
    alone, whole = [], []
    network_alone(network, batches[:1])  # warms up
    for number in range(asked.rounds):
        alone.append(network_alone(network, batches))
        request = InferRequest(
            inputs=(folder / "in",),
            method=asked.method,
            weights=asked.weights,
            output=folder / f"out-{number}",
            options=options,
        )
        result = inference.infer(request)
        if len(result.done) != asked.pictures:
            sys.exit(result.last_error)
        whole.append(result.seconds)
    share = min(alone) / min(whole)
    print(f"{asked.method}, {asked.size} x {asked.size} PNG, {network.runtime.describe()}")
    print(
        f"network alone: {asked.pictures / min(alone):.2f} pictures per second, {together} at once"
    )
    print(
        f"rainkit infer: {asked.pictures / min(whole):.2f} pictures per second, share {share:.3f}"
    )
    return 1 if share < asked.bar else 0


def network_alone(derainer: inference.Derainer, batches: list[torch.Tensor]) -> float:
    """Return the seconds that the network takes for all batches."""
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            result = derainer.network(batch)
    result[0, 0, 0, 0].item()  # waits for the device
    return time.perf_counter() - start


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
