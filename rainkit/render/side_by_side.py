"""A page of photographs and of what several methods make of them: a column for each method.

The rainy picture comes first. All columns of a photograph zoom and move together, and a divider
shows the rainy picture on its left. The page is one file that loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup

import rainkit
from rainkit.errors import described
from rainkit.files import write_text
from rainkit.images import LUMA_WEIGHTS, RGB8, Pixels, to_uint8
from rainkit.render.html import render, shown_at_most, thumbnail, thumbnail_side
from rainkit.render.text_tables import TextTable, bold, plain, underlined

__all__ = [
    "Column",
    "Figure",
    "Photograph",
    "Result",
    "Shown",
    "ShownResult",
    "SideBySidePage",
    "Window",
    "side_by_side_page",
    "strongest_change",
    "to_show",
]

_PACKAGE = "rainkit.render"

_LARGER = 1.25
"""A photograph that is larger than its picture on the page by this factor gets a window."""

_THREADS = 2
"""Photographs that are read at a time; each is in memory with all of its results."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of the page.

    Attributes:
        name: its heading.
        note: what made its pictures, such as the weights and the device.
    """

    name: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure that stands below pictures.

    Attributes:
        name: its key in the mappings of figures.
        title: its words on the page.
        about: what it measures, with its unit, in a sentence without its full stop.
        form: how it is formatted.
    """

    name: str
    title: str
    about: str = ""
    form: str = ".2f"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What one column holds of one photograph.

    Attributes:
        read: reads the picture, [H,W,3] uint8 or uint16; None if there is none.
        missing: the reason why there is none.
        figures: its figures by name, as far as they are known.
        note: a remark below it, such as the time that it took.
        parts: further pictures of the method below it, by name, of the same size.
    """

    read: Callable[[], Pixels] | None = None
    missing: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    parts: Mapping[str, Callable[[], Pixels]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """A photograph and its results.

    Attributes:
        name: its caption.
        read: reads it, [H,W,3] uint8 or uint16.
        results: one result for each column, in their order.
        figures: its own figures.
    """

    name: str
    read: Callable[[], Pixels]
    results: tuple[Result, ...]
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Where the pixels of a large photograph are on the page in their full number, in percent."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownResult:
    """A result as the page shows it.

    Attributes:
        picture: bytes of a JPEG file; empty if there is no picture.
        window: bytes of the JPEG file of the photograph's window; empty without one.
        missing: the reason why there is no picture.
        figures: its figures by name.
        note: a remark below it.
        parts: bytes of the JPEG files of its parts, by name; one that cannot be read is left out.
    """

    picture: bytes = b""
    window: bytes = b""
    missing: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    parts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A photograph as the page shows it.

    Attributes:
        name: its caption.
        size: width and height of the photograph itself; of a picture that cannot be read 1 and 1.
        rainy: the photograph.
        results: one result for each column.
        window: the part of it that has all its pixels; None if the whole has.
    """

    name: str
    size: tuple[int, int]
    rainy: ShownResult
    results: tuple[ShownResult, ...]
    window: Window | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SideBySidePage:
    """The content of a page.

    Attributes:
        title: its heading.
        columns: the columns.
        photographs: the rows, from :func:`to_show`.
        figures: the figures below the pictures, in order.
        facts: facts about the run, by what they are of.
        tables: tables above the pictures.
        failures: what failed, and the reason.
        notes: lines above the pictures.
        left_out: number of photographs that are not shown, since they are too many for a page.
    """

    title: str
    columns: tuple[Column, ...]
    photographs: tuple[Shown, ...] = ()
    figures: tuple[Figure, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[TextTable, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    left_out: int = 0


Measure = Callable[[RGB8, RGB8], Mapping[str, float]]
"""Takes a photograph and its result, and returns further figures of the result by name."""


def to_show(
    photographs: Sequence[Photograph],
    *,
    measure: Measure | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> tuple[Shown, ...]:
    """Read photographs and results, measure them, and make the pictures of a page.

    A picture that cannot be read, or differs in size from its photograph, is missing on the page,
    with the reason. The first photographs are shown if there are too many for a page.

    Args:
        photographs: all with the same number of results.
        measure: what is measured of each result that is read.
        advance: called after each photograph with the number of those done and of all.
    """
    versions = 1 + max((len(each.results) for each in photographs), default=0)
    chosen = photographs[: shown_at_most(versions)]
    side = thumbnail_side(len(chosen), versions)
    found: list[Shown] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="rainkit-page") as pool:
        for each in pool.map(lambda photograph: _shown(photograph, side, measure), chosen):
            found.append(each)
            if advance is not None:
                advance(len(found), len(chosen))
    return tuple(found)


def side_by_side_page(page: SideBySidePage, path: Path, *, overwrite: bool = False) -> None:
    """Write a self-contained page, which forbids the browser to load anything.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    script = render(_PACKAGE, "side_by_side.js.j2")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    html = render(
        _PACKAGE,
        "side_by_side.html.j2",
        {"figure": _figure_text, "cell": plain, "emphasis": _emphasis},
        page=page,
        script=Markup(script),  # noqa: S704 - our own file
        digest=digest,
        version=rainkit.__version__,
    )
    # File names may hold bytes that are not UTF-8; these are shown as question marks.
    write_text(path, html, overwrite=overwrite, errors="replace")


def strongest_change(
    rainy: RGB8, results: Sequence[RGB8], share: tuple[float, float]
) -> tuple[float, float]:
    """Return the left and the top, as shares of the picture, of the window that changed most.

    Args:
        rainy: a picture [H,W,3].
        results: what was made of it, of the same size; if there are none, the window is in the
            middle.
        share: width and height of the window as shares of the picture, up to 1.
    """
    height, width = rainy.shape[:2]
    w, h = (max(1, round(side * part)) for side, part in zip((width, height), share, strict=True))
    if not results:
        return (width - w) / 2 / width, (height - h) / 2 / height
    change = np.zeros((height, width), np.float32)
    for each in results:
        change += cv2.transform(cv2.absdiff(rainy, each).astype(np.float32), LUMA_WEIGHTS)
    sums = cv2.integral(change)
    inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    top, left = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return float(left) / width, float(top) / height


def _shown(photograph: Photograph, side: int, measure: Measure | None) -> Shown:
    try:
        rainy = to_uint8(photograph.read())
    except Exception as error:  # the page is made of the others
        gone = ShownResult(missing=described(error))
        return Shown(
            name=photograph.name, size=(1, 1), rainy=gone, results=(gone,) * len(photograph.results)
        )
    pictures: list[RGB8 | None] = []
    shown: list[ShownResult] = []
    for result in photograph.results:
        picture, missing = _read(result, rainy)
        figures = dict(result.figures)
        if picture is not None and measure is not None:
            figures |= measure(rainy, picture)
        pictures.append(picture)
        parts = {} if picture is None else _parts(result, side)
        shown.append(ShownResult(missing=missing, figures=figures, note=result.note, parts=parts))
    height, width = rainy.shape[:2]
    window = None
    if max(width, height) > _LARGER * side:
        window = _window(rainy, [each for each in pictures if each is not None], side)

    def embedded(result: ShownResult, picture: RGB8 | None) -> ShownResult:
        if picture is None:
            return result
        return ShownResult(
            picture=thumbnail(picture, side),
            window=b"" if window is None else thumbnail(_cut(picture, window), side),
            figures=result.figures,
            note=result.note,
            parts=result.parts,
        )

    return Shown(
        name=photograph.name,
        size=(width, height),
        rainy=embedded(ShownResult(figures=photograph.figures), rainy),
        results=tuple(map(embedded, shown, pictures)),
        window=window,
    )


def _read(result: Result, rainy: RGB8) -> tuple[RGB8 | None, str]:
    """Return the picture, or None and the reason."""
    if result.read is None:
        return None, result.missing
    try:
        picture = to_uint8(result.read())
    except Exception as error:
        return None, described(error)
    if picture.shape != rainy.shape:
        (h, w), (rh, rw) = picture.shape[:2], rainy.shape[:2]
        return None, f"it is of {w}x{h}, and the photograph of {rw}x{rh}"
    return picture, ""


def _parts(result: Result, side: int) -> dict[str, bytes]:
    """Return thumbnails of the parts of a result, half as long as pictures."""
    found = {}
    for name, read in result.parts.items():
        with suppress(Exception):
            found[name] = thumbnail(read(), side // 2)
    return found


def _window(rainy: RGB8, results: Sequence[RGB8], side: int) -> Window:
    """Choose the window of a photograph: half as long as its picture on the page."""
    height, width = rainy.shape[:2]
    length = side // 2
    w, h = min(length, width), min(length, height)
    scale = side / max(width, height)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))

    def shrunk(picture: RGB8) -> RGB8:
        return np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8)

    share = (w / width, h / height)
    left, top = strongest_change(shrunk(rainy), list(map(shrunk, results)), share)
    x, y = min(round(left * width), width - w), min(round(top * height), height - h)
    return Window(
        left=100 * x / width, top=100 * y / height, width=100 * w / width, height=100 * h / height
    )


def _cut(picture: RGB8, window: Window) -> RGB8:
    height, width = picture.shape[:2]
    x, y = round(window.left * width / 100), round(window.top * height / 100)
    w, h = round(window.width * width / 100), round(window.height * height / 100)
    return np.ascontiguousarray(picture[y : y + h, x : x + w])


def _figure_text(figure: Figure, figures: Mapping[str, float]) -> str:
    value = figures.get(figure.name)
    if value is None:
        return ""
    return "not defined" if np.isnan(value) else format(value, figure.form)


def _emphasis(cell: str) -> str:
    """Return the class of a cell: the best is bold, and the second best underlined."""
    if cell != plain(cell):
        return {bold(plain(cell)): "best", underlined(plain(cell)): "second"}.get(cell, "")
    return ""
