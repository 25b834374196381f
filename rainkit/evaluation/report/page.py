"""The page of an evaluation: one HTML file with tables, plots and pictures."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

import rainkit
from rainkit.errors import ImageError, described
from rainkit.evaluation.report.data import (
    EvalReport,
    EvalResult,
    PanelPictures,
)
from rainkit.evaluation.report.means import SummaryTable, eval_latex, summary
from rainkit.evaluation.report.plots import (
    PARTS_FILE,
    EvalPlot,
    eval_plots,
    parts_plots,
    write_parts,
    write_plots,
)
from rainkit.evaluation.scores import Score
from rainkit.files import write_text
from rainkit.images import RGB8, shrink
from rainkit.render.html import render, thumbnail
from rainkit.render.text_tables import write_texts

__all__ = [
    "REPORT_FILES",
    "SCALE",
    "Panel",
    "Panels",
    "choose",
    "colour_bar",
    "error_map",
    "eval_page",
    "panels",
    "rain_layer",
    "write_report",
]


_PACKAGE = "rainkit.evaluation.report"

SCALE = 32
"""Grey levels at the upper end of every error map, so that maps of different pages compare."""

PICKS = ("worst", "median", "best")
_KINDS = ("input", "result", "target", "error", "rain")
_STEPS = (1.0, 0.8, 0.64, 0.5, 0.4, 0.3)
_MAP = cv2.COLORMAP_INFERNO


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One picture of the page.

    Attributes:
        method: the method whose result it is.
        dataset: the picture's dataset.
        pick: worst, median, best or only.
        score: its figures.
        size: width and height of the pictures as embedded.
        pictures: keys of :attr:`Panels.jpegs` by kind: input, result, target, error, rain.
    """

    method: str
    dataset: str
    pick: str
    score: Score
    size: tuple[int, int]
    pictures: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panels:
    """All pictures of the page; a picture that several panels show is held once.

    Attributes:
        panels: in order.
        jpegs: data URIs by key.
        side: longest side in pixels of the pictures as embedded.
        notes: what is not shown, and why.
    """

    panels: tuple[Panel, ...] = ()
    jpegs: Mapping[str, str] = field(default_factory=dict)
    side: int = 0
    notes: tuple[str, ...] = ()


def choose(scores: Sequence[Score]) -> list[tuple[str, Score]]:
    """Return the worst, median and best pictures by gain in PSNR, or by PSNR without an input.

    Of two pictures there is no median, and a single one is called ``only``.
    """
    gains = all(score.psnr_gain is not None for score in scores)

    def rank(score: Score) -> float:
        return (score.psnr_gain or 0.0) if gains else score.psnr

    # NaN comes of no order; infinity is a good result.
    ranked = sorted((s for s in scores if not math.isnan(rank(s))), key=lambda s: (rank(s), s.name))
    if not ranked:
        return []
    if len(ranked) == 1:
        return [("only", ranked[0])]
    if len(ranked) == 2:
        return [("worst", ranked[0]), ("best", ranked[1])]
    return list(zip(PICKS, (ranked[0], ranked[len(ranked) // 2], ranked[-1]), strict=True))


def panels(results: Sequence[EvalResult], *, most: int, side: int, budget: int) -> Panels:
    """Read and embed the pictures.

    Args:
        results: of one protocol.
        most: the largest number of panels; medians are left out first, then the last results.
        side: longest side of a picture in pixels; it is reduced to fit the budget.
        budget: the largest size of all embedded pictures together, in bytes.
    """
    chosen = [(r, pick, s) for r in results if r.load for pick, s in choose(r.pictures)]
    notes = []
    if len(chosen) > most:
        without = [each for each in chosen if each[1] != "median"]
        kept = without[:most] if len(without) >= most else _thinned(chosen, most)
        notes.append(
            f"{len(chosen) - len(kept)} of {len(chosen)} pictures are left out of the page"
        )
        chosen = kept
    read: list[tuple[EvalResult, str, Score, dict[str, RGB8]]] = []
    for result, pick, score in chosen:
        try:
            read.append((result, pick, score, _pictures(result, score.name, side)))
        except Exception as error:  # the page is made of the others
            where = f"{result.method} on {result.dataset}, {score.name}"
            notes.append(f"{where} cannot be shown: {described(error)}")
    jpegs: dict[str, str] = {}
    found: list[Panel] = []
    shown_side = side
    for step in _STEPS:
        jpegs, found, shown_side = {}, [], round(side * step)
        for result, pick, score, pictures in read:
            keys = {kind: _embed(kind, rgb, shown_side, jpegs) for kind, rgb in pictures.items()}
            height, width = pictures["target"].shape[:2]
            scale = min(1.0, shown_side / max(height, width))
            found.append(
                Panel(
                    method=result.method,
                    dataset=result.dataset,
                    pick=pick,
                    score=score,
                    size=(max(1, round(width * scale)), max(1, round(height * scale))),
                    pictures=keys,
                )
            )
        if sum(map(len, jpegs.values())) <= budget:
            break
    return Panels(panels=tuple(found), jpegs=jpegs, side=shown_side, notes=tuple(notes))


def error_map(restored: RGB8, target: RGB8) -> npt.NDArray[np.float32]:
    """Return the mean of the channels' absolute differences [H,W], in grey levels (0 to 255)."""
    difference = cv2.absdiff(restored, target).astype(np.float32)
    return np.asarray(difference.mean(axis=2), np.float32)


def rain_layer(rainy: RGB8, restored: RGB8) -> RGB8:
    """Return what the method took away, input minus result around mid-grey, [H,W,3]."""
    difference = rainy.astype(np.int16) - restored.astype(np.int16) + 128
    return np.clip(difference, 0, 255).astype(np.uint8)


def colour_bar(steps: int = 16) -> list[str]:
    """Return the colours of the error map from 0 to :data:`SCALE` levels, as CSS."""
    grey = np.linspace(0, 255, steps + 1).round().astype(np.uint8)[None]
    bgr = cv2.applyColorMap(grey, _MAP)[0]
    return [f"#{r:02x}{g:02x}{b:02x}" for b, g, r in bgr.tolist()]


def _thinned(
    chosen: Sequence[tuple[EvalResult, str, Score]], most: int
) -> list[tuple[EvalResult, str, Score]]:
    """Leave out as many medians, from the last on, as there are too many panels."""
    medians = [i for i, each in enumerate(chosen) if each[1] == "median"]
    dropped = set(medians[len(medians) - (len(chosen) - most) :])
    return [each for i, each in enumerate(chosen) if i not in dropped]


def _pictures(result: EvalResult, name: str, side: int) -> dict[str, RGB8]:
    """Return the pictures by kind, shrunk to the longest side; the error map is still grey.

    Raises:
        RainkitError: they cannot be read, or do not belong together.
    """
    if result.load is None:
        raise ImageError("there are no pictures")
    loaded: PanelPictures = result.load(name)
    found = {"result": loaded.restored, "target": loaded.target}
    if loaded.rainy is not None:
        found = {"input": loaded.rainy, **found}
    if len({picture.shape for picture in found.values()}) > 1:
        raise ImageError("input, result and target differ in size")
    # Differences of full-size pictures, shrunk: those of shrunk pictures would be smaller.
    levels = shrink(error_map(loaded.restored, loaded.target), side)
    grey = np.clip(np.rint(levels * (255 / SCALE)), 0, 255).astype(np.uint8)
    small: dict[str, RGB8] = {
        kind: np.asarray(shrink(rgb, side), np.uint8) for kind, rgb in found.items()
    }
    small["error"] = grey
    if loaded.rainy is not None:
        layer = rain_layer(loaded.rainy, loaded.restored)
        small["rain"] = np.asarray(shrink(layer, side), np.uint8)
    return {kind: small[kind] for kind in _KINDS if kind in small}


def _embed(kind: str, pixels: RGB8, side: int, jpegs: dict[str, str]) -> str:
    """Embed a picture and return its key, which equal pictures share."""
    if kind == "error":
        bgr = cv2.applyColorMap(np.asarray(shrink(pixels, side), np.uint8), _MAP)
        pixels = np.ascontiguousarray(bgr[..., ::-1], np.uint8)
    jpeg = thumbnail(np.ascontiguousarray(pixels), side)
    key = hashlib.sha256(jpeg).hexdigest()[:12]
    jpegs[key] = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
    return key


_MOST_ROWS = 20_000  # per-image rows; more would make the page slow to open


def eval_page(
    report: EvalReport,
    path: Path,
    *,
    overwrite: bool = False,
    most_panels: int = 36,
    side: int = 640,
    budget: int = 6_500_000,
) -> None:
    """Write a self-contained page, which forbids the browser to load anything.

    Args:
        report: what to show.
        path: the file to make.
        overwrite: replace an existing file.
        most_panels: the largest number of panels with slider, error map and rain layer.
        side: longest side of their pictures in pixels; it is reduced to fit the budget.
        budget: the largest size of all pictures of the page together, in bytes.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    protocol = report.labels[0] if report.labels else ""
    leading = report.leading
    shown = panels(leading, most=most_panels, side=side, budget=budget)
    script = render(_PACKAGE, "eval.js.j2")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    html = render(
        _PACKAGE,
        "eval.html.j2",
        {"signed": _signed},
        report=report,
        protocol=protocol,
        tables=[summary(report, label) for label in report.labels],
        parts=parts_plots(report.under(protocol)),
        sections=_sections(report, leading, shown),
        shown=shown,
        jpegs=dict(shown.jpegs),
        pictures=_rows(report, leading, shown),
        bar=colour_bar(),
        scale=SCALE,
        script=Markup(script),  # noqa: S704 - our own file
        digest=digest,
        version=rainkit.__version__,
    )
    # File names may hold bytes that are no UTF-8; they are shown as question marks.
    write_text(path, html, overwrite=overwrite, errors="replace")


def _sections(
    report: EvalReport, leading: tuple[EvalResult, ...], shown: Panels
) -> list[dict[str, Any]]:
    """Return a section per dataset: its plots and, by method, its panels."""
    sections = []
    for dataset in dict.fromkeys(each.dataset for each in leading):
        own = [each for each in leading if each.dataset == dataset]
        numbered = [(i, p) for i, p in enumerate(shown.panels) if p.dataset == dataset]
        by_method: dict[str, list[Any]] = {}
        for i, panel in numbered:
            by_method.setdefault(panel.method, []).append((i, panel))
        plots: list[EvalPlot] = eval_plots(own, report.methods)
        by_gain = any(score.psnr_gain is not None for each in own for score in each.pictures)
        sections.append({"name": dataset, "plots": plots, "panels": by_method, "by_gain": by_gain})
    return sections


def _rows(report: EvalReport, leading: tuple[EvalResult, ...], shown: Panels) -> dict[str, Any]:
    """Return the data from which the page's script fills the per-image table."""
    table: SummaryTable | None = summary(report, leading[0].protocol) if leading else None
    columns = [
        {"name": column.name, "title": column.title, "digits": int(column.form[-2])}
        | {"sign": column.form.startswith("+")}
        for column in (table.columns if table else ())
    ]
    rates = any(score.rate_mm_h is not None for each in leading for score in each.pictures)
    if rates:
        columns.append({"name": "rate_mm_h", "title": "mm/h", "digits": 1, "sign": False})
    seen = {(p.method, p.dataset, p.score.name): i for i, p in enumerate(shown.panels)}
    names = [str(column["name"]) for column in columns]
    rows = [
        [
            each.dataset,
            score.name,
            each.method,
            seen.get((each.method, each.dataset, score.name)),
            *(_json_number(_value(score, name)) for name in names),
        ]
        for each in leading
        for score in each.pictures
    ]
    return {"columns": columns, "rows": rows[:_MOST_ROWS], "all": len(rows)}


def _value(score: Score, name: str) -> float | None:
    extras = dict(score.extras)
    if name in extras:
        return extras[name]
    value: float | None = getattr(score, name, None)
    return value


def _json_number(value: float | None) -> float | str | None:
    """Return a figure for JSON, which has no infinity; the page shows fewer than six digits."""
    if value is None or math.isnan(value):
        return None
    return round(value, 6) if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _signed(value: float, digits: int) -> str:
    return format(value, f"+.{digits}f")


REPORT_FILES = (
    *("index.html", "table.tex"),
    *("boxplot.svg", "gain.svg", "rain_rate.svg", "averages.svg", "cost.svg", PARTS_FILE),
)
"""The files that :func:`write_report` may make."""


def write_report(report: EvalReport, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write ``index.html``, ``table.tex`` and the plots, and return their paths.

    Raises:
        FileError: a file exists and ``overwrite`` is off, or cannot be written.
    """
    page = folder / "index.html"
    eval_page(report, page, overwrite=overwrite)
    latex = write_texts(folder, {"table.tex": eval_latex(report)}, overwrite=overwrite)
    plots = write_plots(report.results, folder, overwrite=overwrite)
    parts = write_parts(report.results, folder, overwrite=overwrite)
    return (page, *latex, *plots, *parts)
