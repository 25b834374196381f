"""Doing the same to many things in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import cv2

from rainkit.allocator import keep_large_blocks
from rainkit.errors import RainkitError

__all__ = ["Run", "open_workers", "worth_starting"]

State = TypeVar("State")
State_co = TypeVar("State_co", covariant=True)
Item = TypeVar("Item")
Result = TypeVar("Result")

_PICTURES_PER_PROCESS = 40  # fewer do not pay for starting another process

_state: Any = None
"""In a worker process: what it was given to build, or why it could not be built."""


class Run(Protocol[State_co]):
    """Yields each item with ``work(state, item)`` as soon as it is done, in any order."""

    def __call__(
        self, work: Callable[[State_co, Item], Result], items: Sequence[Item], /
    ) -> Iterator[tuple[Item, Result]]:
        """``work`` must be a function of a module; what it raises is raised here."""
        ...


def worth_starting(pictures: int, wanted: int | None, most: int) -> int:
    """How many processes to use: ``wanted``, or as many as pay; at most ``most``, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    paying = wanted or min(cores or 1, pictures // _PICTURES_PER_PROCESS)
    return max(1, min(paying, most))


@contextmanager
def open_workers(count: int, build: Callable[..., State], *arguments: Any) -> Iterator[Run[State]]:
    """Processes that hold what ``build(*arguments)`` makes, which is called once in each.

    ``build`` and its arguments must be picklable. With a count of 1 all happens in this process.
    """
    if count == 1:
        keep_large_blocks()
        state = build(*arguments)

        def run_here(
            work: Callable[[State, Item], Result], items: Sequence[Item], /
        ) -> Iterator[tuple[Item, Result]]:
            return ((item, work(state, item)) for item in items)

        yield run_here
        return
    # Spawned, not forked: the caller may have threads of OpenCV or torch running.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        count, mp_context=context, initializer=_start, initargs=(build, arguments)
    )

    def run_there(
        work: Callable[[State, Item], Result], items: Sequence[Item], /
    ) -> Iterator[tuple[Item, Result]]:
        futures = {pool.submit(_do, work, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
        except BrokenProcessPool as error:
            raise RainkitError(
                "a worker process died, most likely for lack of memory; use fewer --workers"
            ) from error

    try:
        yield run_there
    finally:
        pool.shutdown(cancel_futures=True)


def _start(build: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """One thread a process; Ctrl-C is the parent's to handle, and its end is everyone's."""
    global _state
    cv2.setNumThreads(1)
    keep_large_blocks()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _state = build(*arguments)
    except RainkitError as error:
        _state = error


def _end_with_parent() -> None:
    """A parent that is killed cannot stop its workers, which would go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        with suppress(OSError):
            parent.join()
        os._exit(1)


def _do(work: Callable[[Any, Item], Result], item: Item) -> Result:
    if isinstance(_state, RainkitError):
        raise _state
    return work(_state, item)
