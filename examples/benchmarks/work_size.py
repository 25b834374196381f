"""What the work size is worth: pairs enlarged, derained at full size and at the chosen size.

python examples/benchmarks/work_size.py PAIRS... [--photos FILE...] [--method graspp-gan]
    [--limit 5] [--factors 1 2 4] [--skip-full] [--markdown TABLE.md]

Both pictures of a pair are enlarged (bicubic), as if a camera of a higher resolution had taken
them. The enlarged rainy picture is derained at full size, at the work size that rainkit chooses,
and in the same way but with a guided filter that carries the rain to full size. Results are shrunk
back to the size of the pair and scored against its clean picture under the protocol "prenet";
"full detail" compares results and clean pictures at the enlarged size instead. Seconds are those
of deraining one picture. ``--skip-full`` leaves out full size and guided filter, which take long
for large factors.

``--photos`` are rainy photographs without a clean picture. Their results, shrunk back, are set
beside the result at the original size: "as at 1x" is the PSNR of one against the other, and "energy
left" the streaks' energy that is left ("streak_energy" of ``rainkit no-target``), which the row of
factor 1 has for the original size. "as rainy" is the PSNR of the result against the rainy
photograph, for scale.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rainkit import images, inference
from rainkit.datasets.pairs import named_datasets
from rainkit.errors import exiting
from rainkit.evaluation import protocol, read_pair
from rainkit.images import RGB8, Picture, shrink
from rainkit.inference import Derainer
from rainkit.rain.streak_energy import directional_energy


@dataclass
class Row:
    """Scores of one way to derain pictures that were enlarged by one factor."""

    psnr: list[float] = field(default_factory=list)
    detail: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    sides: list[float] = field(default_factory=list)


def enlarge(picture: RGB8, factor: float) -> RGB8:
    """Enlarge a picture, bicubic."""
    if factor == 1:
        return picture
    larger = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray(larger, np.uint8)


def psnr(result: RGB8, clean: RGB8) -> float:
    """Return the PSNR of the protocol "prenet" in dB, at the size of the clean picture."""
    return protocol("prenet").scores(shrunk_back(result, clean), clean)[0]


def shrunk_back(result: RGB8, like: RGB8) -> RGB8:
    """Return a result at the size of another picture."""
    if result.shape == like.shape:
        return result
    size = like.shape[1], like.shape[0]
    return np.asarray(cv2.resize(result, size, interpolation=cv2.INTER_AREA), np.uint8)


def guided(rainy: RGB8, full: Derainer, side: int) -> RGB8:
    """Derain a picture at a work size, and carry the rain to full size by a guided filter."""

    def mean(plane: Any) -> Any:
        return cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REFLECT)

    small = shrink(rainy, side)
    guide: Any = small.astype(np.float32) / 255
    rain = guide - full.derain(small).astype(np.float32) / 255
    centre, level = mean(guide), mean(rain)
    spread = mean(guide * guide) - centre * centre
    slope = np.clip((mean(guide * rain) - centre * level) / (spread + 1e-3), 0, 1)
    offset = level - slope * centre
    size = (rainy.shape[1], rainy.shape[0])
    slope, offset = (cv2.resize(mean(each), size) for each in (slope, offset))
    restored = rainy * (1 - slope) - 255 * offset
    return np.asarray(np.clip(np.rint(restored), 0, 255), np.uint8)


def measure_photos(photos: list[RGB8], factor: float, method: str) -> list[str]:
    """Derain photographs enlarged by a factor; return the cells of their row."""
    full = inference.load(method, work_size="full")
    chosen = inference.load(method, work_size="auto")
    measures: tuple[list[float], ...] = tuple([] for _ in range(5))
    like, unlike, energy, sides, seconds = measures
    for photo in track(photos, f"photographs x{factor:g}", console=Console(stderr=True)):
        at_once = np.asarray(full.derain(photo))
        large = enlarge(photo, factor)
        began = time.perf_counter()
        done = chosen.derain_picture(Picture(large)) if factor != 1 else None
        seconds.append(time.perf_counter() - began)
        longest = max(large.shape[:2])
        sides.append(max(done.work_size or (longest,)) if done is not None else longest)
        result = at_once if done is None else shrunk_back(np.asarray(done.picture.rgb), photo)
        if done is not None:
            like.append(psnr(result, at_once))
        unlike.append(psnr(result, photo))
        energy.append(directional_energy(result, photo))
    return [
        f"{factor:g}x",
        f"{fmean(sides):.0f}",
        f"{fmean(like):.2f}" if like else "",
        f"{fmean(unlike):.2f}",
        f"{fmean(energy):.3f}",
        f"{fmean(seconds):.1f}" if factor != 1 else "",
    ]


def measure(
    pairs: list[tuple[RGB8, RGB8]], factor: float, method: str, *, skip_full: bool
) -> dict[str, Row]:
    """Derain and score all pairs, enlarged by a factor."""
    rows: dict[str, Row] = defaultdict(Row)
    full = inference.load(method, work_size="full")
    chosen = inference.load(method, work_size="auto")

    def score(name: str, result: RGB8, clean: RGB8, larger: RGB8, began: float, side: int) -> None:
        row = rows[name]
        row.seconds.append(time.perf_counter() - began)
        row.psnr.append(psnr(result, clean))
        row.detail.append(psnr(result, larger))
        row.sides.append(side)

    for rainy, clean in track(pairs, f"x{factor:g}", console=Console(stderr=True)):
        large, target = enlarge(rainy, factor), enlarge(clean, factor)
        longest = max(large.shape[:2])
        score("rainy picture", large, clean, target, time.perf_counter(), longest)
        if not skip_full or factor == 1:
            began = time.perf_counter()
            score("full size", np.asarray(full.derain(large)), clean, target, began, longest)
        began = time.perf_counter()
        done = chosen.derain_picture(Picture(large))
        side = max(done.work_size or (longest,))
        score("work size", np.asarray(done.picture.rgb), clean, target, began, side)
        if done.work_size is not None and not skip_full:
            began = time.perf_counter()
            score("work size, guided filter", guided(large, full, side), clean, target, began, side)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What the work size is worth.")
    parser.add_argument("pairs", nargs="*", type=Path)
    parser.add_argument("--photos", nargs="+", type=Path, default=[])
    parser.add_argument("--skip-full", action="store_true")
    parser.add_argument("--method", "-m", default="graspp-gan")
    parser.add_argument("--limit", type=int, default=5)
    parser.add_argument("--factors", nargs="+", type=float, default=[1, 2, 4])
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    heads = ("dataset", "enlarged", "derained at", "longest side", "PSNR", "full detail", "s")
    table = Table(*heads, title=f"{options.method}, protocol prenet")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for dataset in named_datasets(options.pairs, prefer=("test",)) if options.pairs else ():
        arrays = [read_pair(pair) for pair in dataset.pairs[: options.limit]]
        pairs = [(each.rainy, each.clean) for each in arrays]
        for factor in options.factors:
            for way, row in measure(
                pairs, factor, options.method, skip_full=options.skip_full
            ).items():
                cells = (
                    dataset.name,
                    f"{factor:g}x",
                    way,
                    f"{fmean(row.sides):.0f}",
                    f"{fmean(row.psnr):.2f}",
                    f"{fmean(row.detail):.2f}",
                    f"{fmean(row.seconds):.1f}",
                )
                table.add_row(*cells)
                lines.append("| " + " | ".join(cells) + " |")
    if options.pairs:
        Console().print(table)
    else:
        lines = []
    if options.photos:
        found = images.find(options.photos)[: options.limit]
        photos = [images.to_uint8(images.read(each.path).rgb) for each in found]
        names = ("enlarged", "longest side", "as at 1x", "as rainy", "energy left", "s")
        table = Table(*names, title=f"{options.method}, {len(photos)} photographs")
        lines += ["", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        for factor in options.factors:
            of_photos = measure_photos(photos, factor, options.method)
            table.add_row(*of_photos)
            lines.append("| " + " | ".join(of_photos) + " |")
        Console().print(table)
    if options.markdown is not None:
        options.markdown.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    with exiting():
        main()
