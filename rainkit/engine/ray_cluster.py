"""Running work on Ray: worker processes on this machine, or on all machines of a cluster.

Paths and figures travel through Ray, and pictures do not: workers read and write files, which lie
where all machines reach them by the same path. Each worker is an actor that holds one model. The
engine joins the cluster that ``RAY_ADDRESS`` names, or that ``ray start`` began on this machine, or
else starts one that ends with it; a process that is connected to Ray already stays so.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import platform
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._private import utils as ray_utils
from ray._private import worker as ray_worker
from ray.exceptions import ActorDiedError, RayError

import rainkit
from rainkit import plugins
from rainkit.engine import (
    PATIENCE,
    LostError,
    RemoteWorker,
    RemoteWorkers,
    WorkerState,
    limit_threads,
)
from rainkit.environment import keep_large_blocks
from rainkit.errors import RainkitError, UsageError, WorkerError, one_line

__all__ = ["RayWorkers", "connect"]

_AHEAD = 8  # items for each worker, so that the others go on while one runs again
_STARTS = 4  # of a cluster of our own, whose parts must all be there within 15 seconds
_STILLBORN = 3  # workers that may die in a row before they can be asked anything
_KNOCK = 10.0  # seconds in which the head of a cluster answers
_ROOM = 600.0  # seconds in which a cluster without a single worker may find room for one
_GLANCE = 10.0  # seconds after which a thread that waits for a worker looks whether Ray lives
_OBJECT_STORE = 100 * 2**20  # bytes; Ray wants 75 MiB at least, and only paths travel
_TEMPORARY = 60  # characters of a folder for sockets, whose paths the system limits to 107

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_DEDUP_LOGS": "0",
}
_LOCAL = {
    "enable_metrics_collection": False,
    "prestart_worker_first_driver": False,
    "worker_niceness": 0,
}
_PASSED_ON = ("RAINKIT_METHODS", "RAINKIT_STRICT", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def connect(
    workers: int | None, threads: int | None, look_ahead: int | None, device: str
) -> RayWorkers:
    """Return workers on Ray; see :func:`rainkit.engine.open_engine`.

    Raises:
        UsageError: no cluster answers at ``RAY_ADDRESS``, or it lacks the device.
        WorkerError: a local cluster cannot be started.
    """
    if device.startswith("cuda:"):
        raise UsageError(f"--device {device}: Ray chooses GPUs; give --device cuda")
    cores = threads or 1
    connection = _Connection(cores * (workers or 0))
    try:
        api: Any = ray
        found = api.cluster_resources()
        gpus = int(found.get("GPU", 0))
        if device == "cuda" and not gpus:
            raise UsageError("--device cuda: no machine of the Ray cluster has a GPU")
        on_gpu = gpus > 0 and device in ("auto", "cuda")
        room = gpus if on_gpu else int(found.get("CPU", 0)) // cores
        count = workers or max(1, room)
        resources: dict[str, float] = {"num_cpus": cores, "num_gpus": 0}
        if on_gpu:
            resources["num_gpus"] = 1 / max(1, math.ceil(count / gpus))
        return RayWorkers(connection, count, look_ahead or _AHEAD * count, threads, resources)
    except BaseException:
        connection.close()
        raise


class RayWorkers(RemoteWorkers["_Worker"]):
    """Actors of a Ray cluster.

    An item whose worker or machine dies goes to whichever worker is free next, and a new worker is
    started wherever the cluster has room.
    """

    def __init__(
        self,
        connection: _Connection,
        workers: int,
        look_ahead: int,
        threads: int | None,
        resources: dict[str, float],
    ) -> None:
        super().__init__(workers, look_ahead)
        self._connection = connection
        self._most = workers
        self._new = partial(_Worker, threads, resources)
        self._changed = threading.Condition()
        self._starting: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._stillborn = 0
        self._refusal: RainkitError | None = None
        self._closing = False

    def _take(self) -> _Worker:
        while True:
            worker = self._next()
            if worker.answers():
                return worker
            self._lose(worker)

    def _next(self) -> _Worker:
        with self._changed:
            if not self._idle and self._count() < self._most:
                self._start()
        waited = 0.0
        while True:
            with self._changed:
                self._check()
                if self._idle:
                    worker = self._idle.pop()
                    self._busy.add(worker)
                    return worker
                waited = 0.0 if self._changed.wait(_GLANCE) else waited + _GLANCE
                no_room = waited >= _ROOM and self._count() == len(self._starting)
            # Not under the lock, which Ray's own thread takes.
            if waited and not _lives():
                raise WorkerError("Ray has ended; repeat the command")
            if no_room:
                raise WorkerError(
                    "the Ray cluster had no room for a worker in 10 minutes; ray status says "
                    "what it has and what takes it"
                )

    def _check(self) -> None:
        if self._closing:
            raise futures.CancelledError
        if self._refusal is not None:
            raise self._refusal

    def _count(self) -> int:
        return len(self._starting) + len(self._idle) + len(self._busy)

    def _start(self) -> None:
        worker = self._new()
        self._starting.add(worker)
        worker.about.future().add_done_callback(partial(self._arrive, worker))

    def _arrive(self, worker: _Worker, about: futures.Future[dict[str, str]]) -> None:
        """Let a worker in that has started, or that has died over it; called in Ray's thread."""
        with self._changed:
            self._starting.discard(worker)
            try:
                self._refusal = self._refusal or _differing(about.result())
            except Exception as error:
                self._stillborn += 1
                if self._stillborn >= _STILLBORN or "ModuleNotFoundError" in str(error):
                    self._refusal = WorkerError(f"a worker cannot start on Ray ({_fate(error)})")
                elif not self._closing:
                    self._start()
            else:
                self._stillborn = 0
                self._idle.append(worker)
            self._changed.notify_all()

    def _free(self, worker: _Worker) -> None:
        with self._changed:
            self._busy.discard(worker)
            self._idle.append(worker)
            self._changed.notify()

    def _lose(self, worker: _Worker) -> None:
        worker.kill()
        with self._changed:
            self._busy.discard(worker)
            for other in self._idle:  # perhaps they died with its machine
                other.doubtful = True

    def close(self) -> None:
        """Stop the workers; those at work may finish their item in a few seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        killer = threading.Timer(PATIENCE, self._kill)
        killer.daemon = True
        killer.start()
        try:
            self._pool.shutdown(cancel_futures=True)
        finally:
            killer.cancel()
            self._kill()
            self._connection.close()

    def _kill(self) -> None:
        with self._changed:
            workers = [*self._starting, *self._idle, *self._busy]
        for worker in workers:
            worker.kill()


class _Worker(RemoteWorker):
    """An actor, as the driver sees it."""

    def __init__(self, threads: int | None, resources: dict[str, float]) -> None:
        super().__init__()
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        variables |= limit_threads(threads) | {"PYTHONPATH": _own_path()}
        actor: Any = ray.remote(_Actor)
        self._actor = actor.options(
            **resources,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": variables},
            enable_task_events=False,
        ).remote(threads, os.getcwd())
        self.about: Any = self._actor.about.remote()
        self.doubtful = False

    def answers(self) -> bool:
        """Return whether the worker lives, which is asked only if there is reason for doubt."""
        if self.doubtful:
            try:
                ray.get(self._actor.about.remote())
            except RayError:
                return False
            self.doubtful = False
        return True

    def ask(self, message: bytes, *, in_setup: bool) -> bytes:
        try:
            return bytes(ray.get(self._actor.answer.remote(message)))
        except RayError as error:
            raise LostError(_fate(error), in_setup=in_setup) from error

    def kill(self) -> None:
        """End the process; nothing happens if it has ended."""
        with suppress(Exception):
            if ray.is_initialized():  # else Ray would start again
                ray.kill(self._actor)


class _Actor:
    """A worker process on a machine of the cluster."""

    def __init__(self, threads: int | None, folder: str) -> None:
        with suppress(OSError):  # paths that are not relative mean the same everywhere
            os.chdir(folder)
        self._folder = folder
        self._state = WorkerState(threads)
        keep_large_blocks()

    def about(self) -> dict[str, str]:
        """Return where this is and what is installed."""
        return {"machine": platform.node(), "folder": os.getcwd()} | _versions()

    def answer(self, message: bytes) -> bytes:
        """Set up work or do an item."""
        return self._state.answer(message)


def _versions() -> dict[str, str]:
    methods = {each.qualified: each.version for each in plugins.installed()}
    return {"rainkit": rainkit.__version__} | methods


def _differing(about: dict[str, str]) -> UsageError | None:
    """Return what a worker's machine has that would make other results than this one."""
    machine, folder = about["machine"], about["folder"]
    if folder != os.getcwd():
        return UsageError(
            f"--engine ray: {machine} has no folder {os.getcwd()}; run the command in one that all"
            " machines of the cluster share"
        )
    for name, version in _versions().items():
        if (other := about.get(name)) != version:
            return UsageError(
                f"--engine ray: {name} is {other or 'missing'} on {machine} and {version} here; "
                "install the same on all machines of the cluster"
            )
    return None


def _own_path() -> str:
    """Return where this process finds modules beside those that its Python installed."""
    installed = (sys.prefix, sys.base_prefix)
    own = [os.path.abspath(each) for each in sys.path if each]
    return os.pathsep.join(each for each in own if not each.startswith(installed))


def _fate(error: BaseException) -> str:
    if isinstance(error, ActorDiedError) and "OutOfMemory" in str(error):
        return "its worker on Ray was killed for lack of memory; use fewer --workers"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "Error: " in line), None)
    if reason is None:
        reason = lines[0] if lines else type(error).__name__
    return f"its worker on Ray was lost: {one_line(Exception(reason))}"


class _Connection:
    """The connection to a cluster, which may be one of our own.

    Args:
        cores: processors that a cluster of our own shall have at least.

    Raises:
        UsageError: no cluster answers at the address.
        WorkerError: a local cluster cannot be started.
    """

    def __init__(self, cores: int) -> None:
        self._temporary: Path | None = None
        self._ours = not ray.is_initialized()
        if not self._ours:
            return
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        address, source = _address()
        if address.startswith("ray://"):
            raise UsageError(
                f"{source}={address}: a Ray client cannot follow its workers; run the command on a "
                "machine of the cluster, with RAY_ADDRESS=HOST:6379"
            )
        # Ray would print to standard output, where results go, that a worker died.
        ray_worker._worker_logs_enabled = False
        try:
            if address == "local":
                self._start(cores)
            else:
                _join(address, source)
        except BaseException:  # Ctrl-C, perhaps
            self.close()
            raise

    def _start(self, cores: int) -> None:
        """Start a cluster on this machine that nobody else can use."""
        place = tempfile.gettempdir()
        place = place if len(place) < _TEMPORARY else "/tmp"  # noqa: S108
        self._temporary = Path(tempfile.mkdtemp(prefix="rainkit-ray-", dir=place))
        # After Ctrl-C, Ray ends processes that had just started when this process ends, and they
        # write there until then. Functions that are registered later are called earlier.
        atexit.register(self._clear)
        # Ray asks for it, and would write one to the user's home otherwise.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        for attempt in range(_STARTS):
            try:
                _init(
                    address="local",
                    num_cpus=max(cores, _cores()),
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE,
                    _temp_dir=str(self._temporary),
                    _system_config=dict(_LOCAL),
                )
                return
            except Exception as error:
                ray.shutdown()
                if attempt + 1 == _STARTS:
                    raise WorkerError(
                        f"Ray cannot be started here ({one_line(error)}); if the machine is very "
                        "busy, try again later, or leave out --engine ray"
                    ) from error

    def close(self) -> None:
        """Leave the cluster; one of our own ends."""
        if self._ours:
            ray.shutdown()
            ray_worker._worker_logs_enabled = True
        self._clear()

    def _clear(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _join(address: str, source: str) -> None:
    """Connect to a cluster.

    Raises:
        UsageError: none answers at the address.
    """
    try:
        _knock(address)
        _init(address=address)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"{source}={address}: no Ray cluster lets us in there ({one_line(error)}); set "
            "RAY_ADDRESS=local to use this machine alone"
        ) from error


def _address() -> tuple[str, str]:
    """Return the address of the cluster to join, or ``local``, and what told it."""
    if address := os.environ.get("RAY_ADDRESS"):
        return address, "RAY_ADDRESS"
    # What Ray would look for beside this might be another user's cluster.
    place = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108
    started = Path(place, "ray", "ray_current_cluster")
    with suppress(OSError):
        return started.read_text(encoding="utf-8").strip() or "local", str(started)
    return "local", ""


def _knock(address: str) -> None:
    """Find out whether anything answers at an address, which Ray takes minutes for.

    Raises:
        OSError: nothing does.
        ValueError: it is no address.
    """
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=_KNOCK).close()


def _init(**options: Any) -> None:
    with _same_sigterm():
        ray.init(
            logging_level=logging.CRITICAL, log_to_driver=False, namespace="rainkit", **options
        )


def _lives() -> bool:
    """Return whether the cluster still has a machine."""
    api: Any = ray
    try:
        return any(node["Alive"] for node in api.nodes())
    except Exception:  # its head does not answer
        return False


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray would replace by one that ends the process at once."""
    replace = ray_utils.set_sigterm_handler
    ray_utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        ray_utils.set_sigterm_handler = replace
