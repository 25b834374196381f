"""Benchmarking: speed, arithmetic, memory and energy of methods, and the device's limits."""

from __future__ import annotations

from rainkit.benchmarking.figure import write_figure
from rainkit.benchmarking.regressions import COMPARED, Comparison, compared, earlier
from rainkit.benchmarking.rows import (
    Benchmark,
    BenchRequest,
    Job,
    Roof,
    Row,
    Timing,
    parse_batch,
    parse_size,
)
from rainkit.benchmarking.running import run
from rainkit.benchmarking.table import (
    FILES,
    PUBLISHED,
    cells,
    columns,
    comma_separated,
    latex,
    markdown,
    notices,
    published,
    title,
    write,
    write_all,
)

__all__ = [
    "COMPARED",
    "FILES",
    "PUBLISHED",
    "BenchRequest",
    "Benchmark",
    "Comparison",
    "Job",
    "Roof",
    "Row",
    "Timing",
    "cells",
    "columns",
    "comma_separated",
    "compared",
    "earlier",
    "latex",
    "markdown",
    "notices",
    "parse_batch",
    "parse_size",
    "published",
    "run",
    "title",
    "write",
    "write_all",
    "write_figure",
]
