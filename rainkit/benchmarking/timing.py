"""The process that times networks: ``python -m rainkit.benchmarking.timing``.

It reads a message of JSON from each line of standard input and answers it in a line of standard
output; what plugins print goes to standard error. A network is prepared, timed as often as asked
for, and finished, so that several processes can take turns.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rainkit import backends, networks, plugins, weights
from rainkit.api import ImageSpec
from rainkit.benchmarking import foreign, machine
from rainkit.benchmarking.roofline import LayerCounter, measured_roof, most_of, synchronise
from rainkit.benchmarking.rows import Job
from rainkit.choices import PLAIN, Backend
from rainkit.errors import RainkitError, UsageError, one_line
from rainkit.networks import ImageOnly
from rainkit.precision import Runtime, choose_runtime

__all__ = ["Subject", "main"]

_MIB = 2**20

_STEADY = 0.97
"""A pass is no faster than those before it if it takes at least this share of the fastest."""

_WARMUPS, _WARMUP_SECONDS = 30, 10.0
"""Most passes before the timed ones, and the time after which no further one is begun."""

_LEAST, _MOST = 10, 200
"""Least and most timed passes, if the request does not tell how many."""

_ENOUGH, _TOO_LONG = 2.0, 30.0
"""Seconds of timed passes that are enough, and after which five of them are."""


class Subject:
    """A network that is ready to be timed.

    Args:
        job: what is timed.
        pinned: whether this process is kept on as many CPUs as it has threads, on the CPU.

    Raises:
        UsageError: an unknown method, variant, device, precision or module.
        MethodError: the network cannot be imported, built or loaded.
        RainkitError: the device has too little memory.
    """

    def __init__(self, job: Job, *, pinned: bool = False) -> None:
        self.job = job
        self.cpus: tuple[int, ...] = ()
        if job.threads is not None:
            torch.set_num_threads(job.threads)
        if pinned and choose_runtime(job.device).device.type == "cpu":
            self.cpus = machine.pin(torch.get_num_threads())  # before threads begin, which inherit
        self._peak: float | None = None
        self._network: ImageOnly | None = None
        self._told = ""
        self._setup = 0.0
        torch.manual_seed(0)
        try:
            with torch.inference_mode():
                if job.source == "onnx":
                    self._open_onnx()
                else:
                    self._build()
        except (RuntimeError, MemoryError) as error:
            if not networks.out_of_memory(error):
                raise
            raise self._too_large() from error

    def _open_onnx(self) -> None:
        job = self.job
        network = foreign.OnnxNetwork(
            Path(job.target), job.device, (job.batch, job.height, job.width),
            torch.get_num_threads(),
        )  # fmt: skip
        self.device = network.device
        self.precision: str = network.precision
        self.layers = network.layers
        self.parameters = network.parameters
        self.version = network.version
        self._place: Callable[[Tensor], Tensor] = partial(Tensor.to, device=self.device)
        self._run: Callable[[Tensor], Tensor] = network
        self._begin()

    def _build(self) -> None:
        job = self.job
        if job.source == "method":
            built, spec, self._told = _method(job)
        else:
            built = (
                foreign.torchscript(Path(job.target))
                if job.source == "torchscript"
                else foreign.imported(job.target)
            )
            spec = ImageSpec(half=("bf16", "fp16"))
            self._told = f"{job.source} {job.target}"
        precision = backends.precision_for(job.backend, job.precision)
        if job.source != "method" and precision == "auto":
            precision = "fp32"  # such networks run in the precision that they are stored in
        runtime = choose_runtime(job.device, precision, spec)
        self.device = runtime.device
        self.precision = runtime.precision
        self.version = f"torch {torch.__version__}"
        before = self._allocated()
        if job.backend == PLAIN:
            runtime = Runtime(runtime.device, "fp32", channels_last=False)
            network = ImageOnly(built.to(runtime.device), spec, runtime)
        else:
            network = networks.prepare(built, spec, runtime, folded=job.source == "method")
        self.parameters = (
            built.parameters_held
            if isinstance(built, foreign.Foreign)
            else networks.parameters(network)
        )
        self._place = runtime.place
        # Before anything is compiled, which a counter cannot look into.
        with LayerCounter(runtime.precision) as counter:
            network.eager(self._pictures())
        self.layers = counter.layers
        if job.source != "method":  # such networks may have a precision of their own
            self.precision = most_of(self.layers, self.precision)
        if job.backend != PLAIN:
            started = time.perf_counter()
            backends.attach(network, job.backend, self._told)
            if isinstance(network.runner, backends.Auto):  # else the times would be torch's
                network.runner.settle()
            self._setup = time.perf_counter() - started
        self._network = network
        self._run = network
        self._begin()
        self._static = self._allocated() - before

    def _begin(self) -> None:
        """Start watching the memory, and run until the times are stable."""
        job = self.job
        self._rainy = self._pictures()
        self._joules: Callable[[], float] | None = None
        self._static = 0.0
        if self.device.type == "cuda":
            uuid = getattr(torch.cuda.get_device_properties(self.device), "uuid", None)
            self._joules = machine.energy_counter(str(uuid)) if uuid else None
        machine.trim()
        self._before = machine.resident()
        self._highest = machine.peak_resident()
        self.warmup = 0
        fastest, steady = math.inf, 0
        started = time.perf_counter()
        while self.warmup < job.warmup or (
            steady < 2
            and self.warmup < _WARMUPS
            and time.perf_counter() - started < _WARMUP_SECONDS
        ):
            took = self._pass()
            steady = steady + 1 if took >= _STEADY * fastest else 0
            fastest = min(fastest, took)
            self.warmup += 1

    def _pictures(self) -> Tensor:
        job = self.job
        return self._place(torch.rand(job.batch, 3, job.height, job.width))

    def _pass(self) -> float:
        """Run once; return the time in ms."""
        started = time.perf_counter()
        self._run(self._rainy)
        synchronise(self.device)
        return (time.perf_counter() - started) * 1e3

    def facts(self) -> dict[str, Any]:
        """Return what is known before any time counts."""
        flop = sum(operations * count for _, operations, _, count in self.layers)
        return {
            "kind": self.device.type,
            "device": _name(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "cpus": self.cpus,
            "warmup": self.warmup,
            "parameters": self.parameters,
            "gflop": flop / 1e9 / self.job.batch if self.layers else None,
            "layers": self.layers,
            "torch": self.version,
        }

    def time(self, rounds: int) -> dict[str, Any]:
        """Run the passes of one round out of several, after one that does not count.

        Returns:
            Times of passes in ms; processor time and energy per picture.
        """
        job = self.job
        times: list[float] = []
        try:
            with torch.inference_mode():
                self._pass()
                base = self._allocated()
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(self.device)
                joules = self._joules() if self._joules else 0.0
                cpu = time.process_time()
                while not self._enough(times, rounds):
                    times.append(self._pass())
                cpu = time.process_time() - cpu
                pictures = len(times) * job.batch
                energy = (self._joules() - joules) / pictures if self._joules else None
        except (RuntimeError, MemoryError) as error:
            if not networks.out_of_memory(error):
                raise
            raise self._too_large() from error
        self._note_peak(base)
        return {"times": times, "cpu_s": cpu / pictures, "energy_j": energy}

    def _enough(self, times: list[float], rounds: int) -> bool:
        if self.job.runs is not None:
            return len(times) >= math.ceil(self.job.runs / rounds)
        spent = sum(times) / 1e3
        if len(times) < max(3, _LEAST / rounds):
            return len(times) >= 5 and spent > _TOO_LONG
        return spent > _ENOUGH / rounds or len(times) >= _MOST / rounds

    def _allocated(self) -> float:
        """Return the bytes that tensors hold on CUDA."""
        on_cuda = self.device.type == "cuda"
        return float(torch.cuda.memory_allocated(self.device)) if on_cuda else 0.0

    def _note_peak(self, base: float) -> None:
        if self.device.type == "cuda":
            rise = torch.cuda.max_memory_allocated(self.device) - base
            # ONNX Runtime has an allocator of its own, of which torch does not know.
            peak: float | None = None if self.job.source == "onnx" else self._static + rise
        else:
            highest = self._highest()
            known = self.device.type == "cpu" and highest is not None and self._before is not None
            peak = max(0.0, highest - self._before) if known else None  # type: ignore[operator]
        if peak is not None:
            self._peak = max(self._peak or 0.0, peak)

    def finish(self, known: set[tuple[str, str]]) -> dict[str, Any]:
        """Return what does not belong to the times: memory, limits of the device, whole files.

        Args:
            known: devices and precisions whose limits this process has measured; added to.
        """
        with torch.inference_mode():
            found: dict[str, Any] = {
                "peak_memory_mib": None if self._peak is None else self._peak / _MIB,
                **(self.whole_files() if self.job.end_to_end else {}),
            }
            del self._rainy
            _rest(self.device)
            found["roofs"] = []
            for precision in dict.fromkeys(layer[0] for layer in self.layers):
                if (str(self.device), precision) not in known:
                    known.add((str(self.device), precision))
                    gflop_s, gb_s = measured_roof(self.device, precision)
                    found["roofs"].append((precision, gflop_s, gb_s))
        return found

    def remember(self, median_ms: float) -> None:
        """Keep the time for ``--backend auto``, with the distance to torch in float32."""
        job, network = self.job, self._network
        usable = ("eager", Backend.CUDAGRAPH, *backends.installed())
        if network is None or job.source != "method" or job.batch > 1 or job.backend not in usable:
            return
        exact = copy.copy(network)
        exact.runtime = dataclasses.replace(network.runtime, precision="fp32")
        rainy = self._pictures()
        with torch.inference_mode():
            db = min(backends.decibels(network(rainy), exact.eager(rainy)), 200.0)
        found = backends.Measurement(
            backend=job.backend,
            network=self._told,
            place=backends.place(network.runtime),
            size=f"{job.height}x{job.width}",
            ms=median_ms,
            db=db,
            setup_s=self._setup,
        )
        backends.remember([found])

    def whole_files(self) -> dict[str, float]:
        """Time a picture from the bytes of a JPEG file to those of the derained one."""
        from rainkit import images

        if self.job.batch > 1:
            return {}
        data = images.encode(images.Picture(_photograph(self.job)), ".jpg", quality=95)
        parts: list[tuple[float, float, float]] = []
        while len(parts) < 3 or (len(parts) < 20 and sum(whole for whole, *_ in parts) < 2):
            started = time.perf_counter()
            picture = images.decode(data, "timed.jpg")
            rainy = self._place(images.to_tensor(picture.rgb))
            decoded = time.perf_counter()
            clean = self._run(rainy)
            synchronise(self.device)
            ran = time.perf_counter()
            pixels = images.to_array(clean, np.uint8)
            images.encode(dataclasses.replace(picture, rgb=pixels), ".jpg")
            ended = time.perf_counter()
            parts.append((ended - started, decoded - started, ended - ran))
        names = ("file_ms", "decode_ms", "encode_ms")
        return {
            name: statistics.median(column) * 1e3
            for name, column in zip(names, zip(*parts, strict=True), strict=True)
        }

    def _too_large(self) -> RainkitError:
        job = self.job
        return RainkitError(
            f"{job.method}: the device has too little memory for {job.batch} x"
            f" {job.height}x{job.width}; take a smaller --size or --batch"
        )


def _method(job: Job) -> tuple[torch.nn.Module, ImageSpec, str]:
    """Return a method's network, its requirements and its identity."""
    method = plugins.get(job.method)
    if job.variant not in method.variants:
        known = ", ".join(method.variants)
        raise UsageError(f"{job.method} has no variant {job.variant}; it has {known}")
    file = weights.find(method, job.weights) if job.weights else None
    settings = file.network if file else method.variants[job.variant].network
    built = networks.build(method, settings)
    built = weights.load(built, file) if file else built
    return built, method.image(settings), backends.identity(method, settings)


def _photograph(job: Job) -> Any:
    """Return a picture [H,W,3] uint8 that compresses about as a photograph does."""
    import cv2

    generator = np.random.default_rng(0)
    total = np.zeros((job.height, job.width, 3), np.float32)
    side = max(job.height, job.width)
    cells = 4
    while cells < 2 * side:  # octaves whose strength falls as in nature
        noise = generator.standard_normal((min(cells, side), min(cells, side), 3), np.float32)
        total += cv2.resize(noise, (job.width, job.height), interpolation=cv2.INTER_CUBIC) / cells
        cells *= 2
    total = (total - total.mean()) / total.std()
    return np.clip(128 + 50 * total, 0, 255).astype(np.uint8)


def _rest(device: torch.device) -> None:
    """Give back the memory that passes used, while others are timed."""
    machine.trim()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{device.type} ({platform.machine()})"
    return machine.processor_name()


class _Process:
    """The subjects of this process, and what it answers."""

    def __init__(self) -> None:
        self._subjects: dict[int, Subject] = {}
        self._roofs: set[tuple[str, str]] = set()

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what a message asks for; the answer to one that fails holds the problem."""
        try:
            return self._done(message)
        except RainkitError as error:
            return {"problem": str(error), "usage": isinstance(error, UsageError)}
        except Exception as error:
            return {"problem": f"{type(error).__name__}: {one_line(error)}", "usage": False}

    def _done(self, message: dict[str, Any]) -> dict[str, Any]:
        number, work = message["id"], message["do"]
        if work == "prepare":
            self._subjects[number] = Subject(Job(**message["job"]), pinned=True)
            return self._subjects[number].facts()
        if work == "drop":
            # Memory is clean for the next network.
            if number in self._subjects:
                device = self._subjects.pop(number).device
                _rest(device)
            return {}
        subject = self._subjects[number]
        if work == "time":
            answer = subject.time(message["rounds"])
            if message["rest"]:
                _rest(subject.device)
            return answer
        if work == "remember":
            subject.remember(message["median_ms"])
            return {}
        return subject.finish(self._roofs)


def main() -> None:
    """Answer messages until there are no more."""
    # Answers keep the real standard output, which prints of plugins and libraries do not reach.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    process = _Process()
    with answers:
        for line in sys.stdin:
            json.dump(process.answer(json.loads(line)), answers)
            answers.write("\n")
            answers.flush()


if __name__ == "__main__":
    main()
