"""Means of pictures that were made alike: by rain rate, preset, depth, veil or wind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rainkit.datasets.pairs import natural
from rainkit.errors import UsageError
from rainkit.evaluation.comparison import Comparison
from rainkit.evaluation.conditions import CONDITIONS
from rainkit.evaluation.scores import Scores
from rainkit.evaluation.texts import TextTable, write_texts
from rainkit.rain.settings import LEVELS
from rainkit.reports.eval_summary import shown
from rainkit.reports.text_tables import markdown

__all__ = ["GROUPS_FILE", "check_groups", "groups", "write_groups"]

GROUPS_FILE = "groups.md"
"""What :func:`write_groups` makes."""

_ORDER = {name: place for place, name in enumerate([*LEVELS, "extreme"])}


def check_groups(names: Sequence[str]) -> None:
    """Refuse unknown conditions.

    Raises:
        UsageError: one that is none of :data:`CONDITIONS`.
    """
    for name in names:
        if name not in CONDITIONS:
            raise UsageError(f"--by {name}: choose from {', '.join(CONDITIONS)}")


def groups(comparisons: Sequence[Comparison], by: Sequence[str]) -> tuple[TextTable, ...]:
    """A table per condition and protocol: a row for each group of pictures and each result.

    Args:
        comparisons: of results; pictures whose rain is not known are a group of their own.
        by: names of :data:`CONDITIONS`.

    Raises:
        UsageError: an unknown condition.
    """
    check_groups(by)
    protocols = dict.fromkeys(s.protocol for each in comparisons for s in each.scores)
    return tuple(
        TextTable(
            title=f"Protocol {protocol.label} by {name}",
            columns=(name, "images", "result", "PSNR dB", "SSIM", "gain dB", "gain SSIM"),
            rows=tuple(
                row
                for each in comparisons
                for row in _rows(
                    each.restored, name, [s for s in each.scores if s.protocol == protocol]
                )
            ),
        )
        for name in by
        for protocol in protocols
    )


def write_groups(tables: Sequence[TextTable], folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``groups.md``.

    Raises:
        ImageError: it exists and ``overwrite`` is off, or cannot be written.
    """
    lines: list[str] = []
    for table in tables:
        lines += [f"**{table.title}**", "", *markdown(table.columns, table.rows, 3), ""]
    (path,) = write_texts(folder, {GROUPS_FILE: "\n".join(lines)}, overwrite=overwrite)
    return path


def _rows(restored: str, name: str, scored: Sequence[Scores]) -> list[tuple[str, ...]]:
    """Of one result, over all datasets; every picture counts alike."""
    rows: list[tuple[str, ...]] = []
    found = {
        str(dict(row.conditions).get(name, "not known")) for each in scored for row in each.rows
    }
    for group in sorted(found, key=lambda text: (_ORDER.get(text, len(_ORDER)), natural(text))):
        inside = Scores(
            dataset=group,
            protocol=scored[0].protocol,
            rows=tuple(
                row
                for each in scored
                for row in each.rows
                if str(dict(row.conditions).get(name, "not known")) == group
            ),
        )
        figures = [shown(inside.psnr.mean, ".2f"), shown(inside.ssim.mean, ".4f")]
        if inside.has_input:
            figures += [shown(inside.psnr_gain.mean, "+.2f"), shown(inside.ssim_gain.mean, "+.4f")]
        cells = (group, str(len(inside.rows)), restored, *figures)
        rows.append((*cells, *[""] * (7 - len(cells))))
    return rows
