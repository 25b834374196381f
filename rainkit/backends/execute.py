"""Which backend a prepared network runs on, and the runner that does it.

``eager`` is torch as it is, ``compile`` is torch.compile (whose own cache on disk keeps compiled
kernels by the hash of graph, shapes and versions), ``openvino`` and ``onnx`` run the network as a
converted file, which is kept by the hash of its weights, settings and versions, and ``cudagraph``
starts all kernels of a shape at once on NVIDIA GPUs. ``auto`` is eager until a faster one that
gives the same pictures is known here, which long runs find out.
"""

from __future__ import annotations

import atexit
import copy
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor, nn

from rainkit import networks
from rainkit.api import Method
from rainkit.backends import cache, convert
from rainkit.backends.convert import Run
from rainkit.backends.graphs import Graphs
from rainkit.choices import Backend
from rainkit.errors import MethodError, RainkitError, UsageError, one_line
from rainkit.hyperparameters import section_to_data
from rainkit.networks import ImageOnly
from rainkit.precision import choose_runtime
from rainkit.weights import WeightsFile

__all__ = [
    "WORTH",
    "Auto",
    "Runner",
    "attach",
    "attach_file",
    "candidates",
    "converted",
    "identity",
    "installed",
    "precision_for",
]

_log = logging.getLogger(__name__)

WORTH = 20.0
"""Seconds that torch runs before ``auto`` tries backends of which nothing is known."""

_STEPS = 4
"""Number of pictures of a run that each backend is compared with torch on."""

_PATIENCE = 20.0
"""Seconds that the end of the interpreter waits for a preparation that was stopped."""

_CRASHED = (-6, -9, -11)
"""Exit codes of a process that gave up, was ended for want of memory, or broke its memory."""

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
        smallest: shortest side in pixels of pictures that the converted network takes.
        db: PSNR in dB between its results and those of torch in float32; inf if it is not known.
    """

    def __init__(self, backend: str, network: ImageOnly, run: Run, smallest: int) -> None:
        self.backend = backend
        self.smallest = smallest
        self.db = math.inf
        self._network = network
        self._run = run

    def __call__(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float in [0,1] -> the clean pictures, float32, not clamped.

        Raises:
            MethodError: the converted network fails.
            MemoryError: it has too little memory.
        """
        if min(rainy.shape[-2:]) < self.smallest:
            return self._network.eager(rainy)
        pictures = rainy.detach().float().cpu()
        try:
            clean = torch.cat([self._run(picture) for picture in torch.split(pictures, 1)])
        except Exception as error:  # runtimes raise classes of their own
            if networks.out_of_memory(error):
                raise MemoryError(one_line(error)) from error
            raise MethodError(
                f"{self.backend} fails ({one_line(error)}); pass --backend eager"
            ) from error
        return clean.to(self._network.runtime.device)


class _Candidate:
    """A runner that is compared with torch on the pictures of a run.

    Attributes:
        runner: the runner.
        setup_s: seconds that opening it took.
        db: PSNR in dB between its result of a picture and torch's.
        best: fewest seconds of a pixel.
        step: number of pictures that it was compared on.
    """

    def __init__(self, runner: Runner, setup_s: float) -> None:
        self.runner, self.setup_s = runner, setup_s
        self.db = runner.db
        self.best = math.inf
        self.step = 0


class Auto:
    """Runs torch, and a faster backend once one is known and ready.

    What was measured here is read from the cache. If nothing was, the installed backends are tried
    as soon as torch has run for :data:`WORTH` seconds: a process that takes idle time alone
    converts the network and proves the conversion, and then a few pictures of the run itself are
    computed by each backend in turn. The fastest that gives the same pictures computes the rest, if
    it is faster than torch, and the cache keeps the times. So a run is as fast as torch alone, or
    faster.

    Attributes:
        backend: name of the backend that is used now.

    Args:
        network: the prepared network.
        told: what tells networks apart: see :func:`identity`.
        source: method and weights of the network; without them nothing is tried.
        known: the backend that was measured to be the fastest; None if nothing was measured.
        cost: seconds that torch runs before the preparation begins.
    """

    def __init__(
        self,
        network: ImageOnly,
        told: str,
        source: tuple[Method, WeightsFile] | None,
        known: str | None,
        cost: float,
    ) -> None:
        self.backend = "eager"
        self._network, self._told, self._source = network, told, source
        self._known, self._cost = known, cost
        self._spent, self._used_torch = 0.0, False
        self._lock = threading.Lock()
        self._comparing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._ready: Runner | None = None
        self._candidates: list[_Candidate] = []
        self._torch_best = math.inf

    @property
    def ran_on(self) -> str:
        """What has run so far, such as ``eager, then openvino``."""
        if self._ready is None or not self._used_torch:
            return self.backend
        return f"eager, then {self.backend}"

    def __call__(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float in [0,1] -> the clean pictures, float32, not clamped."""
        if self._ready is not None:
            try:
                return self._ready(rainy)
            except MethodError as error:  # torch may be able to
                _log.debug("a picture is left to torch: %s", error)
                return self._network.eager(rainy)
        self._used_torch = True
        candidates = self._candidates  # which another thread may be emptying
        if candidates and min(rainy.shape[-2:]) >= candidates[0].runner.smallest:
            if self._comparing.acquire(blocking=False):
                try:
                    return self._compared(rainy)
                finally:
                    self._comparing.release()
            return self._network.eager(rainy)
        seconds, clean = _timed(self._network.eager, rainy)
        with self._lock:
            self._spent += seconds
            if self._spent >= self._cost and self._thread is None:
                self._thread = threading.Thread(target=self._prepare, daemon=True)
                # A thread that is in native code when the interpreter ends would abort it.
                atexit.register(self._stop)
                self._thread.start()
        return clean

    def settle(self) -> None:
        """Take the backend that was measured to be the fastest at once, if there is one."""
        if self._known and self._ready is None:
            self._convert_and_open()

    def wait(self) -> None:
        """Wait for the preparation, if it has begun."""
        if self._thread is not None:
            self._thread.join()

    def _stop(self) -> None:
        """End the preparation before the interpreter ends."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                _kill(self._process)
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _prepare(self) -> None:
        try:
            self._convert_and_open()
        finally:
            atexit.unregister(self._stop)

    def _started(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._process = process
            if self._stopped:
                _kill(process)

    def _convert_and_open(self) -> None:
        names = (self._known,) if self._known else candidates(self._network)
        missing = [name for name in names if not _file(self._network, name, self._told).is_file()]
        refused: dict[str, str] | None = {}
        if missing and self._source is not None:
            refused = _convert_elsewhere(self._network, self._source, missing, self._started)
        if refused is None:  # torch goes on, and the next long run tries again
            return
        opened = []
        for name in names:
            if self._stopped:
                return
            if name in refused:
                _log.debug("%s cannot run this network: %s", name, refused[name])
                self._remember_refused(name)
                continue
            try:
                start = time.perf_counter()
                runner = converted(self._network, name, self._told)
                opened.append(_Candidate(runner, time.perf_counter() - start))
            except (RainkitError, RuntimeError, MemoryError, OSError) as error:  # torch goes on
                _log.debug("%s is left out: %s", name, error)
        if self._known and opened:
            self._use(opened[0].runner)
        else:
            self._candidates = opened

    def _compared(self, rainy: Tensor) -> Tensor:
        """Compute a picture by torch or by a candidate, whose turn it is, and time it.

        Of four pictures, the first is computed by both, of which the candidate's is compared and
        not timed, and the third by torch.
        """
        each = next((each for each in self._candidates if each.step < _STEPS), None)
        if each is None:  # another thread has just decided
            return self._network.eager(rainy)
        each.step += 1
        try:
            if each.step in (1, 3):
                seconds, clean = _timed(self._network.eager, rainy)
                self._torch_best = min(self._torch_best, seconds / rainy.numel())
                if each.step == 1:
                    given = each.runner(rainy)
                    if self._network.runtime.precision == "fp32":
                        each.db = min(each.db, convert.decibels(given, clean))
                    if not each.db >= cache.PROVEN:
                        each.step = _STEPS
            else:
                seconds, clean = _timed(each.runner, rainy)
                each.best = min(each.best, seconds / rainy.numel())
        except (RainkitError, MemoryError) as error:  # the picture is not lost for it
            _log.debug("%s is left out: %s", each.runner.backend, error)
            each.db, each.step = 0.0, _STEPS
            clean = self._network.eager(rainy)
        if self._candidates[-1].step >= _STEPS:
            self._decide(rainy)
        return clean

    def _decide(self, rainy: Tensor) -> None:
        """Take the fastest candidate, if it is faster than torch, and keep the times."""
        found = [each for each in self._candidates if each.db >= cache.PROVEN]
        rows = [("eager", self._torch_best, cache.MOST_DB, 0.0)]
        rows += [
            (each.runner.backend, each.best, min(each.db, cache.MOST_DB), each.setup_s)
            for each in self._candidates
            if math.isfinite(each.best)
        ]
        height, width = rainy.shape[-2:]
        cache.remember(
            cache.Measurement(
                backend=name, network=self._told, place=cache.place(self._network.runtime),
                size=f"{height}x{width}", ms=best * 3 * height * width * 1e3, db=db, setup_s=setup,
            )
            for name, best, db, setup in rows
        )  # fmt: skip
        for each in self._candidates:
            if not each.db >= cache.PROVEN:
                self._remember_refused(each.runner.backend)
        fastest = min(found, key=lambda each: each.best, default=None)
        if fastest is not None and fastest.best < cache.FASTER * self._torch_best:
            self._use(fastest.runner)
        self._candidates = []

    def _use(self, runner: Runner) -> None:
        self.backend = runner.backend
        self._ready = runner

    def _remember_refused(self, name: str) -> None:
        """Keep that a backend cannot run the network, so that it is not tried again."""
        place = cache.place(self._network.runtime)
        refused = cache.Measurement(
            backend=name, network=self._told, place=place, size="0x0", ms=0.0, db=0.0
        )
        cache.remember([refused])


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it has started, which would keep its output open."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _timed(run: Callable[[Tensor], Tensor], rainy: Tensor) -> tuple[float, Tensor]:
    start = time.perf_counter()
    clean = run(rainy)
    return time.perf_counter() - start, clean


def candidates(network: ImageOnly) -> tuple[str, ...]:
    """Return the installed backends that compute in the precision of a network on the CPU."""
    precision = network.runtime.precision
    usable = {"fp32": ("onnx", "openvino"), "bf16": ("openvino",)}.get(precision, ())
    return tuple(name for name in installed() if name in usable)


def _convert_elsewhere(
    network: ImageOnly,
    source: tuple[Method, WeightsFile],
    names: Sequence[str],
    started: Callable[[subprocess.Popen[str]], None],
) -> dict[str, str] | None:
    """Convert a network in a process that takes idle time alone, into the cache.

    Args:
        network: the prepared network.
        source: method and weights of the network.
        names: the backends.
        started: called with the process when it has started.

    Returns:
        The backends that cannot run the network, with the reasons; None if the process could not
        start or was stopped, which says nothing of them.
    """
    method, file = source
    job = {
        "method": method.name,
        "weights": str(file.path),
        "precision": network.runtime.precision,
        "backends": list(names),
        "threads": torch.get_num_threads(),
    }
    try:
        # The process ends with this one: it watches its standard input.
        with subprocess.Popen(
            [sys.executable, "-m", "rainkit.backends.trial", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            creationflags=getattr(subprocess, "IDLE_PRIORITY_CLASS", 0),
            start_new_session=True,  # so that what it starts can be ended with it
        ) as process:
            started(process)
            told = cast("IO[str]", process.stdout).read()
        answer: dict[str, str] = json.loads(told)
    except OSError:
        return None
    except ValueError:
        crashed = process.returncode in _CRASHED
        return dict.fromkeys(names, "the conversion crashed") if crashed else None
    return answer


def attach(
    network: ImageOnly,
    backend: str,
    told: str,
    source: tuple[Method, WeightsFile] | None = None,
) -> ImageOnly:
    """Let a prepared network run on a backend; the parts and blocks of a method stay on torch.

    Args:
        network: a network of :func:`rainkit.networks.prepare`.
        backend: a name of :class:`rainkit.choices.Backend`.
        told: what tells networks apart: see :func:`identity`.
        source: method and weights of the network, with which ``auto`` may try what is not known.

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
    device = network.runtime.device.type
    on_cpu = device == "cpu"
    if backend == Backend.CUDAGRAPH:
        if device != "cuda":
            raise UsageError(
                f"--backend {backend} runs on NVIDIA GPUs; pass --device cuda, or --backend eager"
            )
        network.runner, network.backend = Graphs(network), str(backend)
        return network
    if backend == Backend.AUTO:
        if not on_cpu:
            graphs = cache.fastest(network.runtime, told, [Backend.CUDAGRAPH])
            if graphs is not None and device == "cuda":
                return attach(network, Backend.CUDAGRAPH, told)
            return network
        usable = candidates(network)
        found = cache.fastest(network.runtime, told, usable)
        if found is not None:
            network.runner = Auto(network, told, source, found.backend, found.setup_s)
        elif source is not None and set(usable) - cache.tried(network.runtime, told):
            network.runner = Auto(network, told, source, None, WORTH)
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
    _check_precision(kind, network)
    told = about.get("smallest_side", "")
    smallest = int(told) if told.isdecimal() else convert.smallest_side(network.spec)
    run = convert.open_file(path, network.runtime.precision)
    network.runner = Runner(kind, network, run, smallest)
    if network.runtime.precision != "fp32":  # in which the file was not proven
        network.runner = _proven(network, kind, run)
    network.backend = kind
    return network


def precision_for(backend: str, precision: str) -> str:
    """Return the precision of a network on a backend: float32 for ``auto`` if it knows no other.

    So it is for exported files, which were proven to give torch's pictures in float32.

    Args:
        backend: a name of :class:`rainkit.choices.Backend`, or an exported file.
        precision: as in :class:`rainkit.runtime_options.RuntimeOptions`.
    """
    exact = backend == Backend.ONNX or backend.endswith(tuple(convert.SUFFIXES.values()))
    return "fp32" if exact and precision == "auto" else precision


def _check_precision(backend: str, network: ImageOnly) -> None:
    precision = network.runtime.precision
    if precision == "fp16" or (precision == "bf16" and backend in ("onnx", "pt2")):
        raise UsageError(
            f"--backend {backend} does not compute in {precision}; pass --precision fp32"
        )


def converted(network: ImageOnly, backend: str, told: str) -> Runner:
    """Convert a network for a backend, or take the conversion from the cache, and prove it.

    Raises:
        UsageError: the backend is not installed.
        MethodError: the network cannot be converted, or gives other pictures there.
    """
    file = _file(network, backend, told)
    if file.is_file():
        with suppress(RainkitError):  # a damaged file is made again
            return _proven(network, backend, convert.open_file(file, network.runtime.precision))
    try:
        return _converted_into(file.parent, network, backend)
    except (OSError, UsageError):  # a home that cannot be written, a full disk, a cleared cache
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return _proven(network, backend, _make(network, backend, Path(folder)))


def _converted_into(place: Path, network: ImageOnly, backend: str) -> Runner:
    """Convert and prove a network, and keep it in a folder, which appears whole or not at all."""
    made = Path(tempfile.mkdtemp(prefix=cache.UNFINISHED, dir=cache.models()))
    try:
        runner = _proven(network, backend, _make(network, backend, made))
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # another process was faster
            os.replace(made, place)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return runner


def _file(network: ImageOnly, backend: str, told: str) -> Path:
    """Return the file of a converted network in the cache, which need not exist."""
    state = network.network.state_dict()
    code = cache.code_of(network.network)
    key = cache.model_key(state, f"{told} {network.spec!r} {code}", backend)
    return cache.folder() / "models" / key / f"model{convert.SUFFIXES[backend]}"


def _make(network: ImageOnly, backend: str, folder: Path) -> Run:
    spec = network.spec
    plain: nn.Module = copy.deepcopy(network.network).cpu().float()
    file = folder / f"model{convert.SUFFIXES[backend]}"
    convert.convert(plain, spec, backend, file, {"method": "cached"})
    convert.check(plain, spec, convert.open_file(file))
    return convert.open_file(file, network.runtime.precision)


def _proven(network: ImageOnly, backend: str, run: Run) -> Runner:
    """Return the runner if its pictures are within 50 dB of those of torch in float32."""
    spec = network.spec
    runner = Runner(backend, network, run, convert.smallest_side(spec))
    side = convert.smallest_side(spec)
    plain: nn.Module = copy.deepcopy(network.network)
    exact = networks.prepare(plain, spec, choose_runtime("cpu", "fp32", spec))
    with torch.inference_mode():
        for seed, (height, width) in enumerate(((side + 33, side + 97), (side + 64, side + 32))):
            rainy = convert.photograph(height, width, seed)
            runner.db = min(runner.db, convert.decibels(runner(rainy), exact(rainy)))
    if not runner.db >= cache.PROVEN:
        raise MethodError(
            f"{backend} gives other pictures than torch ({runner.db:.1f} dB, {cache.PROVEN:g} are "
            "needed); pass --backend eager"
        )
    return runner
