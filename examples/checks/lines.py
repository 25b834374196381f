"""Thin bright lines of scenes, which must stay: what methods take off posts, letters and railings.

python examples/checks/lines.py OUT [PHOTOS...] [-m NAME[=WEIGHTS]]... [--as-found]

Scenes without rain are drawn: posts, railings, letters, brick walls, pitch lines and wires. If
folders of photographs without rain are given, the square with most thin bright lines is cut out of
each. Every method derains them, and OUT/lines.html shows each scene, each result, and the
difference five times amplified (grey is no change), below a table of the contrast that lines lose:
100 % if they vanish, 0 % if they stay. The contrast is the luma of the lines above what surrounds
them. OUT/lines.png is the page's sheet as one picture, OUT/lines.md its table.
"""

from __future__ import annotations

import argparse
import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from rainkit import images, inference, plugins
from rainkit.errors import exiting
from rainkit.files import write_text
from rainkit.images import LUMA_WEIGHTS, RGB8, Picture
from rainkit.render import text_tables

SIDE = 256
AMPLIFIED = 5
AROUND = 15  # px; side of the square that lines are compared with
THIN = 9  # px; lines of photographs are thinner
BRIGHT = 15  # levels above the surroundings that make a line of a photograph

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Scene:
    """A picture with lines, and where they are."""

    kind: str
    rgb: RGB8
    lines: Mask


def background(rng: np.random.Generator) -> RGB8:
    """Return a smooth background with a little grain, darker than the lines."""
    coarse = rng.uniform(40, 120, (5, 5, 3)).astype(np.float32)
    coarse = coarse.mean(axis=2, keepdims=True) + 0.25 * (coarse - coarse.mean())
    smooth = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth + rng.normal(0, 2.0, (SIDE, SIDE, 1)), 0, 255), np.uint8)


def posts(mask: RGB8, _: np.random.Generator) -> None:
    """Draw upright posts of three widths."""
    for number, left in enumerate(range(20, SIDE, 44)):
        width = (2, 3, 5)[number % 3]
        cv2.rectangle(mask, (left, 50), (left + width - 1, 215), 255, -1)


def railings(mask: RGB8, _: np.random.Generator) -> None:
    """Draw a railing of thin bars between two handrails."""
    for top in (80, 190):
        cv2.line(mask, (0, top), (SIDE, top), 255, 3)
    for left in range(6, SIDE, 12):
        cv2.line(mask, (left, 80), (left, 190), 255, 1)


def letters(mask: RGB8, _: np.random.Generator) -> None:
    """Write a sign."""
    texts = (
        ("HILL 1471", 1.3, 3),
        ("Library till 11", 0.8, 2),
        ("Exit to lift, flats 1-47", 0.5, 1),
    )
    for number, (text, size, thick) in enumerate(texts):
        place = (12, 80 + 55 * number)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(mask, text, place, font, size, 255, thick, cv2.LINE_AA)


def bricks(mask: RGB8, _: np.random.Generator) -> None:
    """Draw the mortar of a wall."""
    for row, top in enumerate(range(0, SIDE, 18)):
        cv2.line(mask, (0, top), (SIDE, top), 255, 2)
        for left in range(-20 + 20 * (row % 2), SIDE, 40):
            cv2.line(mask, (left, top), (left, top + 18), 255, 2)


def pitch_lines(mask: RGB8, _: np.random.Generator) -> None:
    """Draw the lines of a football pitch as they are seen from the stand."""
    for start, end in (((0, 60), (256, 90)), ((0, 210), (256, 235)), ((60, 67), (20, 212))):
        cv2.line(mask, start, end, 255, 3, cv2.LINE_AA)
    cv2.line(mask, (200, 84), (225, 232), 255, 2, cv2.LINE_AA)
    cv2.ellipse(mask, (128, 150), (60, 28), 5, 0, 360, 255, 2, cv2.LINE_AA)


def wires(mask: RGB8, rng: np.random.Generator) -> None:
    """Draw wires, some of them as steep as rain."""
    for number in range(8):
        left, lean = 20 + 30 * number, int(rng.integers(-40, 60))
        cv2.line(mask, (left, 0), (left + lean, SIDE), 255, 1, cv2.LINE_AA)
    cv2.line(mask, (0, 40), (SIDE, 75), 255, 1, cv2.LINE_AA)


KINDS: tuple[Callable[[RGB8, np.random.Generator], None], ...] = (
    posts,
    railings,
    letters,
    bricks,
    pitch_lines,
    wires,
)


def drawn_scenes() -> list[Scene]:
    """Return a scene of each kind, the same ones every time."""
    scenes = []
    for number, draw in enumerate(KINDS):
        rng = np.random.default_rng([7, number])
        mask = np.zeros((SIDE, SIDE), np.uint8)
        draw(mask, rng)
        share = mask.astype(np.float32)[..., None] / 255 * 0.9
        rgb = background(rng) * (1 - share) + 215 * share
        kind = draw.__name__.replace("_", " ")
        scenes.append(Scene(kind, np.asarray(np.rint(rgb), np.uint8), mask > 127))
    return scenes


def luma(rgb: RGB8) -> Any:
    """Return the luma [H,W] in levels."""
    return cv2.transform(rgb.astype(np.float32), LUMA_WEIGHTS)


def photograph(rgb: RGB8, name: str) -> Scene:
    """Return the square of a photograph that has most thin bright lines."""
    plane = luma(rgb)
    ridge = cv2.morphologyEx(plane, cv2.MORPH_TOPHAT, np.ones((THIN, THIN), np.uint8))
    found = np.asarray(ridge > BRIGHT)
    side_y, side_x = min(SIDE, rgb.shape[0]), min(SIDE, rgb.shape[1])
    sums = cv2.boxFilter(found.astype(np.float32), -1, (side_x, side_y))
    row, column = np.unravel_index(int(sums.argmax()), sums.shape)
    top = int(np.clip(row - side_y // 2, 0, rgb.shape[0] - side_y))
    left = int(np.clip(column - side_x // 2, 0, rgb.shape[1] - side_x))
    rows, columns = slice(top, top + side_y), slice(left, left + side_x)
    return Scene(f"photograph {name}", rgb[rows, columns].copy(), found[rows, columns])


def contrast(rgb: RGB8, lines: Mask) -> float:
    """Return the mean luma of lines above their surroundings in levels."""
    if not lines.any():
        return 0.0
    plane = luma(rgb)
    near = cv2.dilate(lines.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    around = (~near).astype(np.float32)
    size = (AROUND, AROUND)
    count = cv2.boxFilter(around, -1, size, normalize=False)
    level = cv2.boxFilter(plane * around, -1, size, normalize=False) / np.maximum(count, 1)
    seen = lines & (count > 0)
    return float((plane - level)[seen].mean()) if seen.any() else 0.0


def lost(before: float, after: float) -> float:
    """Return the share of the contrast that is lost, in percent."""
    return 100 * (1 - after / before) if before > 1 else 0.0


def amplified(result: RGB8, rgb: RGB8) -> RGB8:
    """Return the change of a picture around middle grey, amplified."""
    change = (result.astype(np.float32) - rgb) * AMPLIFIED
    return np.asarray(np.clip(128 + change, 0, 255), np.uint8)


def sheet(scenes: Sequence[Scene], results: Sequence[Sequence[RGB8]]) -> RGB8:
    """Return one picture: a row for each scene; the scene, then result and change per method."""
    rows = []
    for place, scene in enumerate(scenes):
        cells = [scene.rgb]
        for of_method in results:
            cells += [of_method[place], amplified(of_method[place], scene.rgb)]
        pads = [(SIDE - each.shape[0], SIDE - each.shape[1]) for each in cells]
        cells = [
            np.pad(each, ((2, down + 2), (2, right + 2), (0, 0)))
            for each, (down, right) in zip(cells, pads, strict=True)
        ]
        rows.append(np.hstack(cells))
    return np.vstack(rows)


def picture_tag(rgb: RGB8) -> str:
    """Return an HTML element that holds a picture."""
    _, code = cv2.imencode(".png", rgb[..., ::-1])
    data = base64.b64encode(code.tobytes()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="">'


def page(
    scenes: Sequence[Scene], names: Sequence[str], results: Sequence[Sequence[RGB8]], rows: Rows
) -> str:
    """Return the page."""
    head = "".join(f"<th>{html.escape(name)}" for name in names)
    body = "".join(
        f"<tr><th>{html.escape(kind)}" + "".join(f"<td>{each:.1f}" for each in figures)
        for kind, figures in rows
    )
    titles = "".join(f"<th>{html.escape(name)}<th>change x{AMPLIFIED}" for name in names)
    crops = ""
    for place, scene in enumerate(scenes):
        cells = [scene.rgb]
        for of_method in results:
            cells += [of_method[place], amplified(of_method[place], scene.rgb)]
        crops += f"<tr><th>{html.escape(scene.kind)}"
        crops += "".join(f"<td>{picture_tag(each)}" for each in cells)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Lines that must stay</title>'
        "<style>body{font:15px system-ui;margin:2em}th,td{padding:.3em .6em;text-align:right}"
        "th:first-child{text-align:left}img{image-rendering:pixelated}"
        "table{border-collapse:collapse;margin:1em 0}tr{border-bottom:1px solid #ccc}</style>"
        "<h1>Lines that must stay</h1><p>Contrast that thin bright lines lose, in percent, in "
        f"scenes without rain.</p><table><tr><th>lines{head}{body}</table>"
        f"<table><tr><th>lines<th>scene{titles}{crops}</table></html>\n"
    )


Rows = list[tuple[str, list[float]]]


def table(scenes: Sequence[Scene], results: Sequence[Sequence[RGB8]]) -> Rows:
    """Return the lost contrast in percent per kind and method, and that of all photographs."""
    rows: Rows = []
    for place, scene in enumerate(scenes):
        before = contrast(scene.rgb, scene.lines)
        figures = [lost(before, contrast(each[place], scene.lines)) for each in results]
        rows.append((scene.kind, figures))
    drawn = [figures for kind, figures in rows if not kind.startswith("photograph")]
    photos = [figures for kind, figures in rows if kind.startswith("photograph")]
    for name, some in (("drawn scenes, mean", drawn), ("photographs, mean", photos)):
        if some:
            rows.append((name, [fmean(each) for each in zip(*some, strict=True)]))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the page")
    parser.add_argument("photos", nargs="*", type=Path, help="folders of photographs without rain")
    parser.add_argument("-m", "--method", action="append", help="repeatable (default: all)")
    parser.add_argument("--limit", type=int, default=8, help="photographs (default: 8)")
    parser.add_argument("--as-found", action="store_true", help="the network's own results")
    given = parser.parse_args(arguments)
    found = (plugins.get(row.name) for row in plugins.installed() if not row.problem)
    names = given.method or [method.name for method in found if method.weights]
    scenes = drawn_scenes()
    if given.photos:
        paths = [each.path for each in images.find(given.photos)]
        for path in paths[:: max(1, len(paths) // given.limit)][: given.limit]:
            scenes.append(photograph(images.to_uint8(images.read(path).rgb), path.stem))
    results = []
    for each in names:
        name, _, weights = each.partition("=")
        traces = False if given.as_found else None
        derainer = inference.load(
            name, weights=weights or None, work_size="full", spare_traces=traces
        )
        shown = track(scenes, each, console=Console(stderr=True), transient=True)
        results.append([np.asarray(derainer.derain(scene.rgb)) for scene in shown])
    rows = table(scenes, results)
    given.out.mkdir(parents=True, exist_ok=True)
    cells = [[kind, *(f"{each:.1f}" for each in figures)] for kind, figures in rows]
    lines = "\n".join(text_tables.markdown(("lost contrast in %", *names), cells))
    write_text(given.out / "lines.md", lines + "\n", overwrite=True)
    write_text(given.out / "lines.html", page(scenes, names, results, rows), overwrite=True)
    images.write(given.out / "lines.png", Picture(sheet(scenes, results)), overwrite=True)
    Console().print(lines, markup=False)


if __name__ == "__main__":
    with exiting():
        main()
