"""The process that times one row: ``python -m rainkit.benchmarking.timing``.

It reads the job as JSON from standard input and writes the row as JSON to standard output; what
plugins print goes to standard error.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rainkit import backends, networks, plugins, weights
from rainkit.benchmarking.rows import Job, Row, Timing
from rainkit.errors import RainkitError, UsageError, one_line
from rainkit.networks import ImageOnly
from rainkit.precision import choose_runtime

__all__ = [
    "main",
    "measure",
]


_MIB = 2**20


def measure(job: Job) -> Timing:
    """Build the job's network and time it.

    The memory figure is clean only in a process that has run no network before.

    Raises:
        UsageError: an unknown method, variant, device or precision.
        MethodError: the method cannot be imported or built.
        RainkitError: the device has too little memory.
    """
    method = plugins.get(job.method)
    if job.variant not in method.variants:
        known = ", ".join(method.variants)
        raise UsageError(f"{job.method} has no variant {job.variant}; it has {known}")
    file = job.weights and weights.find(method, job.weights)
    settings = file.network if file else method.variants[job.variant].network
    spec = method.image(settings)
    runtime = choose_runtime(job.device, job.precision, spec)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    built = networks.build(method, settings)
    built = weights.load(built, file) if file else built
    network = networks.prepare(built, spec, runtime, folded=True)
    told = backends.identity(method, settings)
    started = time.perf_counter()
    backends.attach(network, job.backend, told)
    setup = time.perf_counter() - started
    rainy = runtime.place(torch.rand(job.batch, spec.channels, job.height, job.width))
    try:
        with torch.inference_mode():
            timing = _measured(job, network, rainy, networks.parameters(network))
            _remember(job, network, rainy, timing, told, setup)
            return timing
    except torch.OutOfMemoryError as error:
        raise RainkitError(
            f"{job.method}: the device has too little memory for {job.batch} x"
            f" {job.height}x{job.width}; take a smaller --size or --batch"
        ) from error


def _remember(
    job: Job, network: ImageOnly, rainy: Tensor, timing: Timing, told: str, setup: float
) -> None:
    """Keep the time for ``--backend auto``, with the distance to torch in float32."""
    if job.batch > 1 or job.backend not in ("eager", *backends.installed()):
        return
    exact = copy.copy(network)
    exact.runtime = dataclasses.replace(network.runtime, precision="fp32")
    found = backends.Measurement(
        backend=job.backend,
        network=told,
        place=backends.place(network.runtime),
        size=f"{job.height}x{job.width}",
        ms=timing.median_ms,
        db=min(backends.decibels(network(rainy), exact.eager(rainy)), 200.0),
        setup_s=setup,
    )
    backends.remember([found])


def _measured(job: Job, network: ImageOnly, rainy: Tensor, parameters: int) -> Timing:
    device = rainy.device
    peak = _watch_memory(device)
    with FlopCounterMode(display=False) as counter:
        network.eager(rainy)
    for _ in range(job.warmup - 1):
        network(rainy)
    _synchronise(device)
    times = []
    cpu = time.process_time()
    for _ in range(job.runs):
        started = time.perf_counter()
        network(rainy)
        _synchronise(device)
        times.append((time.perf_counter() - started) * 1e3 / job.batch)
    cpu = time.process_time() - cpu
    memory = peak()
    quartiles = (
        statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    )
    return Timing(
        device=_name(device),
        precision=network.runtime.precision,
        threads=torch.get_num_threads(),
        median_ms=statistics.median(times),
        iqr_ms=quartiles[2] - quartiles[0],
        fastest_ms=min(times),
        cpu_s=cpu / job.runs / job.batch,
        parameters=parameters,
        gflop=counter.get_total_flops() / 1e9 / job.batch,
        peak_memory_mib=None if memory is None else memory / _MIB,
        torch=torch.__version__,
    )


def _synchronise(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _watch_memory(device: torch.device) -> Callable[[], float | None]:
    """Start watching; return a function that gives the peak in bytes, or None if unknown."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: float(torch.cuda.max_memory_allocated(device))
    if device.type != "cpu":
        return lambda: None
    before = _status("VmRSS")
    try:
        # Linux: resets the process's own high-water mark, VmHWM, to its present size.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return lambda: None

    def rise() -> float | None:
        highest = _status("VmHWM")
        return None if before is None or highest is None else max(0.0, highest - before)

    return rise


def _status(key: str) -> float | None:
    """Return a size in bytes from /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return float(value.split()[0]) * 1024
    return None


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{device.type} ({platform.machine()})"
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "cpu"


def main() -> None:
    """Read a job, time it, and write its row."""
    # The row keeps the real standard output, which prints of plugins and libraries do not reach.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = Job(**json.load(sys.stdin))
    try:
        result = Row(job=job, timing=measure(job))
    except RainkitError as error:
        result = Row(job=job, problem=str(error), usage=isinstance(error, UsageError))
    except Exception as error:
        reason = one_line(error)
        result = Row(job=job, problem=f"{type(error).__name__}: {reason}")
    with answer:
        json.dump(result.to_data(), answer)


if __name__ == "__main__":
    main()
