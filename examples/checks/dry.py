"""What methods do to pictures without rain: whites, greys and photographs.

python examples/checks/dry.py PHOTOS [-m NAME[=WEIGHTS]]... [--limit 10] [--longest 640]
    [--crops crops.jpg] [--json FILE]

PHOTOS are folders of photographs without rain; what a method changes in them is its fault. The
table shows the colour that pure white and middle grey come back as, the PSNR and the largest shift
of mean colour (in grey levels) over the photographs, at full size and without --keep-dry, and the
share of pixels that change by more than 8 levels. Each method has two rows: the network alone, and
with the traces given back (rainkit.inference.traces), which is the result that users get where the
last column says so. ``--crops`` writes the 160 px square of each photograph that suffers most in
results that users get, before and after, a column for each method. ``--json`` writes the rows, with
the figures of each photograph.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rainkit import images, inference, plugins
from rainkit.errors import exiting
from rainkit.images import RGB8, Picture, shrink
from rainkit.inference import Derainer
from rainkit.inference.setup import set_up
from rainkit.inference.traces import spare_traces
from rainkit.runtime_options import RuntimeOptions

CROP = 160
CHANGED = 8


@dataclass
class Row:
    """What one method does."""

    name: str
    white: list[float]
    grey: list[float]
    used: bool
    psnr: list[float] = field(default_factory=list)
    shift: list[float] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)


def found(derainer: Derainer, picture: RGB8) -> tuple[RGB8, RGB8]:
    """Return what the network alone makes of a picture, and the same with traces given back."""
    alone = np.asarray(derainer.derain(picture))
    spared = alone.copy()
    spare_traces(picture, spared)
    return alone, spared


def photographs(folders: Sequence[Path], limit: int, longest: int) -> list[RGB8]:
    """Return the photographs, spread evenly over the folders' files, shrunk to a longest side."""
    paths = [each.path for each in images.find(folders)]
    chosen = paths[:: max(1, len(paths) // limit)][:limit]
    return [shrink(images.to_uint8(images.read(path).rgb), longest) for path in chosen]


def measure(
    name: str, derainer: Derainer, pictures: Sequence[RGB8], *, spared: bool
) -> tuple[tuple[Row, Row], list[RGB8]]:
    """Derain the pictures; return the scores of both ways, and the results that users get."""
    flats = [found(derainer, np.full((128, 128, 3), level, np.uint8)) for level in (255, 128)]
    means = [[each.reshape(-1, 3).mean(0).tolist() for each in both] for both in flats]
    rows = (
        Row(f"{name}, network alone", means[0][0], means[1][0], not spared),
        Row(f"{name}, traces spared", means[0][1], means[1][1], spared),
    )
    results = []
    for picture in track(pictures, name, console=Console(stderr=True), transient=True):
        both = found(derainer, picture)
        for row, result in zip(rows, both, strict=True):
            error = result.astype(np.float64) - picture
            row.psnr.append(10 * np.log10(255**2 / max(float(np.mean(error**2)), 1e-9)))
            row.shift.append(float(np.abs(error.reshape(-1, 3).mean(0)).max()))
            row.changed.append(float(np.mean(np.abs(error).max(2) > CHANGED)))
        results.append(both[spared])
    return rows, results


def crops(pictures: Sequence[RGB8], results: Sequence[Sequence[RGB8]]) -> RGB8:
    """Return a sheet: a row for each photograph, its worst square before and after."""
    rows = []
    for place, picture in enumerate(pictures):
        after = [of_method[place] for of_method in results]
        error = sum(np.abs(each.astype(np.float32) - picture).max(2) for each in after)
        sums = cv2.boxFilter(np.asarray(error, np.float32), -1, (CROP, CROP))
        half, (height, width) = CROP // 2, picture.shape[:2]
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        top = int(np.clip(row - half, 0, max(0, height - CROP)))
        left = int(np.clip(column - half, 0, max(0, width - CROP)))
        square = [each[top : top + CROP, left : left + CROP] for each in (picture, *after)]
        padded = [
            cv2.copyMakeBorder(s, 0, CROP - s.shape[0], 0, CROP - s.shape[1], cv2.BORDER_REPLICATE)
            for s in square
        ]
        rows.append(np.hstack(padded))
    return np.vstack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path, help="folders of photographs without rain")
    parser.add_argument("-m", "--method", action="append", help="repeatable (default: all)")
    parser.add_argument("--limit", type=int, default=10, help="photographs (default: 10)")
    parser.add_argument("--longest", type=int, default=640, help="longest side (default: 640)")
    parser.add_argument("--crops", type=Path, help="sheet of the squares that suffer most")
    parser.add_argument("--json", type=Path, help="file for the rows")
    given = parser.parse_args()
    methods = (plugins.get(row.name) for row in plugins.installed() if not row.problem)
    names = given.method or [method.name for method in methods if method.weights]
    pictures = photographs(given.photos, given.limit, given.longest)
    heads = ("method", "white", "grey 128", "PSNR dB", "worst", "shift", "changed %", "used")
    table = Table(*heads)
    for column in table.columns:
        column.no_wrap = True
    results, told = [], []
    for each in names:
        name, _, weights = each.partition("=")
        setup = set_up(name, RuntimeOptions(), weights=weights or None)
        derainer = inference.load(
            name, weights=weights or None, work_size="full", spare_traces=False
        )
        rows, derained = measure(each, derainer, pictures, spared=setup.spare_traces)
        results.append(derained)
        told += [asdict(row) for row in rows]
        for row in rows:
            table.add_row(
                row.name,
                ",".join(f"{level:.1f}" for level in row.white),
                ",".join(f"{level:.1f}" for level in row.grey),
                f"{fmean(row.psnr):.2f}",
                f"{min(row.psnr):.2f}",
                f"{fmean(row.shift):.2f}",
                f"{100 * fmean(row.changed):.2f}",
                "yes" if row.used else "",
            )
    Console().print(f"{len(pictures)} photographs, longest side {given.longest} px")
    Console(width=120).print(table)
    if given.json:
        given.json.write_text(f"{json.dumps(told, indent=1)}\n", encoding="utf-8")
    if given.crops:
        images.write(given.crops, Picture(crops(pictures, results)))


if __name__ == "__main__":
    with exiting():
        main()
