"""Runtime tables as text and Markdown."""

from __future__ import annotations

from pathlib import Path

from rainkit.benchmarking.jobs import Row
from rainkit.benchmarking.run import Benchmark
from rainkit.files import atomic_path
from rainkit.reports.text_tables import markdown_row

__all__ = ["COLUMNS", "cells", "markdown", "title", "write"]

COLUMNS = (
    "method",
    "variant",
    "size",
    "dtype",
    "ms",
    "IQR",
    "CPU s",
    "params",
    "GFLOP",
    "MiB",
)
"""Short, so that the table fits a terminal; :func:`markdown` explains them."""


def cells(row: Row) -> tuple[str, ...]:
    """A row under :data:`COLUMNS`; one that failed has its reason after the precision."""
    job, timing = row.job, row.timing
    size = f"{job.height}x{job.width}" + (f" x{job.batch}" if job.batch > 1 else "")
    if timing is None:
        return (job.method, job.variant, size, job.precision, f"failed: {row.problem}")
    memory = timing.peak_memory_mib
    return (
        job.method,
        job.variant,
        size,
        timing.precision,
        f"{timing.median_ms:.1f}",
        f"{timing.iqr_ms:.1f}",
        f"{timing.cpu_s:.3f}",
        f"{timing.parameters:,}",
        f"{timing.gflop:.1f}",
        "" if memory is None else f"{memory:.0f}",
    )


def title(benchmark: Benchmark) -> str:
    """The machine in one line: device, threads, torch, passes."""
    timed = [row for row in benchmark.rows if row.timing is not None]
    devices = dict.fromkeys(
        f"{row.timing.device}, {_counted(row.timing.threads, 'thread')}"
        for row in timed
        if row.timing
    )
    runs = ", ".join(dict.fromkeys(_counted(row.job.runs, "run") for row in benchmark.rows))
    where = "; ".join(devices) or benchmark.machine["system"]
    return f"{where}; torch {benchmark.machine['torch']}; median of {runs}, per picture"


def markdown(benchmark: Benchmark, command: str | None = None) -> str:
    """The table with the machine, what the columns mean, and the command that made it."""
    lines = [f"Measured on {title(benchmark)}.", ""]
    if command:
        lines += ["```", command, "```", ""]
    lines += [markdown_row(COLUMNS), "|---|---|---|---|" + "--:|" * (len(COLUMNS) - 4)]
    for row in benchmark.rows:
        filled = cells(row)
        lines.append(markdown_row((*filled, *[""] * (len(COLUMNS) - len(filled)))))
    lines += [
        "",
        "ms is the median wall time of a forward pass and IQR its interquartile range, also in ms;"
        " CPU s is processor time over all threads. GFLOP counts two operations for each"
        " multiply-add of convolutions, matrix products and attention. MiB is peak memory: on CUDA"
        " what tensors held, weights included; on a CPU how far resident memory rose above that of"
        " the loaded network.",
        "",
        "Versions: "
        + ", ".join(f"{key} {value}" for key, value in benchmark.machine.items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def write(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write a table's text, whole or not at all.

    Raises:
        FileError: the file exists and ``overwrite`` is off, or it cannot be written.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
