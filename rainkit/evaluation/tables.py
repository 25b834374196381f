"""Writing what an evaluation found: per_image.csv, metrics.json and table.md."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit.errors import RainkitError, UsageError
from rainkit.evaluation.comparison import Comparison, SourceFile
from rainkit.evaluation.protocols import Protocol
from rainkit.evaluation.scores import Scores, Summary
from rainkit.images.atomic import atomic_path
from rainkit.reports.text_tables import markdown_row

__all__ = ["COLUMNS", "Table", "check_output", "file_data", "markdown", "tables", "write"]

COLUMNS = ("dataset", "images", "result", "PSNR dB", "SSIM", "gain dB", "gain SSIM")

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
_OUTPUTS = ("per_image.csv", "metrics.json", "table.md")


@dataclass(frozen=True, slots=True)
class Table:
    """One protocol's table as text: rows of cells under :data:`COLUMNS`."""

    title: str
    rows: tuple[tuple[str, ...], ...]


def tables(*comparisons: Comparison) -> tuple[Table, ...]:
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
    versions = comparisons[0].about.get("versions", {})
    lines.append(
        "Made with " + ", ".join(f"{key} {value}" for key, value in versions.items()) + "."
    )
    notices = dict.fromkeys(notice for each in comparisons for notice in each.notices)
    failures = dict.fromkeys(failure for each in comparisons for failure in each.failures)
    lines += [f"Note: {notice}." for notice in notices]
    lines += [f"Not scored: {dataset}/{each.name}: {each.reason}" for dataset, each in failures]
    return "\n".join(lines) + "\n"


def check_output(folder: Path, *, overwrite: bool, more: Sequence[str] = ()) -> None:
    """Refuse a folder that already holds results, before computing any.

    Raises:
        UsageError: it holds one of the files that :func:`write` makes, or one of ``more``.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder to --output")
    for name in (*_OUTPUTS, *more):
        if not overwrite and (folder / name).exists():
            raise UsageError(f"{folder / name} exists; pass --overwrite, or another --output")


def write(
    comparisons: Sequence[Comparison], folder: Path, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write ``per_image.csv``, ``metrics.json`` and ``table.md``.

    Of several comparisons, metrics.json holds a list of them (``comparisons``).

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        ImageError: the folder cannot be written.
    """
    check_output(folder, overwrite=overwrite)
    contents = (_csv(comparisons), _json(comparisons), markdown(*comparisons))
    paths = tuple(folder / name for name in _OUTPUTS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: cannot be made ({error.strerror})") from error
    for path, content in zip(paths, contents, strict=True):
        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="")
    return paths


def _table(protocol: Protocol, found: Mapping[str, Sequence[Scores]]) -> Table:
    """Of one protocol, the scores of each result by its name."""
    rows: list[tuple[str, ...]] = []
    datasets = dict.fromkeys(each.dataset for scores in found.values() for each in scores)
    for dataset in datasets:
        here = {
            restored: (len(each.rows), {name: each.summary(name).mean for name in _QUANTITIES})
            for restored, scores in found.items()
            for each in scores
            if each.dataset == dataset
        }
        rows += _rows(dataset, here)
    if len(datasets) > 1:
        means = {
            restored: (
                sum(len(each.rows) for each in scores),
                {
                    name: Summary.of([each.summary(name).mean for each in scores]).mean
                    for name in _QUANTITIES
                },
            )
            for restored, scores in found.items()
        }
        rows += _rows("mean", means)
    return Table(f"Protocol {protocol.label}: PSNR and SSIM on {protocol.channel}", tuple(rows))


def _rows(
    dataset: str, found: Mapping[str, tuple[int, Mapping[str, float]]]
) -> list[tuple[str, ...]]:
    """The input's row, where there is an input, and one for each result."""
    rows: list[tuple[str, ...]] = []
    for restored, (count, means) in found.items():
        scored = (_number(means["psnr"], ".2f"), _number(means["ssim"], ".4f"))
        gains = ("", "")
        if not math.isnan(means["input_psnr"]):
            gains = (_number(means["psnr_gain"], "+.2f"), _number(means["ssim_gain"], "+.4f"))
            if not rows:
                before = (_number(means["input_psnr"], ".2f"), _number(means["input_ssim"], ".4f"))
                rows.append((dataset, str(count), "input", *before, "", ""))
        head = ("", "") if rows else (dataset, str(count))
        rows.append((*head, restored, *scored, *gains))
    return rows


def _number(value: float, form: str) -> str:
    return "n/a" if math.isnan(value) else format(value, form)


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
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


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
