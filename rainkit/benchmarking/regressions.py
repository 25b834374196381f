"""Comparing a benchmark with an earlier one: which rows have become slower."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rainkit.benchmarking.rows import Benchmark, Row, short
from rainkit.errors import UsageError, one_line
from rainkit.files import counted, system_reason

__all__ = ["COMPARED", "Change", "Comparison", "compared", "earlier"]

COMPARED = ("method", "variant", "size", "dtype", "before", "now", "change", "")
"""The headings of :meth:`Change.cells`."""

_LARGEST = 1e100
"""Numbers from this on, infinity among them, are none that a machine can have had."""

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
            short(self.before_ms),
            short(timing.median_ms),
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
        UsageError: there is no such file, it was not written by ``rainkit bench``, or it is
            damaged where :func:`compared` reads it.
    """
    file = path / "bench.json" if path.is_dir() else path
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"--compare {path}: cannot be read ({system_reason(error)})") from error
    try:
        data: Any = json.loads(content)  # of bytes, since some shells write UTF-16
        fault = _fault(data)
    except (ValueError, RecursionError) as error:
        fault = f"not JSON: {one_line(error)}"
    if fault is not None:
        raise UsageError(
            f"--compare {path}: is not what rainkit bench writes ({fault}); give its --json, or"
            " the folder of its --output"
        )
    return dict(data)


_TEXT, _COUNT, _PACE = "a text", "a whole number above 0", "a number above 0"
_JOB = dict.fromkeys(("method", "variant", "backend"), _TEXT)
_JOB |= dict.fromkeys(("height", "width", "batch"), _COUNT)
_TIMING = {"device": _TEXT, "precision": _TEXT, "threads": _COUNT, "median_ms": _PACE}
_ROOF = {"device": _TEXT, "precision": _TEXT, "threads": _COUNT, "gflop_s": _PACE}


def _fault(data: Any) -> str | None:
    """Return what is wrong with the data of a benchmark, of all that is read here."""
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        return "it has no list of rows"
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or "timing" not in row:
            return f"row {number} has no timing"
        fault = _wrong(row.get("job"), _JOB, f"the job of row {number}")
        for name in ("source", "target", "weights"):  # which the first versions did not write
            if fault is None and row["job"].get(name) is not None:
                fault = _wrong(row["job"], {name: _TEXT}, f"the job of row {number}")
        if fault is None and row["timing"] is not None:
            fault = _wrong(row["timing"], _TIMING, f"the timing of row {number}")
        if fault is not None:
            return fault
    roofs = data.get("roofline", [])
    if not isinstance(roofs, list):
        return "its roofline is no list"
    return next(filter(None, (_wrong(roof, _ROOF, "the roofline") for roof in roofs)), None)


def _wrong(found: Any, wanted: Mapping[str, str], where: str) -> str | None:
    """Return what is wrong with an object of JSON, which must have some values."""
    if not isinstance(found, dict):
        return f"{where} is no object"
    for name, kind in wanted.items():
        value: Any = found.get(name)
        number = type(value) is int or (isinstance(value, float) and kind == _PACE)
        if not (isinstance(value, str) if kind == _TEXT else number and 0 < value < _LARGEST):
            said = f"is {json.dumps(value):.40}" if name in found else "is missing"
            return f"{name} in {where} {said}, and must be {kind}"
    return None


def compared(benchmark: Benchmark, before: Mapping[str, Any], path: Path, bar: float) -> Comparison:
    """Compare a benchmark with an earlier one, row by row.

    Args:
        benchmark: this benchmark.
        before: the earlier one, of :func:`earlier`.
        path: its file.
        bar: largest growth of a median that passes, as a share, such as 0.1.
    """
    old: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in before["rows"]:
        if row["timing"]:
            old.setdefault(_key(row["job"], row["timing"]), []).append(row)
    changes, elsewhere, new = [], 0, 0
    for measured in benchmark.timed:
        job, timing = asdict(measured.job), asdict(measured.timing) if measured.timing else {}
        rows = old.get(_key(job, timing))
        if not rows:
            new += 1
            continue
        # Files of one name in several folders are told apart, if they have stayed there.
        same = [i for i, row in enumerate(rows) if row["job"].get("target") == job["target"]]
        known = rows.pop(same[0] if same else 0)["timing"]
        if (known["device"], known["threads"]) != (timing["device"], timing["threads"]):
            elsewhere += 1
        else:
            changes.append(Change(row=measured, before_ms=known["median_ms"], bar=bar))
    gone = sum(map(len, old.values()))
    notes = []
    if elsewhere:
        notes.append(
            f"{counted(elsewhere, 'row')} was measured on another device or with other threads"
            if elsewhere == 1
            else f"{elsewhere} rows were measured on another device or with other threads"
        )
    if new:
        notes.append(f"{counted(new, 'row')} not in {path}")
    if gone:
        notes.append(f"{counted(gone, 'row')} of {path} not measured now")
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
