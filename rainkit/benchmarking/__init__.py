"""How fast methods run, and what they cost in arithmetic and memory."""

from __future__ import annotations

from rainkit.benchmarking.jobs import Job, Row, Timing
from rainkit.benchmarking.run import Benchmark, BenchRequest, parse_size, run
from rainkit.benchmarking.tables import COLUMNS, cells, markdown, title, write

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
