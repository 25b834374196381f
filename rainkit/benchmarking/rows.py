"""Rows of a runtime table: what is timed, each row in a process of its own.

A fresh process gives a clean memory figure, and a method that runs out of memory or crashes costs
its row and not the table. This module does not import torch: :mod:`rainkit.benchmarking.timing`
does, in those processes.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import product
from typing import Any

import rainkit
from rainkit import plugins
from rainkit.errors import MethodError, UsageError
from rainkit.published import PublishedRow, published_rows
from rainkit.runtime_options import RuntimeOptions

__all__ = [
    "BenchRequest",
    "Benchmark",
    "Job",
    "Row",
    "Timing",
    "parse_size",
    "run",
    "run_job",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A network that is timed on random pictures of one size.

    Attributes:
        method: an installed method's name.
        variant: the variant whose network is built; its weights are random, which does not change
            the times.
        weights: a tag or a file whose network is built instead; None for the variant's.
        height: height of the pictures in pixels.
        width: width of the pictures in pixels.
        batch: number of pictures per pass.
        device: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        precision: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        runs: number of timed passes.
        warmup: number of passes before them, one of which counts the arithmetic.
        threads: CPU threads of one operation; None for torch's choice.
        backend: what executes the network; see :class:`rainkit.choices.Backend`.
    """

    method: str
    variant: str = "default"
    weights: str | None = None
    height: int = 512
    width: int = 512
    batch: int = 1
    device: str = "auto"
    precision: str = "auto"
    runs: int = 20
    warmup: int = 3
    threads: int | None = None
    backend: str = "eager"


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The measurements of one job; times and arithmetic are per picture, not per batch.

    Attributes:
        device: full name of the device.
        precision: fp32, bf16 or fp16, as it was chosen.
        threads: CPU threads of one operation.
        median_ms: median wall time of a forward pass, including the wait for the device.
        iqr_ms: interquartile range of these times.
        fastest_ms: the shortest of these times.
        cpu_s: mean processor time of the process, over all its threads.
        parameters: number of trainable values of the network.
        gflop: 10^9 floating-point operations, two for each multiply-add, of convolutions,
            matrix products and attention; element-wise operations are not counted.
        peak_memory_mib: on CUDA, the peak of the memory that tensors held, weights included; on
            the CPU, how far the resident memory of the process rose above that of the loaded
            network; None if the system does not report it.
        torch: version of torch.
    """

    device: str
    precision: str
    threads: int
    median_ms: float
    iqr_ms: float
    fastest_ms: float
    cpu_s: float
    parameters: int
    gflop: float
    peak_memory_mib: float | None
    torch: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A job with its timing, or with the reason why it has none.

    Attributes:
        job: the job.
        timing: its measurements; None if it failed.
        problem: the reason; None if it did not fail.
        usage: whether the reason lies in the request, not in the method or the machine.
    """

    job: Job
    timing: Timing | None = None
    problem: str | None = None
    usage: bool = False

    def to_data(self) -> dict[str, Any]:
        """Return the row as plain data for JSON."""
        return {
            "job": asdict(self.job),
            "timing": asdict(self.timing) if self.timing else None,
            "problem": self.problem,
            "usage": self.usage,
        }


Advance = Callable[[int, int, Job], None]
"""Called before each row with the number of rows done, the number of all rows, and the job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """Request of a benchmark: a row for each combination of method, variant, size and precision.

    Attributes:
        methods: names of installed methods, or ``NAME=WEIGHTS`` for the network of a tag or a file;
            empty for all methods that bring networks.
        variants: time every variant of each method instead of its default.
        sizes: (height, width) of pictures in pixels.
        precisions: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        device: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        batch: number of pictures per pass.
        runs: number of timed passes per row.
        warmup: number of passes before them, at least one.
        threads: CPU threads of one operation; None for torch's choice.
        published: whether the times that the methods' papers print are added.
        backends: what executes the networks; see :class:`rainkit.choices.Backend`.
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
    published: bool = False
    backends: tuple[str, ...] = ("eager",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """The rows, the machine they were measured on, and times that papers print."""

    rows: tuple[Row, ...]
    machine: dict[str, Any]
    published: tuple[PublishedRow, ...] = ()

    @property
    def failed(self) -> int:
        """Number of rows without a timing."""
        return sum(row.timing is None for row in self.rows)

    def to_data(self) -> dict[str, Any]:
        """Return the benchmark as plain data for JSON."""
        data = {"machine": self.machine, "rows": [row.to_data() for row in self.rows]}
        if self.published:
            data["published"] = [row.to_data() for row in self.published]
        return data


def parse_size(text: str) -> tuple[int, int]:
    """Read ``512x768`` as (height, width).

    Raises:
        UsageError: the text does not hold two whole numbers above 0.
    """
    match = re.fullmatch(r"([1-9]\d*)[xX]([1-9]\d*)", text.strip())
    if match is None:
        raise UsageError(f"--size {text}: write HEIGHTxWIDTH in pixels, such as 512x512")
    return int(match[1]), int(match[2])


def run(request: BenchRequest, advance: Advance | None = None) -> Benchmark:
    """Time one row after another, each in a fresh process.

    A method that cannot run is a row with the reason.

    Raises:
        UsageError: an unknown method, device or precision; no method is installed; or no row can
            run as asked for, for example in a precision that every method refuses.
    """
    for precision in request.precisions:
        RuntimeOptions.parse(device=request.device, precision=precision)
    jobs = list(_jobs(request))
    rows = []
    for i, job in enumerate(jobs):
        if advance is not None:
            advance(i, len(jobs), job if isinstance(job, Job) else job.job)
        rows.append(run_job(job) if isinstance(job, Job) else job)
    if all(row.usage for row in rows):
        raise UsageError("; ".join(dict.fromkeys(str(row.problem) for row in rows)))
    return Benchmark(rows=tuple(rows), machine=_machine(), published=_published(request, rows))


def _published(request: BenchRequest, rows: list[Row]) -> tuple[PublishedRow, ...]:
    """Return the times that the papers of the timed methods print, of their rivals, too."""
    timed = dict.fromkeys(row.job.method for row in rows if row.timing) if request.published else ()
    return tuple(row for row in published_rows(map(plugins.get, timed)) if row.result.seconds)


def _jobs(request: BenchRequest) -> Iterator[Job | Row]:
    """Yield jobs in the order of the table, or rows of methods that cannot be loaded."""
    methods = request.methods or tuple(
        each.qualified if each.problem else each.name for each in plugins.installed()
    )
    if not methods:
        raise UsageError(plugins.none_installed())
    for name in methods:
        method, equals, weights = name.partition("=")
        variants: tuple[str, ...] = ("default",)
        problem = None
        try:
            loaded = plugins.get(method)
            if loaded.checkpoints is not None and not (loaded.weights or weights):
                if not request.methods:
                    continue
                raise UsageError(f"--method {name}: name a file, {method}=FILE")
            variants = tuple(loaded.variants) if request.variants and not equals else variants
        except MethodError as error:
            problem = str(error)
        for variant, (height, width), precision, backend in product(
            variants, request.sizes, request.precisions, request.backends
        ):
            job = Job(
                method=method,
                variant=variant,
                weights=weights or None,
                height=height,
                width=width,
                batch=request.batch,
                device=request.device,
                precision=precision,
                runs=request.runs,
                warmup=request.warmup,
                threads=request.threads,
                backend=backend,
            )
            yield job if problem is None else Row(job=job, problem=problem)


def run_job(job: Job) -> Row:
    """Run a job in a fresh interpreter; whatever fails there becomes the row's problem."""
    environment = os.environ.copy()
    # Threads that spin make small networks up to ten times slower on a shared machine.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("GOMP_SPINCOUNT", "0")
    done = subprocess.run(
        [sys.executable, "-m", "rainkit.benchmarking.timing"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return Row(job=job, problem=_death(done.returncode, done.stderr))
    timing = answer["timing"]
    return Row(
        job=job,
        timing=timing and Timing(**timing),
        problem=answer["problem"],
        usage=answer["usage"],
    )


def _death(code: int, stderr: str) -> str:
    if code == -9:
        return "killed by the system, most likely because memory ran out: take a smaller --size"
    last = stderr.strip().splitlines()[-1:] or ["it said nothing"]
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"its process ended with {how}: {last[0]}"


def _machine() -> dict[str, Any]:
    return {
        "rainkit": rainkit.__version__,
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
