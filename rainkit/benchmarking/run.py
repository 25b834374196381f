"""``rainkit bench`` as one call: every method, variant, size and precision asked for."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

import rainkit
from rainkit import networks, plugins
from rainkit.benchmarking import worker
from rainkit.benchmarking.job import Job, Row
from rainkit.errors import MethodError, UsageError
from rainkit.files import write_text
from rainkit.render.text_tables import markdown_row

__all__ = [
    "COLUMNS",
    "BenchRequest",
    "Benchmark",
    "cells",
    "markdown",
    "parse_size",
    "run",
    "title",
    "write",
]


Advance = Callable[[int, int, Job], None]
"""Told before every row how many are done, of how many, and which comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """What to time: the product of all tuples.

    Attributes:
        methods: installed methods' names; empty = every installed method.
        variants: every variant of each method, instead of its default.
        sizes: (height, width) in pixels.
        precisions: as for :func:`rainkit.networks.choose`.
        device: as for :func:`rainkit.networks.choose`.
        batch: pictures per pass.
        runs: timed passes per row.
        warmup: passes before them, at least one.
        threads: CPU threads of one operation; None = torch's choice.
    """

    methods: tuple[str, ...] = ()
    variants: bool = False
    sizes: tuple[tuple[int, int], ...] = ((512, 512),)
    precisions: tuple[str, ...] = ("auto",)
    device: str = "auto"
    batch: int = 1
    runs: int = 20
    warmup: int = 3
    threads: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """The rows, and the machine they were measured on."""

    rows: tuple[Row, ...]
    machine: dict[str, Any]

    @property
    def failed(self) -> int:
        """Rows without a timing."""
        return sum(row.timing is None for row in self.rows)

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {"machine": self.machine, "rows": [row.to_data() for row in self.rows]}


def parse_size(text: str) -> tuple[int, int]:
    """``512x768`` as (height, width).

    Raises:
        UsageError: it is not two whole numbers above 0.
    """
    match = re.fullmatch(r"([1-9]\d*)[xX]([1-9]\d*)", text.strip())
    if match is None:
        raise UsageError(f"--size {text}: write HEIGHTxWIDTH in pixels, such as 512x512")
    return int(match[1]), int(match[2])


def run(request: BenchRequest, advance: Advance | None = None) -> Benchmark:
    """Time everything asked for, one fresh process a row, one after another.

    A method that cannot run is a row with its reason.

    Raises:
        UsageError: an unknown method, device or precision; no method installed; or no row can
            run as asked for, such as in a precision that every method refuses.
    """
    networks.choose(request.device)
    for precision in request.precisions:
        networks.choose("cpu", precision)
    jobs = list(_jobs(request))
    rows = []
    for i, job in enumerate(jobs):
        if advance is not None:
            advance(i, len(jobs), job if isinstance(job, Job) else job.job)
        rows.append(worker.row(job) if isinstance(job, Job) else job)
    if all(row.usage for row in rows):
        raise UsageError("; ".join(dict.fromkeys(str(row.problem) for row in rows)))
    return Benchmark(rows=tuple(rows), machine=_machine())


def _jobs(request: BenchRequest) -> Iterator[Job | Row]:
    """Jobs in table order; a method that does not even load is a row already."""
    methods = request.methods or tuple(
        each.qualified if each.problem else each.name for each in plugins.installed()
    )
    if not methods:
        raise UsageError(plugins.none_installed())
    for method in methods:
        variants: tuple[str, ...] = ("default",)
        problem = None
        try:
            loaded = plugins.get(method)
            variants = tuple(loaded.variants) if request.variants else variants
        except MethodError as error:
            problem = str(error)
        for variant, (height, width), precision in product(
            variants, request.sizes, request.precisions
        ):
            job = Job(
                method=method,
                variant=variant,
                height=height,
                width=width,
                batch=request.batch,
                device=request.device,
                precision=precision,
                runs=request.runs,
                warmup=request.warmup,
                threads=request.threads,
            )
            yield job if problem is None else Row(job=job, problem=problem)


def _machine() -> dict[str, Any]:
    return {
        "rainkit": rainkit.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }


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
    write_text(path, text, overwrite=overwrite)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
