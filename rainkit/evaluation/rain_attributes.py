"""Attributes of synthetic rain: what a manifest tells of them, and means over their groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rainkit.choices import unknown
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairs import PairFiles
from rainkit.datasets.readers.manifests import has_manifest
from rainkit.errors import RainkitError, described
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.report.data import EvalReport, EvalResult
from rainkit.evaluation.report.means import summary
from rainkit.evaluation.result_files import COLUMNS, table_rows
from rainkit.evaluation.scores import Comparison, RainAttributes, Score, Scores
from rainkit.files import natural
from rainkit.rain.settings import LEVELS
from rainkit.render.text_tables import TextTable, markdown, write_texts

if TYPE_CHECKING:
    from rainkit.datasets.manifest import Record

__all__ = [
    "ATTRIBUTES",
    "GROUPS_FILE",
    "check_groups",
    "groups",
    "rain_attributes",
    "unreadable_manifests",
    "with_attributes",
    "write_groups",
]


ATTRIBUTES = MappingProxyType(
    {
        "rate": "strength by rain rate: " + ", ".join(LEVELS),
        "preset": "what the settings started from",
        "depth": "where depth came from",
        "veil": "with or without a veil",
        "wind": "its speed, in steps of 5 m/s",
    }
)
"""Attributes by which pictures are grouped, and what they are."""


def rain_attributes(root: Path, pairs: Iterable[PairFiles]) -> dict[str, RainAttributes]:
    """Return what a manifest in ``root`` says of the rain in pairs, by the pairs' names.

    Each value holds the rate in mm/h as ``rate_mm_h`` and the texts of :data:`ATTRIBUTES`. The
    result is empty if there is no manifest or if it cannot be read, of which
    :func:`unreadable_manifests` tells.
    """
    if not has_manifest(root):
        return {}
    from rainkit.datasets import manifest  # pydantic: only where there is a manifest

    try:
        records = {
            _key(ImageRef.from_locator(root, each.input)): each for each in manifest.read(root)
        }
    except RainkitError:
        return {}
    found = {pair.name: records.get(_key(pair.rainy)) for pair in pairs}
    return {name: _of(record) for name, record in found.items() if record is not None}


def unreadable_manifests(roots: Iterable[Path]) -> tuple[str, ...]:
    """Return a line for each manifest in ``roots`` that cannot be read."""
    from rainkit.datasets import manifest

    lines = []
    for root in filter(has_manifest, roots):
        try:
            manifest.read(root)
        except RainkitError as error:
            lines.append(f"--by: the rain in {root} is not known: {described(error)}")
    return tuple(lines)


def with_attributes(
    scores: Iterable[Scores], known: Mapping[str, RainAttributes]
) -> tuple[Scores, ...]:
    """Return the scores of one dataset with the rain attributes of their pictures, by name."""
    return tuple(
        replace(
            each,
            rows=tuple(replace(row, rain_attributes=known.get(row.name, ())) for row in each.rows),
        )
        for each in scores
    )


def _key(stored: ImageRef) -> ImageRef:
    return replace(stored, path=stored.path.resolve(), crop=None)


def _of(record: Record) -> RainAttributes:
    if record.degradation != "rain":
        return ()
    return (
        ("rate_mm_h", record.rate_mm_h),
        ("rate", _strength(record.rate_mm_h)),
        ("preset", record.preset),
        ("depth", record.depth.source if record.depth else "a flat scene"),
        ("veil", "a veil" if record.beta_per_m else "no veil"),
        ("wind", _step(record.wind_m_s)),
    )


def _strength(rate: float) -> str:
    """Return the name of the strength that a rate in mm/h falls into."""
    if rate < _LEAST:
        return "trace"
    return next((name for name, level in LEVELS.items() if rate < level.high), "extreme")


def _step(wind: float) -> str:
    low = int(abs(wind) // 5) * 5
    return f"{low} to {low + 5} m/s"


GROUPS_FILE = "groups.md"
"""The file that :func:`write_groups` makes."""

_UNKNOWN = "not known"
_LEAST = min(level.low for level in LEVELS.values())
_ORDER = {name: place for place, name in enumerate(["trace", *LEVELS, "extreme"])}


def check_groups(names: Sequence[str]) -> None:
    """Refuse unknown attributes.

    Raises:
        UsageError: a name is not among :data:`ATTRIBUTES`.
    """
    for name in names:
        if name not in ATTRIBUTES:
            raise unknown("--by", name, ATTRIBUTES)


def groups(comparisons: Sequence[Comparison], by: Sequence[str]) -> tuple[TextTable, ...]:
    """Return a table per attribute and protocol with the means of each group of pictures.

    Every picture of a group counts alike, whatever its dataset. Pictures whose rain is not known
    are a group of their own; parts of methods are left out.

    Args:
        comparisons: what was measured.
        by: names of :data:`ATTRIBUTES`.

    Raises:
        UsageError: an unknown attribute.
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
                group = str(dict(row.rain_attributes).get(name, _UNKNOWN))
                found.setdefault(group, {}).setdefault(each.restored, []).append(row)
    for group in sorted(found, key=_order):
        results = tuple(
            EvalResult(
                method=restored,
                scores=Scores(dataset=_shown(name, group), protocol=protocol, rows=tuple(rows)),
            )
            for restored, rows in found[group].items()
        )
        yield from table_rows(summary(EvalReport(title="", results=results), protocol.label))


def _order(group: str) -> tuple[int, tuple[str | int, ...]]:
    """Return a sort key: strengths go by their rates, all other groups by their names."""
    return _ORDER.get(group, len(_ORDER)), natural(group)


def _shown(name: str, group: str) -> str:
    """Return a group's name as tables show it: a strength with its rates."""
    if name == "rate" and group == "trace":
        return f"trace, less than {_LEAST:g} mm/h"
    if name != "rate" or group not in LEVELS:
        return group
    return f"{group}, {LEVELS[group].low:g} to {LEVELS[group].high:g} mm/h"
