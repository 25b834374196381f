"""Comparing a benchmark with an earlier one: which rows have become slower."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rainkit.benchmarking.rows import Benchmark, Row
from rainkit.errors import UsageError
from rainkit.files import counted

__all__ = ["COMPARED", "Change", "Comparison", "compared", "earlier"]

COMPARED = ("method", "variant", "size", "dtype", "before", "now", "change", "")
"""The headings of :meth:`Change.cells`."""

_KEY = ("source", "method", "variant", "weights", "height", "width", "batch", "backend")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A row that both benchmarks have.

    Attributes:
        row: the row of this benchmark.
        before_ms: the median of the earlier one in ms.
        bar: largest growth that passes, as a share.
    """

    row: Row
    before_ms: float
    bar: float

    @property
    def ratio(self) -> float:
        """Time of the row over the earlier one."""
        return 0.0 if self.row.timing is None else self.row.timing.median_ms / self.before_ms

    @property
    def slower(self) -> bool:
        """Whether the row has become slower by more than the bar."""
        return self.ratio > 1 + self.bar

    def cells(self) -> tuple[str, ...]:
        """Return the cells under :data:`COMPARED`."""
        job, timing = self.row.job, self.row.timing
        if timing is None:
            return ()
        by = "" if job.backend == "eager" else f" {job.backend}"
        return (
            job.method,
            job.variant,
            job.size,
            f"{timing.precision}{by}",
            f"{self.before_ms:.1f}",
            f"{timing.median_ms:.1f}",
            f"{self.ratio - 1:+.1%}",
            ("slower" if self.slower else "") + (" (noisy)" if timing.noisy else ""),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What has become of the rows of an earlier benchmark.

    Attributes:
        path: the file of the earlier one.
        bar: largest growth of a median that passes, as a share.
        changes: the rows that both have, on the same device with as many threads.
        notes: what a reader must know, such as rows that are in one of them alone.
    """

    path: Path
    bar: float
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def missed(self) -> bool:
        """Whether a row has become slower by more than the bar, or none could be compared."""
        return not self.changes or any(change.slower for change in self.changes)

    def to_data(self) -> dict[str, Any]:
        """Return the comparison as plain data for JSON."""
        return {
            "with": str(self.path),
            "bar": self.bar,
            "missed": self.missed,
            "rows": [
                asdict(change.row.job)
                | {"before_ms": change.before_ms, "ratio": change.ratio, "slower": change.slower}
                for change in self.changes
            ],
            "notes": list(self.notes),
        }


def earlier(path: Path) -> dict[str, Any]:
    """Read what an earlier benchmark wrote: a file, or the folder of ``--output``.

    Raises:
        UsageError: there is no such file, or it was not written by ``rainkit bench``.
    """
    file = path / "bench.json" if path.is_dir() else path
    try:
        data: Any = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--compare {path}: cannot be read ({error.strerror})") from error
    except ValueError:
        data = None
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("job"), dict) and "timing" in row
        for row in rows
    ):
        raise UsageError(
            f"--compare {path}: is not what rainkit bench writes; give its --json, or the folder"
            " of its --output"
        )
    return dict(data)


def compared(benchmark: Benchmark, before: Mapping[str, Any], path: Path, bar: float) -> Comparison:
    """Compare a benchmark with an earlier one, row by row.

    Args:
        benchmark: this benchmark.
        before: the earlier one, of :func:`earlier`.
        path: its file.
        bar: largest growth of a median that passes, as a share, such as 0.1.
    """
    timed = [row for row in before["rows"] if row["timing"]]
    old = {_key(row["job"], row["timing"]): row["timing"] for row in timed}
    changes, elsewhere, new = [], 0, 0
    for row in benchmark.timed:
        timing = asdict(row.timing) if row.timing else {}
        known = old.pop(_key(asdict(row.job), timing), None)
        if known is None:
            new += 1
        elif (known["device"], known["threads"]) != (timing["device"], timing["threads"]):
            elsewhere += 1
        else:
            changes.append(Change(row=row, before_ms=known["median_ms"], bar=bar))
    notes = []
    if elsewhere:
        notes.append(
            f"{counted(elsewhere, 'row')} was measured on another device or with other threads"
            if elsewhere == 1
            else f"{elsewhere} rows were measured on another device or with other threads"
        )
    if new:
        notes.append(f"{counted(new, 'row')} not in {path}")
    if old:
        notes.append(f"{counted(len(old), 'row')} of {path} not measured now")
    notes += _about_device(benchmark, before)
    return Comparison(path=path, bar=bar, changes=tuple(changes), notes=tuple(notes))


def _key(job: Mapping[str, Any], timing: Mapping[str, Any]) -> tuple[Any, ...]:
    usual = {"source": "method", "weights": None}
    return (*(job.get(name, usual.get(name)) for name in _KEY), timing.get("precision"))


def _about_device(benchmark: Benchmark, before: Mapping[str, Any]) -> list[str]:
    """Tell how the pace of the device itself has changed since, where both measured it."""
    told = []
    for roof in benchmark.roofs:
        for each in before.get("roofline", ()):
            same = all(each.get(n) == getattr(roof, n) for n in ("device", "threads", "precision"))
            if same and abs(roof.gflop_s / each["gflop_s"] - 1) > 0.05:
                told.append(
                    f"a matrix product in {roof.precision} now reaches {roof.gflop_s:,.0f} GFLOP/s,"
                    f" and {each['gflop_s']:,.0f} then: the device itself has another pace"
                )
    return told
