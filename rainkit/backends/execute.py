"""Which backend a prepared network runs on, and the runner that does it.

``eager`` is torch as it is, ``compile`` is torch.compile (whose own cache on disk keeps compiled
kernels by the hash of graph, shapes and versions), ``openvino`` and ``onnx`` run the network as a
converted file, which is kept by the hash of its weights, settings and versions. ``auto`` is eager
unless ``rainkit bench`` has measured a faster one here that gives the same pictures.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rainkit import networks
from rainkit.api import ImageSpec, Method
from rainkit.backends import cache, convert
from rainkit.backends.convert import Run
from rainkit.choices import Backend
from rainkit.errors import MethodError, RainkitError, UsageError
from rainkit.hyperparameters import section_to_data
from rainkit.networks import ImageOnly
from rainkit.precision import choose_runtime
from rainkit.weights import WeightsFile

__all__ = ["Later", "Runner", "attach", "attach_file", "converted", "identity", "installed"]

_MODULES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}


def installed() -> tuple[str, ...]:
    """Return the backends beside eager and compile whose packages are installed."""
    import importlib.util

    return tuple(
        name
        for name, modules in _MODULES.items()
        if all(importlib.util.find_spec(module) is not None for module in modules)
    )


def identity(method: Method, settings: Any) -> str:
    """Return the text that tells networks apart: method and network hyperparameters."""
    return f"{method.name} {json.dumps(section_to_data(settings))}"


class Runner:
    """Runs pictures through a converted network, and those that are too small through torch.

    Attributes:
        backend: name of the backend.
    """

    def __init__(self, backend: str, network: ImageOnly, run: Run, smallest: int) -> None:
        self.backend = backend
        self._network = network
        self._run = run
        self._smallest = smallest

    def __call__(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float in [0,1] -> the clean pictures, float32, not clamped."""
        if min(rainy.shape[-2:]) < self._smallest:
            return self._network.eager(rainy)
        pictures = rainy.detach().float().cpu()
        clean = torch.cat([self._run(picture) for picture in torch.split(pictures, 1)])
        return clean.to(self._network.runtime.device)


class Later:
    """Runs torch until a faster backend is ready, which a thread prepares once it would pay.

    The preparation starts when torch has run for as long as it takes. A run that ends before was
    not slowed down.

    Attributes:
        backend: name of the backend that is used now.
    """

    def __init__(
        self, network: ImageOnly, make: Callable[[], Callable[[Tensor], Tensor]], cost: float
    ) -> None:
        self.backend = "eager"
        self._network = network
        self._make = make
        self._cost = cost
        self._spent = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready: Callable[[Tensor], Tensor] | None = None

    def __call__(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float in [0,1] -> the clean pictures, float32, not clamped."""
        if self._ready is not None:
            return self._ready(rainy)
        start = time.perf_counter()
        clean = self._network.eager(rainy)
        with self._lock:
            self._spent += time.perf_counter() - start
            if self._spent >= self._cost and self._thread is None:
                self._thread = threading.Thread(target=self._prepare, daemon=True)
                self._thread.start()
        return clean

    def wait(self) -> None:
        """Wait for the preparation, if it has begun."""
        if self._thread is not None:
            self._thread.join()

    def _prepare(self) -> None:
        with suppress(RainkitError, RuntimeError, OSError):  # torch goes on
            ready = self._make()
            self.backend = getattr(ready, "backend", "eager")
            self._ready = ready


def attach(network: ImageOnly, backend: str, told: str) -> ImageOnly:
    """Let a prepared network run on a backend; the parts and blocks of a method stay on torch.

    Args:
        network: a network of :func:`rainkit.networks.prepare`.
        backend: ``auto``, ``eager``, ``compile``, ``openvino`` or ``onnx``.
        told: what tells networks apart: see :func:`identity`.

    Raises:
        UsageError: the backend is not installed, or cannot run on this device or in this
            precision.
        MethodError: the network cannot be converted.
    """
    if backend in (Backend.EAGER, Backend.COMPILE):
        if backend == Backend.COMPILE:
            network.network.compile()
            network.backend = "compile"
        return network
    on_cpu = network.runtime.device.type == "cpu"
    if backend == Backend.AUTO:
        if not on_cpu:
            return network
        found = cache.fastest(network.runtime, told, installed())
        if found is not None:
            chosen = found.backend
            network.runner = Later(network, lambda: converted(network, chosen, told), found.setup_s)
        return network
    if not on_cpu:
        raise UsageError(
            f"--backend {backend} runs on the CPU; pass --device cpu, or --backend eager"
        )
    _check_precision(backend, network)
    network.runner = converted(network, backend, told)
    network.backend = backend
    return network


def attach_file(network: ImageOnly, path: Path, weights: WeightsFile, method: str) -> ImageOnly:
    """Let a prepared network run as a file of ``rainkit export``.

    Raises:
        UsageError: there is no such file, it is of another method or of other weights, or its
            runtime is not installed.
        FileError: the file is damaged.
    """
    about = convert.told_in(path)
    if about["method"] != method:
        raise UsageError(f"--backend {path}: is a network of {about['method']}, not of {method}")
    if about.get("sha256") != weights.sha256:
        raise UsageError(
            f"--backend {path}: was exported with the weights {about.get('weights')}, and "
            f"{weights.name} are other ones; name its weights by --weights, or export it again"
        )
    if network.runtime.device.type != "cpu":
        raise UsageError(f"--backend {path}: such files run on the CPU; pass --device cpu")
    kind = next(kind for kind, suffix in convert.SUFFIXES.items() if suffix == path.suffix)
    if kind != "pt2":
        _check_precision(kind, network)
    smallest = int(about.get("smallest_side", convert.SMALLEST))
    run = convert.open_file(path, network.runtime.precision)
    network.runner = Runner(kind, network, run, smallest)
    network.backend = kind
    return network


def _check_precision(backend: str, network: ImageOnly) -> None:
    precision = network.runtime.precision
    if precision == "fp16" or (precision == "bf16" and backend == "onnx"):
        raise UsageError(
            f"--backend {backend} does not compute in {precision}; pass --precision fp32"
        )


def converted(network: ImageOnly, backend: str, told: str) -> Runner:
    """Convert a network for a backend, or take the conversion from the cache, and prove it.

    Raises:
        UsageError: the backend is not installed.
        MethodError: the network cannot be converted, or gives other pictures there.
    """
    spec = network.spec
    state = network.network.state_dict()
    place = cache.folder() / "models" / cache.model_key(state, f"{told} {spec!r}", backend)
    file = place / f"model{convert.SUFFIXES[backend]}"
    precision = network.runtime.precision
    if file.is_file():
        with suppress(RainkitError):  # a damaged file is made again
            return _proven(network, backend, convert.open_file(file, precision))
    run: Run
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".rainkit-", dir=place.parent))
    except OSError:  # a home that cannot be written
        with tempfile.TemporaryDirectory() as folder:
            return _proven(network, backend, _make(network, spec, backend, Path(folder)))
    try:
        run = _make(network, spec, backend, made)
        runner = _proven(network, backend, run)
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # another process was faster
            os.replace(made, place)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return runner


def _make(network: ImageOnly, spec: ImageSpec, backend: str, folder: Path) -> Run:
    plain: nn.Module = copy.deepcopy(network.network).cpu().float()
    file = folder / f"model{convert.SUFFIXES[backend]}"
    convert.convert(plain, spec, backend, file, {"method": "cached"})
    convert.check(plain, spec, convert.open_file(file))
    return convert.open_file(file, network.runtime.precision)


def _proven(network: ImageOnly, backend: str, run: Run) -> Runner:
    """Return the runner if its pictures are within 50 dB of those of torch in float32."""
    spec = network.spec
    runner = Runner(backend, network, run, convert.smallest_side(spec))
    side = convert.smallest_side(spec) + 33
    rainy = torch.rand(1, 3, side, side + 16, generator=torch.Generator().manual_seed(2))
    plain: nn.Module = copy.deepcopy(network.network)
    exact = networks.prepare(plain, spec, choose_runtime("cpu", "fp32", spec))
    with torch.inference_mode():
        db = convert.decibels(runner(rainy), exact(rainy))
    if not db >= cache.PROVEN:
        raise MethodError(
            f"{backend} gives other pictures than torch ({db:.1f} dB, {cache.PROVEN:g} are "
            "needed); pass --backend eager"
        )
    return runner
