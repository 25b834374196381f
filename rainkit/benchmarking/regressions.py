"""Comparing a benchmark with an earlier one: which rows have become slower."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from rainkit.benchmarking.rows import Benchmark, Job, Row, Timing, short
from rainkit.errors import UsageError, one_line
from rainkit.files import counted, system_reason

__all__ = ["COMPARED", "Change", "Comparison", "Earlier", "compared", "earlier"]

COMPARED = ("method", "variant", "size", "dtype", "before", "now", "change", "")
"""The headings of :meth:`Change.cells`."""

_LARGEST = 1e100
"""Numbers from this on, infinity among them, are none that a machine can have had."""

_PLACE = ("device", "threads", "precision")
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


def earlier(path: Path) -> Earlier:
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
        return TypeAdapter(Earlier).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        fault = f"{where}: {first['msg']}" if where else first["msg"]
    except (ValueError, RecursionError) as error:
        fault = f"not JSON: {one_line(error)}"
    raise UsageError(
        f"--compare {path}: is not what rainkit bench writes ({fault}); give its --json, or the"
        " folder of its --output"
    )


_Text = Annotated[str, Field(strict=True)]
_Count = Annotated[int, Field(strict=True, gt=0, lt=2**31)]
_Pace = Annotated[float, Field(strict=True, gt=0, lt=_LARGEST)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    method: _Text
    variant: _Text
    backend: _Text
    height: _Count
    width: _Count
    batch: _Count
    # The first versions did not write these.
    source: _Text = "method"
    target: _Text | None = None
    weights: _Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timing:
    device: _Text
    precision: _Text
    threads: _Count
    median_ms: _Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class _Roof:
    device: _Text
    precision: _Text
    threads: _Count
    gflop_s: _Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    job: _Job
    timing: _Timing | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """What is read of an earlier benchmark; all else in its file is left."""

    rows: tuple[_Row, ...]
    roofline: tuple[_Roof, ...] = ()


def compared(benchmark: Benchmark, before: Earlier, path: Path, bar: float) -> Comparison:
    """Compare a benchmark with an earlier one, row by row.

    Args:
        benchmark: this benchmark.
        before: the earlier one, of :func:`earlier`.
        path: its file.
        bar: largest growth of a median that passes, as a share, such as 0.1.
    """
    old: dict[tuple[Any, ...], list[tuple[_Job, _Timing]]] = {}
    for row in before.rows:
        if row.timing is not None:
            old.setdefault(_key(row.job, row.timing), []).append((row.job, row.timing))
    changes, elsewhere, new = [], 0, 0
    for measured in benchmark.timed:
        job, timing = measured.job, measured.timing
        rows = old.get(_key(job, timing)) if timing is not None else None
        if timing is None or not rows:
            new += 1
            continue
        # Files of one name in several folders are told apart, if they have stayed there.
        same = [i for i, (other, _) in enumerate(rows) if other.target == job.target]
        _, known = rows.pop(same[0] if same else 0)
        if (known.device, known.threads) != (timing.device, timing.threads):
            elsewhere += 1
        else:
            changes.append(Change(row=measured, before_ms=known.median_ms, bar=bar))
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


def _key(job: Job | _Job, timing: Timing | _Timing) -> tuple[Any, ...]:
    return (*(getattr(job, name) for name in _KEY), timing.precision)


def _about_device(benchmark: Benchmark, before: Earlier) -> list[str]:
    """Tell how the pace of the device itself has changed since, where both measured it."""
    told = []
    for roof in benchmark.roofs:
        for each in before.roofline:
            same = all(getattr(each, n) == getattr(roof, n) for n in _PLACE)
            if same and abs(roof.gflop_s / each.gflop_s - 1) > 0.05:
                told.append(
                    f"a matrix product in {roof.precision} now reaches {roof.gflop_s:,.0f} GFLOP/s,"
                    f" and {each.gflop_s:,.0f} then: the device itself has another pace"
                )
    return told
