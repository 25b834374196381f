"""How fast methods run, and what they cost in arithmetic and memory."""

from __future__ import annotations

from rainkit.benchmarking.job import Job, Row, Timing
from rainkit.benchmarking.run import (
    COLUMNS,
    Benchmark,
    BenchRequest,
    cells,
    markdown,
    parse_size,
    run,
    title,
    write,
)

__all__ = [
    "COLUMNS",
    "BenchRequest",
    "Benchmark",
    "Job",
    "Row",
    "Timing",
    "cells",
    "markdown",
    "parse_size",
    "run",
    "title",
    "write",
]
