"""Worker processes that work on pictures, or on clips, one by one, and the queue before them.

Each worker process holds its networks. One that does not end within its time, or that dies on a
picture, is replaced, so that no picture holds up the others for longer than the time of one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, Literal, Protocol, TypeAlias

from rainkit.engine import ctrl_c_blocked
from rainkit.environment import keep_large_blocks
from rainkit.errors import RainkitError, WorkerError, described
from rainkit.runtime_options import RuntimeOptions
from rainkit.serving.work import Answer, Derainers, Offer, StoppedError, Task

__all__ = [
    "BusyError",
    "OverTimeError",
    "Pool",
    "ProcessWorker",
    "State",
    "Ticket",
    "Worker",
    "WorkerSettings",
]

State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]

_log = logging.getLogger(__name__)

_STARTING = 300.0
"""Seconds in which a worker must import torch and load networks."""

_GRACE = 5.0
"""Most seconds in which a worker may reach the end of a tile before it is killed."""

_POLL = 0.1
_SIGKILL = 9  # which Windows does not name
_REMEMBERED = 32
"""Number of pictures whose mean time is the estimate for the next ones."""


class BusyError(Exception):
    """The queue is full, or so is the memory for pictures.

    Attributes:
        seconds: estimated time until there is room.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class OverTimeError(RainkitError):
    """A picture took longer than is allowed."""


class Worker(Protocol):
    """Something that works on one picture at a time; called in one thread."""

    def start(self) -> None:
        """Get ready, so that the first picture need not wait; nothing if it is ready.

        Raises:
            RainkitError: this is not possible.
        """

    def work(self, task: Task, ticket: Ticket) -> Answer:
        """Work on a picture; note progress in the ticket, and stop if it is cancelled.

        Raises:
            RainkitError: the picture cannot be worked on.
            OverTimeError: it took too long.
            StoppedError: the ticket was cancelled.
        """

    def close(self) -> None:
        """End, at once."""


@dataclass(eq=False, slots=True)
class Ticket:
    """The way of one picture through the pool.

    Attributes:
        task: the picture and what is to be done with it; None once it is over.
        answer: resolves to the answer, or to the error.
        state: how far it is.
        progress: share of the tiles or frames that are done, 0 to 1.
    """

    task: Task | None
    answer: Future[Answer] = field(default_factory=Future)
    state: State = "waiting"
    progress: float = 0.0
    _pool: Pool | None = None
    _stopped: bool = False

    @property
    def stopped(self) -> bool:
        """Whether nobody waits for the picture any longer."""
        return self._stopped

    def cancel(self) -> None:
        """Give the picture up; a worker that has it stops after its tile."""
        self._stopped = True
        if self._pool is not None:
            self._pool.forget(self)


class Pool:
    """Workers and a bounded queue of pictures, first come, first served.

    Args:
        workers: the workers, which the pool closes in the end.
        places: largest number of pictures that wait or are worked on.
        eager: whether workers start with the pool; else with their first picture.
        expected: estimate of the time of a picture in seconds before there was one.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        *,
        places: int,
        eager: bool = True,
        expected: float = 1.0,
    ) -> None:
        self.places = places
        self._eager = eager
        self._expected = expected
        self._workers = tuple(workers)
        self._changed = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._running: set[Ticket] = set()
        self._taken = 0
        self._closing = False
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the workers and wait until the first is ready, if they start with the pool.

        Raises:
            RainkitError: it cannot work; the pool is closed.
        """
        try:
            if self._eager:
                self._workers[0].start()
        except BaseException:
            self.close()
            raise
        for worker in self._workers:
            thread = threading.Thread(target=self._run, args=(worker,), daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def waiting(self) -> int:
        """Number of pictures that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of pictures that are worked on."""
        return len(self._running)

    @property
    def seconds(self) -> float:
        """Mean time of the latest pictures in seconds, or what is expected of the first."""
        times = list(self._times)
        return sum(times) / len(times) if times else self._expected

    def reserve(self) -> None:
        """Take a place of the queue, for a picture that is being received.

        Raises:
            BusyError: all places are taken, or the pool is closing.
        """
        with self._changed:
            if self._closing:
                raise BusyError("the server is about to end", 60)
            if self._taken >= self.places:
                wait = self.seconds * self._taken / len(self._workers)
                raise BusyError(f"all {self.places} places of the queue are taken", wait)
            self._taken += 1

    def release(self) -> None:
        """Give back a place that was reserved, but not used by :meth:`submit`."""
        with self._changed:
            self._taken -= 1

    def submit(self, task: Task) -> Ticket:
        """Put a picture into the queue, on a place that was reserved for it."""
        ticket = Ticket(task, _pool=self)
        with self._changed:
            self._waiting.append(ticket)
            self._changed.notify()
            closing = self._closing
        if closing:
            ticket.cancel()
        return ticket

    def before(self, ticket: Ticket) -> int:
        """Return how many come before one that waits, those that are worked on included."""
        with self._changed:
            if ticket not in self._waiting:
                return 0
            return self._waiting.index(ticket) + len(self._running)

    def forget(self, ticket: Ticket) -> None:
        """Take a picture out of the queue, if it still waits."""
        with self._changed:
            if ticket not in self._waiting:
                return
            self._waiting.remove(ticket)
            self._taken -= 1
        self._end(ticket, "cancelled", StoppedError())

    def close(self, patience: float = 0.0) -> None:
        """Take no more pictures, give up those that wait, and end the workers.

        Args:
            patience: seconds in which pictures that are worked on may be finished.
        """
        with self._changed:
            self._closing = True
            waiting = list(self._waiting)
            self._changed.notify_all()
        for ticket in waiting:
            ticket.cancel()
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for ticket in list(self._running):
            ticket.cancel()
        for worker in self._workers:
            worker.close()
        for thread in self._threads:
            thread.join(_GRACE)

    def _run(self, worker: Worker) -> None:
        if self._eager:
            with suppress(RainkitError):  # its first picture says what is wrong
                worker.start()
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                ticket = self._waiting.popleft()
                self._running.add(ticket)
                ticket.state = "running"
            started = time.monotonic()
            state: State = "failed"
            result: Answer | BaseException
            try:
                assert ticket.task is not None  # noqa: S101
                result = worker.work(ticket.task, ticket)
                state = "done"
                self._times.append(time.monotonic() - started)
            except StoppedError as error:
                state, result = "cancelled", error
            except RainkitError as error:
                result = error
            except Exception as error:
                _log.exception("a worker failed")
                result = WorkerError(described(error))
            with self._changed:
                self._running.discard(ticket)
                self._taken -= 1
            self._end(ticket, state, result)

    @staticmethod
    def _end(ticket: Ticket, state: State, result: Answer | BaseException) -> None:
        ticket.task = None
        ticket.state = state
        if isinstance(result, Answer):
            ticket.progress = 1.0
            ticket.answer.set_result(result)
        else:
            ticket.answer.set_exception(result)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """What worker processes need to know.

    Attributes:
        offers: what clients may choose; the first is loaded at the start.
        options: how networks run.
        largest: the largest number of pixels of a picture.
        threads: number of threads of each worker; None for torch's own choice.
    """

    offers: tuple[Offer, ...]
    options: RuntimeOptions
    largest: int
    threads: int | None = None


class _IdleError(WorkerError):
    """A worker process ended before it began with what it was sent."""


class ProcessWorker:
    """A worker process, which is started again when it was lost.

    Args:
        settings: what it needs to know.
        seconds: longest time of a picture.
        number: number of the worker, by which several GPUs are shared out.
        on_lost: called after a process was lost.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        seconds: float,
        number: int = 0,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._seconds = seconds
        self._number = number
        self._on_lost = on_lost
        self._process: Any = None
        self._connection: Connection | None = None
        self._tasks = 0
        self._closed = False

    def start(self) -> None:
        """Start the process and wait until its default network is loaded.

        Raises:
            RainkitError: it cannot be started, or the network cannot be loaded.
        """
        if self._connection is not None or self._closed:
            return
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self._settings, self._number), daemon=True
        )
        # The child is born with Ctrl-C blocked, which is its parent's to handle.
        try:
            with ctrl_c_blocked():
                process.start()
        finally:
            theirs.close()
        self._process, self._connection = process, ours
        kind, value = self._receive(ours, time.monotonic() + _STARTING)
        if kind != "ready":
            self._kill()
            raise value if isinstance(value, RainkitError) else WorkerError("it did not start")

    def work(self, task: Task, ticket: Ticket) -> Answer:
        """Send a picture to the process and wait for its answer; see :class:`Worker`."""
        self._tasks += 1
        try:
            return self._work(task, ticket)
        except _IdleError:  # it had died while it was idle, which costs no picture
            return self._work(task, ticket)

    def _work(self, task: Task, ticket: Ticket) -> Answer:
        self.start()
        connection = self._connection
        if connection is None:
            raise StoppedError
        try:
            connection.send((self._tasks, task))
        except OSError as error:
            self._lost()
            raise _IdleError("the worker process had ended; send the picture again") from error
        deadline = time.monotonic() + _STARTING
        patience: float | None = None
        begun = False
        while True:
            now = time.monotonic()
            if patience is None and (ticket.stopped or now > deadline):
                with suppress(OSError):
                    connection.send(self._tasks)  # asks it to stop
                patience = now + min(_GRACE, self._seconds)
            if patience is not None and now > patience:
                self._lost()
                raise StoppedError() if ticket.stopped else self._over_time(task)
            if not connection.poll(_POLL):
                continue
            kind, value = self._receive(connection, now)
            if kind == "begun":
                begun = True
                deadline = time.monotonic() + self._seconds
            elif kind == "progress":
                ticket.progress = value
            elif kind == "done" and isinstance(value, Answer):
                return value
            elif kind == "stopped":
                raise StoppedError() if ticket.stopped else self._over_time(task)
            else:
                if kind == "lost":
                    self._lost()
                    if ticket.stopped:
                        raise StoppedError
                    if not begun:
                        raise _IdleError(str(value))
                raise value

    def close(self) -> None:
        """Kill the process."""
        self._closed = True
        self._kill()

    def _over_time(self, task: Task) -> OverTimeError:
        smaller = "smaller picture" if task.clip is None else "shorter or smaller clip"
        return OverTimeError(
            f"{task.name}: took longer than {self._seconds:g} s; send a {smaller}, "
            "or choose another method"
        )

    def _receive(self, connection: Connection, until: float) -> tuple[str, Any]:
        """Return a message of the process; ``lost`` if it died."""
        try:
            if not connection.poll(max(0.0, until - time.monotonic())):
                return "lost", WorkerError("the worker process did not start in time")
            message: tuple[str, Any] = connection.recv()
        except (EOFError, OSError):
            return "lost", WorkerError(
                f"the worker process ended on this file ({self._fate()}); send a smaller one"
            )
        return message

    def _fate(self) -> str:
        self._process.join(_GRACE)
        code = self._process.exitcode or 0
        if code == -_SIGKILL:
            return "killed by the system, most likely for lack of memory"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _lost(self) -> None:
        self._kill()
        if not self._closed:
            self._on_lost()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(_GRACE)
        self._connection = None


def _serve(connection: Connection, settings: WorkerSettings, number: int) -> None:
    """Work on the pictures that the parent sends, until it closes the connection or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_large_blocks()
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    with suppress(EOFError, OSError):
        try:
            options = replace(settings.options, device=_device(settings.options.device, number))
            derainers = Derainers(settings.offers, options, settings.largest)
            derainers.load(settings.offers[0].name)
        except Exception as error:
            connection.send(("failed", _portable(error)))
            return
        connection.send(("ready", None))
        while True:
            message = connection.recv()
            if isinstance(message, tuple):  # an int asks to stop a task that is over
                connection.send(_answered(connection, derainers, *message))


def _answered(
    connection: Connection, derainers: Derainers, number: int, task: Task
) -> tuple[str, Any]:
    def on_tile(done: int, total: int) -> None:
        while connection.poll():
            if connection.recv() == number:
                raise StoppedError
        connection.send(("progress", done / total))

    try:
        if task.offer is not None:
            derainers.load(task.offer)
        connection.send(("begun", None))
        return "done", derainers.run(task, on_tile)
    except StoppedError:
        return "stopped", None
    except Exception as error:
        return "failed", _portable(error)


def _portable(error: Exception) -> RainkitError:
    """Return an error that can be sent to the parent; log one that nobody expected."""
    if type(error).__module__.startswith("rainkit.") and isinstance(error, RainkitError):
        return error
    _log.error("a picture failed", exc_info=error)
    return WorkerError(described(error))


def _device(device: str, number: int) -> str:
    """Return the device of a worker; if the user named no GPU, workers share out all of them."""
    if device in ("auto", "cuda"):
        import torch

        if (count := torch.cuda.device_count()) > 1:
            return f"cuda:{number % count}"
    return device


def _end_with_parent() -> None:
    """End this process when its parent has ended without a word to it, killed perhaps."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        with suppress(OSError):
            parent.join()
        os._exit(1)
