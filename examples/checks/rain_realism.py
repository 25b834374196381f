"""Streaks of real photographs and of training rain side by side, as a table and a page.

python examples/checks/rain_realism.py PHOTOS --clean CLEAN -o realism.html [--set data.NAME=VALUE]

PHOTOS are photographs of real rain, CLEAN rain-free ones. Streaks are segmented in the photographs
of rain, in training samples with rain on the fly over CLEAN (of the settings that --set changes),
and in CLEAN as it is, where all that is found belongs to scenes. Each picture counts alike, however
many streaks it has. The last columns say which share of the real streaks lies between the 2nd and
the 98th percentile of the drawn ones.
"""

from __future__ import annotations

import argparse
import base64
import html
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.datasets.sources.mixed import Batch, collate
from rainkit.errors import exiting
from rainkit.images import RGB8
from rainkit.rain.realism import Streaks, segment
from rainkit.training import run_config

Floats = npt.NDArray[np.float64]
POINTS = (2, 10, 25, 50, 75, 90, 98)
COLOURS = {"real": "#1769aa", "drawn": "#d9730d", "rain-free": "#888888"}
MEASURES: dict[str, tuple[str, Callable[[Streaks, float], npt.NDArray[Any]]]] = {
    "length": ("length in px", lambda s, side: s.length_px),
    "width": ("width in px", lambda s, side: s.width_px),
    "aspect": ("length / width", lambda s, side: s.length_px / s.width_px),
    "contrast": ("contrast in levels", lambda s, side: s.contrast),
    "edge": ("width of edges in px", lambda s, side: s.edge_px),
    "relative": ("length in % of the longer side", lambda s, side: 100 * s.length_px / side),
    "density": ("streaks in 100 x 100 px", lambda s, side: np.array([s.density])),
    "coverage": ("% of the picture covered", lambda s, side: np.array([100 * s.coverage])),
}


class Found(NamedTuple):
    """Pictures of one kind, the streaks in them, and the longer side of what each is a part of."""

    name: str
    pictures: list[RGB8]
    streaks: list[Streaks]
    sides: list[float]


class Values(NamedTuple):
    """Values of a measure over all pictures, sorted, and the share of the weight up to each."""

    value: Floats
    share: Floats

    @classmethod
    def of(cls, found: Found, measure: str) -> Values:
        each = zip(found.streaks, found.sides, strict=True)
        parts = [np.asarray(MEASURES[measure][1](s, side), np.float64) for s, side in each]
        parts = [part for part in parts if part.size]
        value = np.concatenate(parts)
        weight = np.concatenate([np.full(part.size, 1 / part.size) for part in parts])
        order = np.argsort(value)
        share = np.cumsum(weight[order])
        return cls(value[order], share / share[-1])

    def percentiles(self) -> list[float]:
        return [float(np.interp(p / 100, self.share, self.value)) for p in POINTS]

    def within(self, low: float, high: float) -> float:
        weight = np.diff(self.share, prepend=0.0)
        return float(weight[(self.value >= low) & (self.value <= high)].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", nargs="+", help="photographs of real rain")
    parser.add_argument("--clean", nargs="+", required=True, help="rain-free photographs")
    parser.add_argument("--set", action="append", default=[], help="data.NAME=VALUE")
    parser.add_argument("--samples", type=int, default=200, help="training samples")
    parser.add_argument("--patch", type=int, default=256, help="side of a sample in px")
    parser.add_argument("-o", "--output", type=Path, help="page to write")
    options = parser.parse_args()
    section = run_config.with_settings({}, options.set)
    request = run_config.data_request(section, {"clean": options.clean})
    real, clean = (
        found(name, [read(path) for path in listed(*inputs)])
        for name, inputs in (("real", options.photos), ("rain-free", options.clean))
    )
    # Samples are crops of photographs that were shrunk by a random scale.
    side = float(np.median(clean.sides)) * (request.shrink + 1) / 2
    kinds = [real, found("drawn", sampled(request, options.samples, options.patch), side), clean]
    rows = table(kinds)
    for row in rows:
        print("  ".join(f"{cell:>{32 if not n else 9}}" for n, cell in enumerate(row)))
    if options.output is not None:
        options.output.write_text(page(kinds, rows), encoding="utf-8")
        print(f"wrote {options.output}", file=sys.stderr)


def listed(*inputs: str) -> list[Path]:
    return [each.path for each in images.find(inputs)]


def read(path: Path) -> RGB8:
    return images.to_uint8(images.read(path).rgb)


def found(name: str, pictures: list[RGB8], side: float | None = None) -> Found:
    sides = [float(max(picture.shape[:2])) if side is None else side for picture in pictures]
    return Found(name, pictures, [segment(picture) for picture in pictures], sides)


def sampled(request: DataRequest, count: int, patch: int) -> list[RGB8]:
    wet = replace(request, rain_free=0.0)
    source = open_sources(wet, Training(patch=patch, augment="hflip"), seed=0)
    pictures = []
    for k in range(count):
        sample = source[k]
        batch = collate([sample])
        if not isinstance(batch, Batch):
            raise SystemExit(str(batch))
        rainy = batch.on(torch.device("cpu"))[0][0]
        pictures.append(np.ascontiguousarray(rainy.permute(1, 2, 0).numpy()))
    return pictures


def table(kinds: Sequence[Found]) -> list[list[str]]:
    rows = [["", "", *(f"{p} %" for p in POINTS), "covered"]]
    for measure, (title, _) in MEASURES.items():
        values = {kind.name: Values.of(kind, measure) for kind in kinds}
        low, *_, high = values["drawn"].percentiles()
        for kind in kinds:
            spread = [f"{value:.3g}" for value in values[kind.name].percentiles()]
            covered = f"{values[kind.name].within(low, high):.0%}" if kind.name == "real" else ""
            rows.append([title, kind.name, *spread, covered])
    return rows


def page(kinds: Sequence[Found], rows: Sequence[Sequence[str]]) -> str:
    head, *body = ("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) for row in rows)
    plots = "".join(histogram(kinds, measure) for measure in MEASURES)
    sheets = "".join(sheet(kind) for kind in kinds)
    numbers = ", ".join(
        f"{len(kind.pictures)} {kind.name} pictures with {sum(map(len, kind.streaks)):,} streaks"
        for kind in kinds
    )
    return (
        "<!doctype html><meta charset=utf-8><title>Real and drawn rain</title><style>"
        "body{font:14px sans-serif;max-width:1240px;margin:2em auto;padding:0 1em}"
        "td{padding:2px 10px;text-align:right;border-bottom:1px solid #ddd}"
        "td:first-child{text-align:left}svg{margin:6px}img{max-width:100%}</style>"
        f"<h1>Streaks of real photographs and of training rain</h1><p>{numbers}. Each picture "
        "counts alike. Percentiles; the last column is the share of real values between the 2nd "
        f"and the 98th percentile of the drawn ones.</p><table>{head}{''.join(body)}</table>"
        f"<h2>Distributions</h2>{plots}{sheets}"
    )


def histogram(kinds: Sequence[Found], measure: str, wide: int = 290, high: int = 150) -> str:
    """Return a small figure of the measure's distributions on a logarithmic axis."""
    all_values = [Values.of(kind, measure) for kind in kinds]
    ends = np.array([v.percentiles() for v in all_values])
    low, top = max(float(ends.min()), 1e-2), float(ends.max()) * 1.2
    edges = np.geomspace(low, top, 26)
    lines = []
    for kind, values in zip(kinds, all_values, strict=True):
        weight = np.diff(values.share, prepend=0.0)
        counts, _ = np.histogram(np.clip(values.value, low, top), edges, weights=weight)
        x = np.linspace(0, wide, len(counts))
        y = high - 24 - (high - 44) * counts / 0.25
        path = " ".join(f"{a:.1f},{max(b, 16):.1f}" for a, b in zip(x, y, strict=True))
        colour = COLOURS[kind.name]
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    ticks = "".join(
        f'<text x="{place * (wide - 30):.0f}" y="{high - 8}" font-size="11">{value:.3g}</text>'
        for place, value in ((p, low * (top / low) ** p) for p in (0, 0.33, 0.67, 1))
    )
    key = "".join(
        f'<text x="{150 + 50 * n}" y="12" font-size="11" fill="{colour}">{name}</text>'
        for n, (name, colour) in enumerate(COLOURS.items())
    )
    title = html.escape(MEASURES[measure][0])
    return (
        f'<svg width="{wide}" height="{high}"><text x="0" y="12" font-size="11">{title[:26]}</text>'
        f"{key}{''.join(lines)}{ticks}</svg>"
    )


def sheet(kind: Found, side: int = 256, count: int = 20) -> str:
    """Return parts of pictures at their own size, from their middle."""
    chosen = [kind.pictures[n] for n in np.linspace(0, len(kind.pictures) - 1, count).astype(int)]
    parts = []
    for picture in chosen:
        top, left = (max(0, (length - side) // 2) for length in picture.shape[:2])
        part = picture[top : top + side, left : left + side]
        down, right = side - part.shape[0], side - part.shape[1]
        parts.append(cv2.copyMakeBorder(part, 0, down, 0, right, cv2.BORDER_CONSTANT))
    rows = [np.hstack(parts[start : start + 5]) for start in range(0, count, 5)]
    _, code = cv2.imencode(".jpg", np.vstack(rows)[..., ::-1])
    data = base64.b64encode(code.tobytes()).decode()
    return f'<h2>{kind.name}</h2><img src="data:image/jpeg;base64,{data}">'


if __name__ == "__main__":
    with exiting():
        main()
