"""Benchmarking: speed, arithmetic and memory of methods."""

from __future__ import annotations

from rainkit.benchmarking.rows import (
    Benchmark,
    BenchRequest,
    Job,
    Row,
    Timing,
    parse_size,
    run,
    run_job,
)
from rainkit.benchmarking.table import COLUMNS, cells, markdown, title, write

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
    "run_job",
    "title",
    "write",
]
