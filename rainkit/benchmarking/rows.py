"""What a benchmark is asked for and what it finds: jobs, rows, and the statistics of times.

This module does not import torch: :mod:`rainkit.benchmarking.timing` does, in processes of its own.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

from rainkit import plugins
from rainkit.choices import PLAIN
from rainkit.errors import MethodError, UsageError
from rainkit.published import PublishedRow

__all__ = [
    "NOISY",
    "PAIRWISE",
    "BenchRequest",
    "Benchmark",
    "Job",
    "Roof",
    "Row",
    "Timing",
    "jobs_of",
    "least_time",
    "parse_batch",
    "parse_size",
    "parse_target",
    "short",
    "spread",
    "summarised",
]

NOISY = 0.10
"""Interquartile range of the times, as a share of their median, above which a row is noisy."""

PAIRWISE = "source", "target", "method", "variant", "weights", "height", "width", "batch"
"""Fields of a job that rows have in common whose times are compared with one another."""

Source = Literal["method", "torchscript", "onnx", "import"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A network that is timed on random pictures of one size.

    Attributes:
        method: an installed method's name, or a name for the network of a file or a module.
        variant: the variant whose network is built; its weights are random, which does not change
            the times.
        weights: a tag or a file whose network is built instead; None for the variant's.
        source: where the network comes from.
        target: the file, or ``module:callable``; empty for methods.
        height: height of the pictures in pixels.
        width: width of the pictures in pixels.
        batch: number of pictures per pass.
        device: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        precision: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        backend: what executes the network; see :class:`rainkit.choices.TimedBackend`.
        threads: CPU threads of one operation; None for torch's choice.
        runs: number of timed passes of all rounds together; None for enough of them.
        warmup: least number of passes before the timed ones.
        end_to_end: whether a picture is also decoded, derained and encoded.
    """

    method: str
    variant: str = "default"
    weights: str | None = None
    source: Source = "method"
    target: str = ""
    height: int = 512
    width: int = 512
    batch: int = 1
    device: str = "auto"
    precision: str = "auto"
    backend: str = "eager"
    threads: int | None = None
    runs: int | None = None
    warmup: int = 3
    end_to_end: bool = False

    @property
    def size(self) -> str:
        """Height and width, and the batch if there are several pictures in a pass."""
        return f"{self.height}x{self.width}" + (f" x{self.batch}" if self.batch > 1 else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Roof:
    """What a device was measured to do at most, in one precision.

    Attributes:
        device: full name of the device.
        threads: CPU threads.
        precision: fp32, tf32, bf16, fp16, fp64 or int8.
        gflop_s: 10^9 floating-point operations per second of a large matrix product.
        gb_s: 10^9 bytes per second, read and written together, of a large copy.
    """

    device: str
    threads: int
    precision: str
    gflop_s: float
    gb_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The measurements of one job; times are those of a pass, which may hold several pictures.

    Attributes:
        device: full name of the device.
        precision: fp32, tf32, bf16 or fp16, as it was chosen; of other people's networks, which may
            also compute in fp64 or int8, that of most of their arithmetic.
        threads: CPU threads of one operation.
        cpus: numbers of the CPUs that the process was pinned to; empty if it was not.
        median_ms: median wall time of a pass, including the wait for the device.
        p5_ms: time that 5 % of the passes stay below.
        p95_ms: time that 95 % of the passes stay below.
        iqr_ms: interquartile range of the times.
        fastest_ms: the shortest of the times.
        passes: number of timed passes.
        warmup: number of passes that ran before them until the times were stable.
        measurements: number of times that the row was measured; the quietest of them count.
        noisy: whether the interquartile range is still above 10 % of the median.
        cpu_s: mean processor time of the process per picture, over all its threads.
        parameters: number of trainable values of the network, or of all weights and biases of other
            people's; None if a file does not tell.
        gflop: 10^9 floating-point operations per picture, two for each multiply-add, of
            convolutions, matrix products and attention; element-wise operations are not counted.
            None if a file does not tell.
        peak_memory_mib: on CUDA, the peak of the memory that tensors held, weights included; on
            the CPU, how far the resident memory of the process rose above that of the loaded
            network; None if the system does not report it.
        roof_ms: least time of a pass on this device: the sum over layers of the time that the
            arithmetic takes at the peak of a matrix product, or the reading and writing takes at
            the pace of a copy, whichever is more. None if the layers are unknown.
        speed_up: how many times faster than the first row of the same network, variant, size and
            batch: the median over rounds. None if there is no other row.
        energy_j: joule per picture of the whole GPU; None if NVML does not tell.
        file_ms: median time from the bytes of a JPEG file to those of the derained one.
        decode_ms: the part of it that decoding takes.
        encode_ms: the part of it that encoding takes.
        torch: version of torch, or of another runtime.
    """

    device: str
    precision: str
    threads: int
    cpus: tuple[int, ...] = ()
    median_ms: float
    p5_ms: float
    p95_ms: float
    iqr_ms: float
    fastest_ms: float
    passes: int
    warmup: int = 0
    measurements: int = 1
    noisy: bool = False
    cpu_s: float
    parameters: int | None
    gflop: float | None
    peak_memory_mib: float | None
    roof_ms: float | None = None
    speed_up: float | None = None
    energy_j: float | None = None
    file_ms: float | None = None
    decode_ms: float | None = None
    encode_ms: float | None = None
    torch: str

    @property
    def share(self) -> float | None:
        """How near the network runs to the device's limit: its least time over its own, 0 to 1."""
        return None if self.roof_ms is None else self.roof_ms / self.median_ms


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

    @property
    def per_second(self) -> float | None:
        """Pictures per second; None if the row failed."""
        timing = self.timing
        return None if timing is None else 1e3 * self.job.batch / timing.median_ms

    def to_data(self) -> dict[str, Any]:
        """Return the row as plain data for JSON."""
        timing = self.timing
        derived = timing and {"roofline_share": timing.share, "pictures_per_s": self.per_second}
        return {
            "job": asdict(self.job),
            "timing": timing and asdict(timing) | (derived or {}),
            "problem": self.problem,
            "usage": self.usage,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """Request of a benchmark: a row for each network, size, batch, precision and backend.

    Attributes:
        methods: names of installed methods, or ``NAME=WEIGHTS`` for the network of a tag or a file.
        every: all installed methods that bring networks.
        variants: time every variant of each method instead of its default.
        torchscript: TorchScript files of other people's networks.
        onnx: ONNX files of other people's networks, which ONNX Runtime executes.
        imported: other people's networks as ``module:callable``.
        sizes: (height, width) of pictures in pixels.
        batches: numbers of pictures per pass.
        precisions: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        backends: what executes the networks; see :class:`rainkit.choices.TimedBackend`.
        device: as in :class:`rainkit.runtime_options.RuntimeOptions`.
        rounds: number of times that all rows are measured one after the other.
        runs: number of timed passes per row, in all rounds together; None for enough of them.
        warmup: least number of passes before the timed ones.
        threads: CPU threads of one operation; None for torch's choice.
        end_to_end: whether a picture is also decoded, derained and encoded.
        published: whether the times that the methods' papers print are added.
        seconds: after this time no further row is begun, and none is measured again; None for no
            limit.
    """

    methods: tuple[str, ...] = ()
    every: bool = False
    variants: bool = False
    torchscript: tuple[Path, ...] = ()
    onnx: tuple[Path, ...] = ()
    imported: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ((512, 512),)
    batches: tuple[int, ...] = (1,)
    precisions: tuple[str, ...] = ("auto",)
    backends: tuple[str, ...] = ("eager",)
    device: str = "auto"
    rounds: int = 1
    runs: int | None = None
    warmup: int = 3
    threads: int | None = None
    end_to_end: bool = False
    published: bool = False
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """The rows, the machine they were measured on, and times that papers print."""

    rows: tuple[Row, ...]
    machine: dict[str, Any]
    roofs: tuple[Roof, ...] = ()
    rounds: int = 1
    published: tuple[PublishedRow, ...] = field(default=())

    @property
    def timed(self) -> tuple[Row, ...]:
        """The rows that did not fail."""
        return tuple(row for row in self.rows if row.timing is not None)

    @property
    def failed(self) -> int:
        """Number of rows without a timing."""
        return len(self.rows) - len(self.timed)

    @property
    def noisy(self) -> int:
        """Number of rows whose times scatter although they were measured again."""
        return sum(row.timing is not None and row.timing.noisy for row in self.rows)

    def to_data(self) -> dict[str, Any]:
        """Return the benchmark as plain data for JSON."""
        data = {
            "machine": self.machine,
            "rounds": self.rounds,
            "roofline": [asdict(roof) for roof in self.roofs],
            "rows": [row.to_data() for row in self.rows],
        }
        if self.published:
            data["published"] = [row.to_data() for row in self.published]
        return data


_NAMED_SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}


def parse_size(text: str) -> tuple[int, int]:
    """Read ``512``, ``720p``, ``1080p`` or ``512x768`` as (height, width).

    Raises:
        UsageError: the text is none of these.
    """
    text = text.strip().lower()
    if text in _NAMED_SIZES:
        return _NAMED_SIZES[text]
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if match is None:
        raise UsageError(
            f"--size {text}: write HEIGHTxWIDTH in pixels, such as 512x768, or 512, 720p or 1080p"
        )
    return int(match[1]), int(match[2] or match[1])


def parse_batch(text: str) -> tuple[int, ...]:
    """Read ``4`` as one number of pictures, and ``1-16`` as 1, 2, 4, 8 and 16.

    Raises:
        UsageError: the text is neither.
    """
    match = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", text.strip())
    if match is None or int(match[1]) > int(match[2] or match[1]):
        raise UsageError(
            f"--batch {text}: give a number of pictures, such as 4, or 1-16 for 1, 2, 4, 8 and 16"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    found = []
    while first < last:
        found.append(first)
        first *= 2
    return (*found, last)


def parse_target(text: str) -> str:
    """Check ``module:callable``, and return the callable's name for the table.

    Raises:
        UsageError: the text is not of this form.
    """
    match = re.fullmatch(r"[A-Za-z_][\w.]*:([A-Za-z_][\w.]*)", text)
    if match is None:
        raise UsageError(f"--import {text}: write module:callable, such as networks.prenet:PReNet")
    return match[1]


def jobs_of(request: BenchRequest) -> list[Job | Row]:
    """Return the jobs in the order of the table, and rows of methods that cannot be loaded.

    Rows that would do the same are listed once.

    Raises:
        UsageError: no method is installed, one is unknown, or a file is not there.
    """
    return list(dict.fromkeys(_jobs(request)))


def _jobs(request: BenchRequest) -> Iterator[Job | Row]:
    methods = request.methods
    if request.every:
        methods = tuple(
            each.qualified if each.problem else each.name for each in plugins.installed()
        )
        if not methods:
            raise UsageError(plugins.none_installed())
    for name in methods:
        method, equals, weights = name.partition("=")
        if equals and not weights:
            raise UsageError(f"--method {name}: name weights behind it, as in {method}=FILE")
        variants: tuple[str, ...] = ("default",)
        problem = None
        try:
            loaded = plugins.get(method)
            if loaded.checkpoints is not None and not (loaded.weights or weights):
                if request.every:
                    continue
                raise UsageError(f"--method {name}: name a file, {method}=FILE")
            if request.variants and not equals:
                variants = tuple(loaded.variants)
            elif loaded.weights and not weights:
                shipped = loaded.weights[0]  # what infer takes, which may be another variant
                weights, variants = shipped.tag if shipped.file else "", (shipped.variant,)
        except MethodError as error:
            problem = str(error)
        for variant in variants:
            network = {"method": method, "variant": variant, "weights": weights or None}
            for job in _settings(request, request.backends, **network):
                yield job if problem is None else Row(job=job, problem=problem)
    for option, files in (("torchscript", request.torchscript), ("onnx", request.onnx)):
        for file in files:
            if not file.is_file():
                raise UsageError(f"--{option} {file}: no such file")
            backends = request.backends if option == "torchscript" else ("onnx",)
            yield from _settings(
                request, backends, method=file.stem, variant="", source=option, target=str(file)
            )
    for target in request.imported:
        yield from _settings(
            request, request.backends, method=parse_target(target), variant="", source="import",
            target=target,
        )  # fmt: skip


def _settings(request: BenchRequest, backends: Sequence[str], **network: Any) -> Iterator[Job]:
    """Yield the jobs of one network."""
    for (height, width), batch, precision, backend in product(
        request.sizes, request.batches, request.precisions, backends
    ):
        exact = backend == PLAIN or network.get("source") == "onnx"
        yield Job(
            height=height,
            width=width,
            batch=batch,
            device=request.device,
            precision="fp32" if exact else precision,
            backend=backend,
            threads=request.threads,
            runs=request.runs,
            warmup=request.warmup,
            end_to_end=request.end_to_end,
            **network,
        )


def short(value: float) -> str:
    """Return a figure with one decimal, or two below 10: fast networks take 1 ms or less."""
    return f"{value:.{2 if value < 9.995 else 1}f}"


def spread(times: Sequence[float]) -> float:
    """Return the interquartile range of times as a share of their median."""
    quartiles = _quantiles(times, 4)
    return (quartiles[2] - quartiles[0]) / statistics.median(times)


def summarised(times: Sequence[float]) -> dict[str, float]:
    """Return the fields of :class:`Timing` that describe a distribution of times in ms."""
    quartiles, twentieths = _quantiles(times, 4), _quantiles(times, 20)
    return {
        "median_ms": statistics.median(times),
        "p5_ms": twentieths[0],
        "p95_ms": twentieths[-1],
        "iqr_ms": quartiles[2] - quartiles[0],
        "fastest_ms": min(times),
    }


def _quantiles(times: Sequence[float], n: int) -> list[float]:
    if len(times) < 2:
        return [*times] * (n - 1)
    return statistics.quantiles(times, n=n, method="inclusive")


def least_time(
    layers: Iterable[Sequence[Any]], roofs: Iterable[Roof], device: str, threads: int
) -> float | None:
    """Return the least time of a pass in seconds, or None if a roof is unknown.

    Args:
        layers: (precision, operations, bytes, number of such layers) of each kind of layer.
        roofs: what was measured.
        device: full name of the device.
        threads: CPU threads.
    """
    here = {
        roof.precision: roof for roof in roofs if (roof.device, roof.threads) == (device, threads)
    }
    total = 0.0
    for precision, operations, moved, count in layers:
        roof = here.get(precision)
        if roof is None:
            return None
        total += count * max(operations / roof.gflop_s, moved / roof.gb_s) / 1e9
    return total or None
