"""Writing what an evaluation found: per_image.csv, metrics.json and table.md."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rainkit.errors import RainkitError
from rainkit.evaluation.comparison import Comparison, SourceFile
from rainkit.evaluation.protocols import Protocol
from rainkit.evaluation.scores import Scores, Summary
from rainkit.evaluation.texts import TextTable, json_text, write_texts
from rainkit.reports.eval_summary import Cell, Column, Kind, SummaryRow, marked, shown
from rainkit.reports.eval_tables import emphasised
from rainkit.reports.text_tables import markdown_row

__all__ = [
    "COLUMNS",
    "FILES",
    "about_results",
    "file_data",
    "markdown",
    "score_rows",
    "tables",
    "write",
]

_FIGURES = (
    Column(name="psnr", title="PSNR dB", form=".2f"),
    Column(name="ssim", title="SSIM", form=".4f"),
    Column(name="psnr_gain", title="gain dB", form="+.2f"),
    Column(name="ssim_gain", title="gain SSIM", form="+.4f"),
)
COLUMNS = ("dataset", "images", "result", *(column.title for column in _FIGURES))

_PER_IMAGE = (
    "dataset",
    "protocol",
    "name",
    "width",
    "height",
    "psnr",
    "ssim",
    "input_psnr",
    "input_ssim",
    "psnr_gain",
    "ssim_gain",
    "milliseconds",
)
_QUANTITIES = ("psnr", "ssim", "input_psnr", "input_ssim", "psnr_gain", "ssim_gain")
FILES = ("per_image.csv", "metrics.json", "table.md")
"""What :func:`write` makes."""


def tables(*comparisons: Comparison) -> tuple[TextTable, ...]:
    """One table per protocol, datasets in order: the input's row first, then those of the results.

    Several datasets end in their mean, every dataset counting alike, as the papers do.
    """
    protocols = dict.fromkeys(s.protocol for each in comparisons for s in each.scores)
    return tuple(
        _table(
            protocol,
            {
                each.restored: [s for s in each.scores if s.protocol == protocol]
                for each in comparisons
            },
            {each.restored for each in comparisons if each.part_of is not None},
        )
        for protocol in protocols
    )


def markdown(*comparisons: Comparison) -> str:
    """The tables as Markdown, with what defines and qualifies their figures."""
    lines: list[str] = []
    for table in tables(*comparisons):
        lines += [f"**{table.title}**", "", markdown_row(COLUMNS)]
        lines += ["|---|--:|---|--:|--:|--:|--:|", *map(markdown_row, table.rows), ""]
    for protocol in dict.fromkeys(s.protocol for each in comparisons for s in each.scores):
        parameters = "; ".join(f"{key} {value}" for key, value in protocol.parameters.items())
        lines.append(f"Protocol {protocol.label}: {parameters}.")
    versions: dict[str, str] = {}
    for each in comparisons:
        versions |= each.about.get("versions", {})
    lines.append(
        "Made with " + ", ".join(f"{key} {value}" for key, value in versions.items()) + "."
    )
    lines += [f"{line}." for line in about_results(comparisons).values()]
    notices = dict.fromkeys(notice for each in comparisons for notice in each.notices)
    whole = [each for each in comparisons if each.part_of is None]
    failures = dict.fromkeys(failure for each in whole for failure in each.failures)
    lines += [f"Note: {notice}." for notice in notices]
    lines += [f"Not scored: {dataset}/{each.name}: {each.reason}" for dataset, each in failures]
    return "\n".join(lines) + "\n"


def about_results(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """What made each result that a method made, in words, by its name."""
    return {
        each.restored: f"{each.restored}: {weights['name']}, SHA-256 {weights['sha256'][:12]},"
        f" {each.about['runtime']}"
        for each in comparisons
        if each.part_of is None and (weights := each.about.get("weights")) is not None
    }


def write(
    comparisons: Sequence[Comparison], folder: Path, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write ``per_image.csv``, ``metrics.json`` and ``table.md``.

    Of several comparisons, metrics.json holds a list of them (``comparisons``).

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
    """
    texts = (_csv(comparisons), _json(comparisons), markdown(*comparisons))
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def score_rows(
    name: str, found: Mapping[str, Scores], parts: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """Rows of means under :data:`COLUMNS`: the input's, where there is one, and each result's.

    The best result is ``**bold**`` and the second best ``<ins>underlined</ins>``.

    Args:
        name: of the dataset or group, which stands in the first row.
        found: scores by the results' names.
        parts: names of those that are parts of methods, and not ranked.
    """
    means = {
        restored: (str(len(each.rows)), {q: each.summary(q).mean for q in _QUANTITIES})
        for restored, each in found.items()
    }
    return _rows(name, means, parts)


def _table(
    protocol: Protocol, found: Mapping[str, Sequence[Scores]], parts: Collection[str]
) -> TextTable:
    """Of one protocol, the scores of each result by its name."""
    rows: list[tuple[str, ...]] = []
    datasets = dict.fromkeys(each.dataset for scores in found.values() for each in scores)
    for dataset in datasets:
        here = {
            restored: each
            for restored, scores in found.items()
            for each in scores
            if each.dataset == dataset
        }
        rows += score_rows(dataset, here, parts)
    if len(datasets) > 1:
        means = {
            restored: (
                f"{len(scores)} sets",
                {
                    name: Summary.of([each.summary(name).mean for each in scores]).mean
                    for name in _QUANTITIES
                },
            )
            for restored, scores in found.items()
        }
        rows += _rows("mean", means, parts)
    title = f"Protocol {protocol.label}: PSNR and SSIM on {protocol.channel}"
    return TextTable(title, COLUMNS, tuple(rows))


def _rows(
    dataset: str,
    found: Mapping[str, tuple[str, Mapping[str, float]]],
    parts: Collection[str],
) -> list[tuple[str, ...]]:
    """The input's row, where there is an input, and one for each result."""
    summaries: list[SummaryRow] = []
    counts = []
    for restored, (count, means) in found.items():
        with_input = not math.isnan(means["input_psnr"])
        if with_input and not summaries:
            before = (means["input_psnr"], means["input_ssim"], None, None)
            summaries.append(_summary("input", dataset, "input", before))
            counts.append(count)
        gains = (means["psnr_gain"], means["ssim_gain"]) if with_input else (None, None)
        kind: Kind = "part" if restored in parts else "measured"
        figures = (means["psnr"], means["ssim"], *gains)
        summaries.append(_summary(restored, dataset, kind, figures))
        counts.append(count)
    rows = []
    for place, row in enumerate(marked(summaries, _FIGURES)):
        head = ("", "") if place else (dataset, counts[0])
        rows.append((*head, row.method, *map(emphasised, row.cells)))
    return rows


def _summary(result: str, dataset: str, kind: Kind, values: Sequence[float | None]) -> SummaryRow:
    cells = (Cell(v, shown(v, c.form)) for v, c in zip(values, _FIGURES, strict=True))
    return SummaryRow(method=result, dataset=dataset, kind=kind, cells=tuple(cells))


def _csv(comparisons: Sequence[Comparison]) -> str:
    """One line per result, picture and protocol; infinite PSNR as inf, what is not as nothing."""
    extras = dict.fromkeys(
        name
        for comparison in comparisons
        for scores in comparison.scores
        for row in scores.rows[:1]
        for name, _ in row.extras
    )
    known = dict.fromkeys(
        name
        for comparison in comparisons
        for scores in comparison.scores
        for row in scores.rows
        for name, _ in row.conditions
    )
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["result", *_PER_IMAGE, *extras, *known])
    for comparison in comparisons:
        for scores in comparison.scores:
            for row in scores.rows:
                own = dict(row.extras)
                values = [getattr(row, name) for name in _PER_IMAGE[2:]]
                values += [own.get(name) for name in extras]
                values += [dict(row.conditions).get(name) for name in known]
                cells = ["" if value is None or value != value else value for value in values]
                head = (comparison.restored, scores.dataset, scores.protocol.label)
                writer.writerow([*head, *cells])
    return text.getvalue()


def _json(comparisons: Sequence[Comparison]) -> str:
    found = [
        each.to_data() | {"files": [file_data(source) for source in each.files]}
        for each in comparisons
    ]
    data = found[0] if len(found) == 1 else {"comparisons": found}
    return json_text(data)


def file_data(source: SourceFile) -> dict[str, Any]:
    """With its hash, so that figures can be traced to pictures; null for an unreadable one.

    A picture side by side with another has the hash of the file of both.
    """
    try:
        with source.stored.open() as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
    except (OSError, RainkitError):
        sha256 = None
    path = str(source.stored)
    place = {"dataset": source.dataset, "picture": source.picture, "role": source.role}
    return place | {"path": path, "sha256": sha256}
