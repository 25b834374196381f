"""Evaluations as tables, plots and a page: what ``rainkit eval --report`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from rainkit.datasets.image_ref import ImageRef
from rainkit.errors import DatasetError, UsageError
from rainkit.evaluation.metrics.registry import METRICS
from rainkit.evaluation.report.data import (
    EvalReport,
    EvalResult,
    ExtraMetric,
    PanelPictures,
    PictureScore,
    PublishedScore,
)
from rainkit.evaluation.report.means import eval_latex, eval_markdown
from rainkit.evaluation.report.page import eval_page
from rainkit.evaluation.report.plots import PARTS_FILE, write_parts, write_plots
from rainkit.evaluation.result_files import about_results
from rainkit.evaluation.scores import Comparison, Score, Scores
from rainkit.render.text_tables import write_texts

__all__ = ["REPORT_FILES", "report_of", "write_report"]

REPORT_FILES = (
    *("index.html", "table.md", "table.tex"),
    *("boxplot.svg", "gain.svg", "rain_rate.svg", PARTS_FILE),
)
"""What :func:`write_report` may make."""


def report_of(
    comparisons: Sequence[Comparison],
    published: Sequence[PublishedScore] = (),
    notices: Sequence[str] = (),
) -> EvalReport:
    """Several evaluations as one report, in their order.

    Args:
        comparisons: what was measured.
        published: rows from papers.
        notices: what a reader of the figures must know beside what the comparisons say.

    Raises:
        UsageError: two of them have the same name.
    """
    names = [each.restored for each in comparisons]
    if len(set(names)) < len(names):
        raise UsageError(f"{', '.join(names)}: two results of one name cannot be told apart")
    whole = [each for each in comparisons if each.part_of is None]
    scores = [each for comparison in comparisons for each in comparison.scores]
    extras = dict.fromkeys(
        name for each in scores for row in each.rows[:1] for name, _ in row.extras
    )
    versions: dict[str, str] = {}
    for comparison in whole:
        versions |= comparison.about.get("versions", {})
    facts = {"Made with": ", ".join(f"{name} {version}" for name, version in versions.items())}
    facts |= {
        name: line.removeprefix(f"{name}: ") for name, line in about_results(comparisons).items()
    }
    results = ", ".join(each.restored for each in whole)
    datasets = ", ".join(dict.fromkeys(each.dataset for each in scores))
    return EvalReport(
        title=f"{results} on {datasets}",
        results=tuple(
            _result(comparison, each) for comparison in comparisons for each in comparison.scores
        ),
        protocols={
            each.protocol.label: "; ".join(
                f"{key} {value}" for key, value in each.protocol.parameters.items()
            )
            for each in scores
        },
        facts=facts,
        published=tuple(published),
        extras=tuple(
            ExtraMetric(
                name=name,
                title=METRICS[name].label,
                higher_is_better=METRICS[name].higher_is_better,
            )
            for name in extras
        ),
        notes=tuple(
            dict.fromkeys([*notices, *(note for each in comparisons for note in each.notices)])
        ),
        failures=tuple(
            (f"{comparison.restored}: {dataset}/{failure.name}", failure.reason)
            for comparison in whole
            for dataset, failure in comparison.failures
        ),
    )


def write_report(report: EvalReport, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write ``index.html``, ``table.md``, ``table.tex`` and the plots.

    Raises:
        FileError: a file exists and ``overwrite`` is off, or cannot be written.
    """
    page = folder / "index.html"
    eval_page(report, page, overwrite=overwrite)
    quantities = ("psnr", "ssim", *(extra.name for extra in report.extras))
    texts = {"table.md": eval_markdown(report, quantities), "table.tex": eval_latex(report)}
    written = (page, *write_texts(folder, texts, overwrite=overwrite))
    plots = write_plots(report.results, folder, overwrite=overwrite)
    parts = write_parts(report.results, folder, overwrite=overwrite)
    return (*written, *plots, *parts)


def _result(comparison: Comparison, scores: Scores) -> EvalResult:
    files: dict[str, dict[str, ImageRef]] = {}
    for each in comparison.files:
        if each.dataset == scores.dataset:
            files.setdefault(each.picture, {})[each.role] = each.stored
    seen = all({"restored", "target"} <= roles.keys() for roles in files.values())
    return EvalResult(
        method=comparison.restored,
        dataset=scores.dataset,
        protocol=scores.protocol.label,
        pictures=tuple(map(_picture, scores.rows)),
        load=partial(_load, files) if seen and files else None,
        part_of=comparison.part_of,
        of_rain=comparison.about.get("estimates") == "rain",
    )


def _picture(row: Score) -> PictureScore:
    return PictureScore(
        name=row.name,
        psnr=row.psnr,
        ssim=row.ssim,
        input_psnr=row.input_psnr,
        input_ssim=row.input_ssim,
        milliseconds=row.milliseconds,
        size=(row.width, row.height),
        rate_mm_h=None if (rate := dict(row.conditions).get("rate_mm_h")) is None else float(rate),
        extras=dict(row.extras),
        input_extras=dict(row.input_extras),
    )


def _load(files: dict[str, dict[str, ImageRef]], name: str) -> PanelPictures:
    if name not in files:
        raise DatasetError(f"{name}: its files are not known")
    read = {role: np.asarray(stored.read(), np.uint8) for role, stored in files[name].items()}
    return PanelPictures(read["restored"], read["target"], read.get("rainy"))
