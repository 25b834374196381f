"""Running work in this process, in its threads, in local worker processes, or on a Ray cluster.

    with open_engine("processes", workers=4) as engine:
        for outcome in engine.run(Work(partial(Maker, request)), scenes):
            match outcome:
                case Done(scene, value): ...
                case Failed(scene): print(outcome.reason)

Outcomes come in the order of the items. Items are taken from their iterable only a few ahead of the
outcomes that were asked for, so that neither waits in memory. An item that fails is a result and
the others go on. An item whose worker process dies runs again in another one.

Workers on other machines are those of :mod:`rainkit.engine.ray_cluster`, which is imported when
they are asked for.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import FrameType, TracebackType
from typing import Any, Generic, Literal, NoReturn, TypeAlias, TypeVar

from rainkit.environment import keep_large_blocks
from rainkit.errors import RainkitError, UsageError, WorkerError, described
from rainkit.files import system_reason

__all__ = [
    "PATIENCE",
    "Done",
    "Engine",
    "Failed",
    "LostError",
    "Outcome",
    "RemoteWorker",
    "RemoteWorkers",
    "Task",
    "Work",
    "WorkerState",
    "ctrl_c_blocked",
    "here",
    "limit_threads",
    "open_engine",
    "paying_workers",
]

Item = TypeVar("Item")
Result = TypeVar("Result")
State = TypeVar("State")

_ITEMS_PER_PROCESS = 40  # fewer do not pay for the start of another process
_TRIES = 3  # workers that an item may lose before it has failed
PATIENCE = 5.0
"""Seconds in which a worker may clean up before it is killed."""


@dataclass(frozen=True)
class Work(Generic[Item, Result]):
    """Work that is done on each item.

    Attributes:
        setup: called once in each worker; returns the function that is called with each item. Both
            must be picklable where workers are processes: functions of a module, classes, and
            :func:`functools.partial` of them. Threads share one function.
    """

    setup: Callable[[], Callable[[Item], Result]]

    @classmethod
    def calling(cls, function: Callable[..., Result], *arguments: Any) -> Work[Any, Result]:
        """Return work that needs no set-up: ``function(*arguments, item)``."""
        return cls(partial(partial, function, *arguments))

    @classmethod
    def holding(
        cls, function: Callable[[State, Item], Result], build: Callable[..., State], *arguments: Any
    ) -> Work[Item, Result]:
        """Return work that calls ``function(state, item)``.

        The state is what ``build(*arguments)`` returns in each worker.
        """
        return cls(partial(_hold, function, build, arguments))


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """An item and what became of it."""

    item: Item
    value: Result

    def get(self) -> Result:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Failed(Generic[Item]):
    """An item for which there is no result.

    Attributes:
        item: the item.
        error: what the function raised, or :class:`rainkit.errors.WorkerError` if worker processes
            died over it.
    """

    item: Item
    error: Exception

    @property
    def reason(self) -> str:
        """The error as one line for a report."""
        return described(self.error)

    def get(self) -> NoReturn:
        """Raise the error."""
        raise self.error


Outcome: TypeAlias = Done[Item, Result] | Failed[Item]


class Engine(ABC):
    """A place where work runs. As a context manager it leaves no workers behind."""

    @abstractmethod
    def run(
        self, work: Work[Item, Result], items: Iterable[Item]
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item, in the order of the items.

        Work that is run again by the same engine is not set up again.

        Args:
            work: what is done.
            items: taken one after another, and only as far ahead as keeps all workers busy.

        Raises:
            Exception: what the set-up raised; no item can be done then.
            WorkerError: worker processes die while they are set up, or cannot be started.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop the workers; what they have not finished is dropped."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_engine(
    kind: Literal["processes", "threads", "ray"] = "processes",
    *,
    workers: int | None,
    threads: int | None = 1,
    look_ahead: int | None = None,
    device: str = "cpu",
) -> Engine:
    """Return a place where work runs.

    Args:
        kind: ``processes`` for work in Python, ``threads`` for work in libraries that let go of the
            interpreter's lock, or ``ray`` for processes on a Ray cluster.
        workers: how many; 0 to do everything in this process and thread, one item after another.
            None, on Ray alone, for as many as the cluster has room for.
        threads: threads of OpenCV, torch and OpenMP in each worker process; None to limit OpenCV
            alone.
        look_ahead: items taken before their outcomes are asked for; None for twice the workers, or
            eight times on Ray, where items shall not wait for one that runs again.
        device: device of the work, for Ray, which gives each worker on ``cuda`` a GPU of its own;
            ``auto`` is ``cuda`` if the cluster has GPUs.

    Raises:
        UsageError: the number of workers is negative, or there is no Ray or no such cluster.
        WorkerError: a cluster cannot be started.
    """
    if workers is not None and workers < 0:
        raise UsageError(f"--workers {workers}: a whole number from 0 up")
    if kind == "ray" and workers != 0:
        try:
            from rainkit.engine import ray_cluster  # imports Ray
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise UsageError(
                "--engine ray: Ray is not installed; pip install ray on all machines"
            ) from None
        return ray_cluster.connect(workers, threads, look_ahead, device)
    if not workers:
        return _Here()
    ahead = look_ahead or 2 * workers
    return _Threads(workers, ahead) if kind == "threads" else _Processes(workers, ahead, threads)


def here() -> Engine:
    """Return the engine that does everything in this process, one item after another."""
    return _Here()


def paying_workers(items: int, wanted: int | None, most: int) -> int:
    """Return how many worker processes to use; 0 for none, if one would do.

    Args:
        items: how many there are to do, in pictures or something as slow.
        wanted: how many the user wants; None for as many as pay.
        most: how many can have something to do.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = min(wanted or min(cores or 1, items // _ITEMS_PER_PROCESS), most)
    return count if count > 1 else 0


def _hold(
    function: Callable[[State, Item], Result],
    build: Callable[..., State],
    arguments: tuple[Any, ...],
) -> Callable[[Item], Result]:
    return partial(function, build(*arguments))


def _attempt(function: Callable[[Item], Result], item: Item) -> Outcome[Item, Result]:
    try:
        return Done(item, function(item))
    except Exception as error:
        return Failed(item, error)


class _Here(Engine):
    """Everything in this process, when its outcome is asked for."""

    def __init__(self) -> None:
        self._work: Work[Any, Any] | None = None
        self._function: Callable[[Any], Any] | None = None

    def run(
        self, work: Work[Item, Result], items: Iterable[Item]
    ) -> Iterator[Outcome[Item, Result]]:
        for item in items:
            yield _attempt(self.ready(work), item)

    def close(self) -> None:
        """Nothing was started."""

    def ready(self, work: Work[Item, Result]) -> Callable[[Item], Result]:
        """Return the function of some work, which is set up unless it was the last one."""
        if self._function is None or self._work is not work:
            keep_large_blocks()
            self._function, self._work = work.setup(), work
        return self._function


class _Pool(Engine):
    """Workers that are each driven by a thread of this process."""

    def __init__(self, workers: int, look_ahead: int) -> None:
        self._look_ahead = look_ahead
        self._pool = futures.ThreadPoolExecutor(workers, thread_name_prefix="rainkit-engine")

    def run(
        self, work: Work[Item, Result], items: Iterable[Item]
    ) -> Iterator[Outcome[Item, Result]]:
        waiting: deque[futures.Future[Outcome[Item, Result]]] = deque()
        do = None
        try:
            for item in items:
                do = do or self._prepare(work)
                waiting.append(self._pool.submit(do, item))
                if len(waiting) == self._look_ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    @abstractmethod
    def _prepare(self, work: Work[Item, Result]) -> Callable[[Item], Outcome[Item, Result]]:
        """Return the function that a thread calls with an item."""

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class _Threads(_Pool):
    """Threads of this process, which share one function."""

    def __init__(self, workers: int, look_ahead: int) -> None:
        super().__init__(workers, look_ahead)
        self._here = _Here()

    def _prepare(self, work: Work[Item, Result]) -> Callable[[Item], Outcome[Item, Result]]:
        return partial(_attempt, self._here.ready(work))


class RemoteWorker(ABC):
    """A worker in another process, which holds the function of the work that it did last."""

    def __init__(self) -> None:
        self._task: Task | None = None

    def do(self, task: Task, item: bytes) -> tuple[bool, Any]:
        """Return whether the worker has done a pickled item, and the result or the error.

        Raises:
            LostError: the worker died.
            Exception: what the set-up raised.
        """
        if self._task is not task:
            self._task = None
            ready, error = self._answer(_SET_UP + task.pickled, in_setup=True)
            if not ready:
                raise error
            self._task = task
        return self._answer(_DO + item, in_setup=False)

    def _answer(self, message: bytes, *, in_setup: bool) -> tuple[bool, Any]:
        answer = self.ask(message, in_setup=in_setup)
        try:
            ok, value = pickle.loads(answer)  # noqa: S301  (from our own process)
        except Exception as error:
            return False, error
        return ok, value

    @abstractmethod
    def ask(self, message: bytes, *, in_setup: bool) -> bytes:
        """Return what the worker's :class:`WorkerState` answers.

        Raises:
            LostError: the worker died.
        """


Remote = TypeVar("Remote", bound=RemoteWorker)


class RemoteWorkers(_Pool, Generic[Remote]):
    """Workers in other processes. An item whose worker dies runs again in another one."""

    def __init__(self, workers: int, look_ahead: int) -> None:
        super().__init__(workers, look_ahead)
        self._task: Task | None = None

    def _prepare(self, work: Work[Item, Result]) -> Callable[[Item], Outcome[Item, Result]]:
        if self._task is None or self._task.work is not work:
            self._task = Task(work, pickle.dumps(work.setup))
        return partial(self._do, self._task)

    def _do(self, task: Task, item: Item) -> Outcome[Item, Result]:
        """Have a worker process do an item; called in a thread."""
        try:
            pickled = pickle.dumps(item)
        except Exception as error:
            return Failed(item, error)
        problem = LostError("", in_setup=False)
        for _ in range(_TRIES):
            worker = self._take()
            try:
                ok, answer = worker.do(task, pickled)
            except LostError as lost:
                self._lose(worker)
                problem = lost
            except BaseException:  # of the set-up
                self._free(worker)
                raise
            else:
                self._free(worker)
                return Done(item, answer) if ok else Failed(item, answer)
        if problem.in_setup:
            raise WorkerError(str(problem))
        return Failed(item, WorkerError(str(problem)))

    @abstractmethod
    def _take(self) -> Remote:
        """Return a worker that has nothing to do, or a new one; called in threads."""

    @abstractmethod
    def _free(self, worker: Remote) -> None:
        """Take back a worker that was taken."""

    @abstractmethod
    def _lose(self, worker: Remote) -> None:
        """Clear away a worker that was taken and died."""


class _Processes(RemoteWorkers["_Worker"]):
    """Worker processes on this machine."""

    def __init__(self, workers: int, look_ahead: int, threads: int | None) -> None:
        super().__init__(workers, look_ahead)
        self._limit = threads
        self._closing = False
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()

    def _take(self) -> _Worker:
        if self._closing:
            raise futures.CancelledError
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self._limit)
        self._busy.add(worker)
        return worker

    def _free(self, worker: _Worker) -> None:
        self._idle.append(worker)
        self._busy.discard(worker)

    def _lose(self, worker: _Worker) -> None:
        self._busy.discard(worker)
        worker.end()

    def close(self) -> None:
        """Stop the workers: those at work are told to leave, and killed if they do not."""
        self._closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        killer = threading.Timer(PATIENCE, self._kill)
        killer.daemon = True
        killer.start()
        try:
            for worker in tuple(self._busy):
                with suppress(ValueError):  # it has ended meanwhile
                    worker.process.terminate()
            self._pool.shutdown()
            while self._idle:
                self._idle.pop().end()
        finally:
            killer.cancel()
            self._kill()

    def _kill(self) -> None:
        for worker in (*self._busy, *self._idle):
            with suppress(ValueError):  # it has ended meanwhile
                worker.process.kill()


@dataclass(frozen=True)
class Task:
    """Work, and its set-up as it is sent to processes."""

    work: Work[Any, Any]
    pickled: bytes


class LostError(Exception):
    """A worker has died, while it was set up or over an item."""

    def __init__(self, message: str, *, in_setup: bool) -> None:
        super().__init__(message)
        self.in_setup = in_setup


class _Worker(RemoteWorker):
    """A worker process, as its parent sees it."""

    def __init__(self, threads: int | None) -> None:
        super().__init__()
        # Spawned, not forked: this process may have threads of OpenCV or torch running.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        try:
            # The child is born with Ctrl-C blocked, which is its parent's to handle.
            with ctrl_c_blocked():
                self.process.start()
        except OSError as error:
            raise WorkerError(
                f"a worker process cannot be started ({system_reason(error)})"
            ) from error
        finally:
            theirs.close()

    def ask(self, message: bytes, *, in_setup: bool) -> bytes:
        try:
            self._connection.send_bytes(message)
            return self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise LostError(self._death(), in_setup=in_setup) from error

    def _death(self) -> str:
        self.process.join(PATIENCE)
        code = self.process.exitcode or 0
        if code == -_SIGKILL:
            return (
                "its worker process was killed by the system, most likely for lack of memory; use "
                "fewer --workers"
            )
        fate = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"its worker process ended with {fate}; use fewer --workers"

    def end(self) -> None:
        """Have the process see that nothing follows, and wait for its end."""
        self._connection.close()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        self.process.close()


_SET_UP, _DO = b"s", b"d"
_SIGKILL = 9  # which Windows does not name


@contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread and in processes that it starts; Windows has no such mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would inherit the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(connection: Connection, threads: int | None) -> None:
    """Answer the parent until it closes the connection or dies; called in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(limit_threads(threads))
    keep_large_blocks()
    state = WorkerState(threads)
    with suppress(EOFError, OSError):
        while True:
            connection.send_bytes(state.answer(connection.recv_bytes()))


class WorkerState:
    """State of a worker process between two messages: the function that was set up.

    Args:
        threads: threads of OpenCV and torch; None to limit OpenCV alone.
    """

    def __init__(self, threads: int | None) -> None:
        self._threads = threads
        self._function: Callable[[Any], Any] | None = None

    def answer(self, message: bytes) -> bytes:
        """Set up work or do an item; return whether that went well, and the result or the error."""
        try:
            content = pickle.loads(message[1:])  # noqa: S301  (from our own parent)
            if message[:1] == _SET_UP:
                self._function = None  # lets go of what the former work held
                self._function, value = content(), None
                _limit_loaded(self._threads)
            else:
                assert self._function is not None  # noqa: S101
                value = self._function(content)
            return pickle.dumps((True, value))
        except Exception as error:
            return pickle.dumps((False, _portable(error)))


def _leave(number: int, frame: FrameType | None) -> None:
    """End in a way that lets ``finally`` remove what is half written."""
    sys.exit(128 + number)


def _end_with_parent() -> None:
    """End this process when its parent has ended without a word to it, killed perhaps."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        with suppress(OSError):
            parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def limit_threads(threads: int | None) -> dict[str, str]:
    """Return the environment of a worker that limits the threads of libraries, see open_engine."""
    limits = {} if threads is None else dict.fromkeys(_THREADS, str(threads))
    return limits | {"OPENCV_FOR_THREADS_NUM": str(threads or 1)}


def _limit_loaded(threads: int | None) -> None:
    """Limit the libraries that do not read the environment or have read it already."""
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads or 1)
    if threads is not None and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to the parent, with the traceback if nobody expected it."""
    if not isinstance(error, RainkitError):
        error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return WorkerError(f"{type(error).__name__}: {error}")
    return error
