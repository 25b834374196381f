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

__all__ = ["COLUMNS", "Table", "check_output", "markdown", "tables", "write"]

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


def tables(comparison: Comparison) -> tuple[Table, ...]:
    """One table per protocol, datasets in order: the input's row first, then the result's.

    Several datasets end in their mean, every dataset counting alike, as the papers do.
    """
    protocols = dict.fromkeys(scores.protocol for scores in comparison.scores)
    return tuple(
        _table(
            comparison.restored, protocol, [s for s in comparison.scores if s.protocol == protocol]
        )
        for protocol in protocols
    )


def markdown(comparison: Comparison) -> str:
    """The tables as Markdown, with what defines and qualifies their figures."""
    lines: list[str] = []
    for table in tables(comparison):
        lines += [f"**{table.title}**", "", _line(COLUMNS)]
        lines += ["|---|--:|---|--:|--:|--:|--:|", *map(_line, table.rows), ""]
    for protocol in dict.fromkeys(scores.protocol for scores in comparison.scores):
        parameters = "; ".join(f"{key} {value}" for key, value in protocol.parameters.items())
        lines.append(f"Protocol {protocol.label}: {parameters}.")
    versions = comparison.about.get("versions", {})
    lines.append(
        "Made with " + ", ".join(f"{key} {value}" for key, value in versions.items()) + "."
    )
    lines += [f"Note: {notice}." for notice in comparison.notices]
    lines += [
        f"Not scored: {dataset}/{each.name}: {each.reason}" for dataset, each in comparison.failures
    ]
    return "\n".join(lines) + "\n"


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that already holds results, before computing any.

    Raises:
        UsageError: it holds one of the files that :func:`write` makes.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder to --output")
    for name in _OUTPUTS:
        if not overwrite and (folder / name).exists():
            raise UsageError(f"{folder / name} exists; pass --overwrite, or another --output")


def write(comparison: Comparison, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write ``per_image.csv``, ``metrics.json`` and ``table.md``.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        ImageError: the folder cannot be written.
    """
    check_output(folder, overwrite=overwrite)
    contents = (_csv(comparison), _json(comparison), markdown(comparison))
    paths = tuple(folder / name for name in _OUTPUTS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: cannot be made ({error.strerror})") from error
    for path, content in zip(paths, contents, strict=True):
        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="")
    return paths


def _table(restored: str, protocol: Protocol, scores: Sequence[Scores]) -> Table:
    rows: list[tuple[str, ...]] = []
    for each in scores:
        head = (each.dataset, str(len(each.rows)))
        means = {name: each.summary(name).mean for name in _QUANTITIES}
        rows += _rows(restored, head, means, with_input=each.has_input)
    if len(scores) > 1:
        head = ("mean", str(sum(len(each.rows) for each in scores)))
        means = {
            name: Summary.of([each.summary(name).mean for each in scores]).mean
            for name in _QUANTITIES
        }
        rows += _rows(restored, head, means, with_input=all(each.has_input for each in scores))
    title = f"Protocol {protocol.label}: PSNR and SSIM on Y"
    return Table(title, tuple(rows))


def _rows(
    restored: str, head: tuple[str, str], means: Mapping[str, float], *, with_input: bool
) -> list[tuple[str, ...]]:
    scored = (_number(means["psnr"], ".2f"), _number(means["ssim"], ".4f"))
    if not with_input:
        return [(*head, restored, *scored, "", "")]
    before = (_number(means["input_psnr"], ".2f"), _number(means["input_ssim"], ".4f"))
    gains = (_number(means["psnr_gain"], "+.2f"), _number(means["ssim_gain"], "+.4f"))
    return [(*head, "input", *before, "", ""), ("", "", restored, *scored, *gains)]


def _number(value: float, form: str) -> str:
    return "n/a" if math.isnan(value) else format(value, form)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _csv(comparison: Comparison) -> str:
    """One line per picture and protocol; infinite PSNR as inf, what does not exist as nothing."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_PER_IMAGE)
    for scores in comparison.scores:
        for row in scores.rows:
            values = [getattr(row, name) for name in _PER_IMAGE[2:]]
            cells = ["" if value is None or value != value else value for value in values]
            writer.writerow([scores.dataset, scores.protocol.label, *cells])
    return text.getvalue()


def _json(comparison: Comparison) -> str:
    data = comparison.to_data() | {"files": [_file(each) for each in comparison.files]}
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _file(source: SourceFile) -> dict[str, Any]:
    """With its hash, so that figures can be traced to pictures; null for an unreadable one.

    A picture side by side with another has the hash of the file of both.
    """
    try:
        with source.stored.open() as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
    except (OSError, RainkitError):
        sha256 = None
    path = str(source.stored)
    return {"dataset": source.dataset, "role": source.role, "path": path, "sha256": sha256}
