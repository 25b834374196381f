"""The page of an evaluation: one HTML file with tables, plots and pictures."""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import rainkit
from rainkit.files import atomic_path
from rainkit.reports.eval_data import EvalPlot, EvalReport, EvalResult, PictureScore
from rainkit.reports.eval_panels import SCALE, Panels, colour_bar, panels
from rainkit.reports.eval_parts import parts_plots
from rainkit.reports.eval_plots import eval_plots
from rainkit.reports.eval_summary import SummaryTable, summary

__all__ = ["eval_page"]

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
    """Write a self-contained page; it asks the network for nothing, and says so to the browser.

    Args:
        report: what to show.
        path: the file to make.
        overwrite: replace an existing file.
        most_panels: pictures with slider, error map and rain layer at most.
        side: longest side of their pictures in pixels; less where the budget needs it.
        budget: bytes of all pictures of the page together.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    protocol = report.labels[0] if report.labels else ""
    leading = report.leading
    shown = panels(leading, most=most_panels, side=side, budget=budget)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rainkit.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = _signed
    script = environment.get_template("eval.js.j2").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    html = environment.get_template("eval.html.j2").render(
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
    with atomic_path(path, overwrite=overwrite) as temporary:
        # File names may hold bytes that are no UTF-8; they are shown as question marks.
        temporary.write_text(html, encoding="utf-8", errors="replace", newline="\n")


def _sections(
    report: EvalReport, leading: tuple[EvalResult, ...], shown: Panels
) -> list[dict[str, Any]]:
    """One per dataset: its plots and, by method, its panels."""
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
    """The per-image table as data: what the page's script fills it from."""
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


def _value(score: PictureScore, name: str) -> float | None:
    if name in score.extras:
        return score.extras[name]
    value: float | None = getattr(score, name, None)
    return value


def _json_number(value: float | None) -> float | str | None:
    """JSON knows no infinity; six digits are more than the page shows."""
    if value is None or math.isnan(value):
        return None
    return round(value, 6) if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _signed(value: float, digits: int) -> str:
    return format(value, f"+.{digits}f")
