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
from rainkit.benchmarking.table import COLUMNS, PUBLISHED, cells, markdown, published, title, write

__all__ = [
    "COLUMNS",
    "PUBLISHED",
    "BenchRequest",
    "Benchmark",
    "Job",
    "Row",
    "Timing",
    "cells",
    "markdown",
    "parse_size",
    "published",
    "run",
    "run_job",
    "title",
    "write",
]
