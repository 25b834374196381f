"""The runtime table: its columns, and the same table in Markdown."""

from __future__ import annotations

from pathlib import Path

from rainkit.benchmarking.rows import Benchmark, Row
from rainkit.files import counted, write_text
from rainkit.render import text_tables
from rainkit.render.text_tables import markdown_row

__all__ = ["COLUMNS", "PUBLISHED", "cells", "markdown", "published", "title", "write"]

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
"""Short headings, so that the table fits a terminal; :func:`markdown` explains them."""

PUBLISHED = ("method", "picture", "device", "seconds")
"""The headings of :func:`published`."""


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells; a row that failed has the reason after the precision."""
    job, timing = row.job, row.timing
    size = f"{job.height}x{job.width}" + (f" x{job.batch}" if job.batch > 1 else "")
    variant = job.variant if job.weights is None else Path(job.weights).name
    if timing is None:
        return (job.method, variant, size, job.precision, f"failed: {row.problem}")
    memory = timing.peak_memory_mib
    by = "" if job.backend == "eager" else f" {job.backend}"
    return (
        job.method,
        variant,
        size,
        f"{timing.precision}{by}",
        f"{timing.median_ms:.1f}",
        f"{timing.iqr_ms:.1f}",
        f"{timing.cpu_s:.3f}",
        f"{timing.parameters:,}",
        f"{timing.gflop:.1f}",
        "" if memory is None else f"{memory:.0f}",
    )


def published(benchmark: Benchmark) -> tuple[tuple[str, ...], ...]:
    """Return the times that papers print under :data:`PUBLISHED`, in seconds and as printed."""
    return tuple(
        (row.name, row.result.dataset, row.result.device, str(row.result.seconds or ""))
        for row in benchmark.published
    )


def title(benchmark: Benchmark) -> str:
    """Return the machine in one line: device, threads, torch, passes."""
    timed = [row for row in benchmark.rows if row.timing is not None]
    devices = dict.fromkeys(
        f"{row.timing.device}, {counted(row.timing.threads, 'thread')}"
        for row in timed
        if row.timing
    )
    runs = ", ".join(dict.fromkeys(counted(row.job.runs, "run") for row in benchmark.rows))
    where = "; ".join(devices) or benchmark.machine["system"]
    return f"{where}; torch {benchmark.machine['torch']}; median of {runs}, per picture"


def markdown(benchmark: Benchmark, command: str | None = None) -> str:
    """Return the table in Markdown, with the machine, the columns' meaning and the command."""
    lines = [f"Measured on {title(benchmark)}.", ""]
    if command:
        lines += ["```", command, "```", ""]
    lines += [markdown_row(COLUMNS), "|---|---|---|---|" + "--:|" * (len(COLUMNS) - 4)]
    for row in benchmark.rows:
        filled = cells(row)
        lines.append(markdown_row((*filled, *[""] * (len(COLUMNS) - len(filled)))))
    if benchmark.published:
        lines += ["", "Published in the papers, not measured here:", ""]
        lines += text_tables.markdown(PUBLISHED, published(benchmark), texts=3)
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
    """Write the text of a table.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or it cannot be written.
    """
    write_text(path, text, overwrite=overwrite)
