"""How much derained videos flicker where nothing moves, with and without the filter against it.

python examples/benchmarks/video_flicker.py VIDEO [--method resguidenet --method graspp-gan]
    [--frames 48] [--side 320] [--markdown TABLE.md]

The first frames of a video whose camera stands still are turned upright, shrunk and derained one by
one. "Flicker" is :func:`rainkit.inference.steady.measure_flicker`: the mean of half the absolute
second difference in time of the luma, in grey levels, over the pixels whose rainy input is still
once it is blurred until streaks vanish. Rain itself flickers, and so does the noise of the camera;
the row "input" has both. "Moved" says what the filter does to all other pixels, where something
moves: the mean change that it makes there, in grey levels; the less, the better. "Detail" is the
mean strength of the gradients of a frame in percent of that without the filter; a filter that
blurs lowers it. "Cost" is processor time against that of the network alone; network and filter take
turns frame by frame, so that whatever else the machine does slows down both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from rainkit import inference
from rainkit.errors import exiting
from rainkit.images import LUMA_WEIGHTS, Pixels, shrink
from rainkit.images.video import read_frames
from rainkit.inference.steady import STILL, measure_flicker, steadied

HEADINGS = ("frames of", "flicker", "moved", "detail", "cost")


def luma(rgb: Pixels) -> Pixels:
    """Return the luma [H,W] as float32 in grey levels."""
    return np.asarray(cv2.transform(rgb.astype(np.float32), LUMA_WEIGHTS))


def moving(rainy: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield where something moves in each frame but the first and the last one, bool [H,W]."""
    blurred = [cv2.GaussianBlur(luma(each), (0, 0), 4) for each in rainy]
    for before, now, after in zip(blurred, blurred[1:], blurred[2:], strict=False):
        yield np.maximum(np.abs(now - before), np.abs(after - now)) >= STILL


def moved(rainy: Sequence[Pixels], plain: Sequence[Pixels], calm: Sequence[Pixels]) -> float:
    """Return the mean change by the filter where something moves, in grey levels."""
    total, pixels = 0.0, 0
    for mask, one, other in zip(moving(rainy), plain[1:], calm[1:], strict=False):
        total += float(np.abs(luma(one) - luma(other))[mask].sum())
        pixels += int(mask.sum())
    return total / max(1, pixels)


def detail(frames: Sequence[Pixels]) -> float:
    """Return the mean strength of the gradients."""
    every = [luma(each) for each in frames]
    return float(np.mean([np.hypot(*np.gradient(each)).mean() for each in every]))


def rows(method: str, rainy: Sequence[Pixels]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a method, without and with the filter."""
    derainer = inference.load(method, device="cpu", work_size="full")
    derainer.derain(rainy[0])  # what is slow only once
    plain: list[Pixels] = []
    alone = 0.0

    def derained() -> Iterator[tuple[Pixels, Pixels, None, bool]]:
        nonlocal alone
        for each in track(rainy, f"{method}"):
            start = time.process_time()
            plain.append(derainer.derain(each))
            alone += time.process_time() - start
            yield each, plain[-1], None, True

    start = time.process_time()
    calm = [picture for picture, _ in steadied(derained())]
    both = time.process_time() - start
    for name, shown, seconds in ((method, plain, alone), (f"{method} --steady", calm, both)):
        flicker = measure_flicker(zip(rainy, shown, strict=True)).mean
        yield (
            name,
            f"{flicker:.2f}",
            f"{moved(rainy, plain, shown):.2f}",
            f"{100 * detail(shown) / detail(plain):.1f} %",
            f"{seconds / alone:.3f}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--method", action="append", dest="methods", metavar="NAME")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--side", type=int, default=320, help="longest side in pixels")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    options = parser.parse_args()
    read = islice(read_frames(options.video), options.frames)
    rainy = [shrink(rgb, options.side) for _, rgb in read]
    measured = measure_flicker(zip(rainy, rainy, strict=True))
    height, width = rainy[0].shape[:2]
    table: list[tuple[str, ...]] = [HEADINGS, ("input", f"{measured.mean:.2f}", "", "", "")]
    for method in options.methods or ["resguidenet"]:
        table += rows(method, rainy)
    lines = [f"| {' | '.join(row)} |" for row in table]
    lines.insert(1, "|---|--:|--:|--:|--:|")
    title = f"{len(rainy)} frames of {options.video.name} at {width}x{height}, "
    title += f"of which {measured.still:.0%} of the pixels are still"
    text = "\n".join([title, "", *lines, ""])
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
    if options.markdown is not None:
        options.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with exiting():
        main()
