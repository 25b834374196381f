"""Means of pictures that were made alike: by rain rate, preset, depth, veil or wind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rainkit.errors import UsageError
from rainkit.evaluation.comparison import Comparison
from rainkit.evaluation.conditions import CONDITIONS
from rainkit.evaluation.protocols import Protocol
from rainkit.evaluation.scores import Score, Scores
from rainkit.evaluation.tables import COLUMNS, score_rows
from rainkit.evaluation.texts import TextTable, write_texts
from rainkit.files import natural
from rainkit.rain.settings import LEVELS
from rainkit.reports.text_tables import markdown

__all__ = ["GROUPS_FILE", "check_groups", "groups", "write_groups"]

GROUPS_FILE = "groups.md"
"""What :func:`write_groups` makes."""

_UNKNOWN = "not known"
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
    """A table per condition and protocol: for each group of pictures, the input and the results.

    Every picture of a group counts alike, whatever its dataset. Pictures whose rain is not known
    are a group of their own; parts of methods are left out.

    Args:
        comparisons: of results.
        by: names of :data:`CONDITIONS`.

    Raises:
        UsageError: an unknown condition.
    """
    check_groups(by)
    whole = [each for each in comparisons if each.part_of is None]
    protocols = dict.fromkeys(s.protocol for each in whole for s in each.scores)
    return tuple(
        TextTable(
            title=f"Protocol {protocol.label} by {name}",
            columns=(name, *COLUMNS[1:]),
            rows=tuple(_rows(name, protocol, whole)),
        )
        for name in by
        for protocol in protocols
    )


def write_groups(tables: Sequence[TextTable], folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``groups.md``.

    Raises:
        FileError: it exists and ``overwrite`` is off, or cannot be written.
    """
    lines: list[str] = []
    for table in tables:
        lines += [f"**{table.title}**", "", *markdown(table.columns, table.rows, 3), ""]
    (path,) = write_texts(folder, {GROUPS_FILE: "\n".join(lines)}, overwrite=overwrite)
    return path


def _rows(
    name: str, protocol: Protocol, comparisons: Sequence[Comparison]
) -> Iterator[tuple[str, ...]]:
    found: dict[str, dict[str, list[Score]]] = {}
    for each in comparisons:
        for scores in each.scores:
            for row in scores.rows if scores.protocol == protocol else ():
                group = str(dict(row.conditions).get(name, _UNKNOWN))
                found.setdefault(group, {}).setdefault(each.restored, []).append(row)
    for group in sorted(found, key=_order):
        here = {
            restored: Scores(dataset=group, protocol=protocol, rows=tuple(rows))
            for restored, rows in found[group].items()
        }
        yield from score_rows(_shown(name, group), here)


def _order(group: str) -> tuple[int, tuple[str | int, ...]]:
    """Strengths by their rates, all others by their names."""
    return _ORDER.get(group, len(_ORDER)), natural(group)


def _shown(name: str, group: str) -> str:
    """A strength with its rates."""
    if name != "rate" or group not in LEVELS:
        return group
    return f"{group}, {LEVELS[group].low:g} to {LEVELS[group].high:g} mm/h"
