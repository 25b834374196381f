"""Means of pictures that were made alike: by rain rate, preset, depth, veil or wind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.datasets.pairs import natural
from rainkit.errors import UsageError
from rainkit.evaluation.comparison import Comparison
from rainkit.evaluation.conditions import CONDITIONS
from rainkit.evaluation.scores import Scores
from rainkit.images import atomic_path
from rainkit.rain.settings import LEVELS
from rainkit.reports.text_tables import markdown

__all__ = ["GROUPS_FILE", "GroupTable", "check_groups", "groups", "write_groups"]

GROUPS_FILE = "groups.md"
"""What :func:`write_groups` makes."""

_ORDER = {name: place for place, name in enumerate([*LEVELS, "extreme"])}


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Means of one protocol's figures by one condition."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def check_groups(names: Sequence[str]) -> None:
    """Refuse unknown conditions.

    Raises:
        UsageError: one that is none of :data:`CONDITIONS`.
    """
    for name in names:
        if name not in CONDITIONS:
            raise UsageError(f"--by {name}: choose from {', '.join(CONDITIONS)}")


def groups(comparisons: Sequence[Comparison], by: Sequence[str]) -> tuple[GroupTable, ...]:
    """A table per condition and protocol: a row for each group of pictures and each result.

    Args:
        comparisons: of results; pictures whose rain is not known are a group of their own.
        by: names of :data:`CONDITIONS`.

    Raises:
        UsageError: an unknown condition, or nothing is known of any picture's rain.
    """
    check_groups(by)
    rows = [row for each in comparisons for scores in each.scores for row in scores.rows]
    if by and rows and not any(row.conditions for row in rows):
        raise UsageError(
            "--by: none of the datasets has a manifest of rainkit synth that says how its rain was"
            " made"
        )
    protocols = dict.fromkeys(s.protocol for each in comparisons for s in each.scores)
    return tuple(
        GroupTable(
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


def write_groups(tables: Sequence[GroupTable], folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``groups.md``.

    Raises:
        ImageError: it exists and ``overwrite`` is off, or cannot be written.
    """
    lines: list[str] = []
    for table in tables:
        lines += [f"**{table.title}**", "", *markdown(table.columns, table.rows, 3), ""]
    path = folder / GROUPS_FILE
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8", newline="")
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
        gains = ("", "")
        if inside.has_input:
            gains = (f"{inside.psnr_gain.mean:+.2f}", f"{inside.ssim_gain.mean:+.4f}")
        figures = (f"{inside.psnr.mean:.2f}", f"{inside.ssim.mean:.4f}", *gains)
        rows.append((group, str(len(inside.rows)), restored, *figures))
    return rows
