"""Jobs of several pictures, kept in memory until they are fetched, deleted or too old.

:class:`Store` is what they have in common with clips, which are kept on the disk.
"""

from __future__ import annotations

import asyncio
import io
import secrets
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Generic, Protocol, TypeVar

from rainkit.errors import described
from rainkit.serving.pool import BusyError, Pool, State, Ticket
from rainkit.serving.work import Answer, Task

__all__ = [
    "Job",
    "JobPicture",
    "Jobs",
    "Kept",
    "Limits",
    "Memory",
    "Store",
    "Upload",
    "result_name",
    "state_of",
]

_IDLE = 60.0
"""Seconds without a request after which a finished job makes room for others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What clients may use.

    Attributes:
        upload_bytes: largest file of a picture.
        pixels: largest number of pixels of a picture.
        seconds: longest time of a picture in a worker, and of receiving what is sent.
        places: largest number of pictures that wait or are worked on, and of a job.
        memory_bytes: of all files that were sent and of all results that are kept.
        jobs: largest number of jobs.
        keep_seconds: time after the latest request about it in which a finished job, or a finished
            clip, is kept.
        clip_bytes: largest file of a clip.
        clip_length: longest clip in seconds of its playing time.
        clip_pixels: largest number of pixels of a frame of a clip.
        clip_seconds: longest time of a clip in its worker, and of receiving it.
        disk_bytes: of all clips that were sent, of what is made of them, and of their results.
        clips: largest number of clips that are kept.
    """

    upload_bytes: int = 64_000_000
    pixels: int = 64_000_000
    seconds: float = 300.0
    places: int = 64
    memory_bytes: int = 1_000_000_000
    jobs: int = 1000
    keep_seconds: float = 1800.0
    clip_bytes: int = 500_000_000
    clip_length: float = 120.0
    clip_pixels: int = 9_000_000
    clip_seconds: float = 3600.0
    disk_bytes: int = 4_000_000_000
    clips: int = 100


class Memory:
    """Count of the bytes of files that are held in memory, or on the disk, with a limit.

    Args:
        most: the limit.
        what: its name in messages.
        make_room: called with a number of bytes that is missing; lets go of what it can.
    """

    def __init__(
        self,
        most: int,
        what: str = "the memory for pictures",
        make_room: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.most = most
        self.what = what
        self.used = 0
        self.make_room = make_room

    def take(self, number: int) -> None:
        """Count bytes.

        Raises:
            BusyError: they are too many.
        """
        missing = self.used + number - self.most
        if missing > 0:
            self.make_room(missing)
        if self.used + number > self.most:
            raise BusyError(f"{self.what} is full", _IDLE)
        self.used += number

    def hold(self, number: int) -> None:
        """Count bytes that are there already, even if they are too many."""
        self.used += number

    def give(self, number: int) -> None:
        """Count bytes no longer."""
        self.used -= number


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was received; it holds a place of the queue and its bytes of the memory or disk.

    Attributes:
        name: last part of the name that the client gave it.
        data: the bytes of a picture.
        error: the reason why it was not received whole; it then holds nothing.
        too_large: whether this is because it has too many bytes.
        file: where a clip was written, under a name of our own; None for a picture.
        size: number of bytes.
    """

    name: str
    data: bytes
    error: str | None = None
    too_large: bool = False
    file: Path | None = None
    size: int = 0


def state_of(ticket: Ticket | None, answer: Answer | None, error: str | None) -> State:
    """Return how far a picture or a clip is.

    Args:
        ticket: its way through the pool; None if it was not received whole, which is an error.
        answer: its result, once there is one.
        error: the reason why there is none.
    """
    if error is not None:
        return "failed"
    if answer is not None:
        return "done"
    assert ticket is not None  # noqa: S101
    # The pool may be done with it a moment before its result is looked at.
    return "running" if ticket.state in ("done", "failed") else ticket.state


@dataclass(eq=False, slots=True)
class JobPicture:
    """A picture of a job.

    Attributes:
        name: the name that the client gave it, without folders.
        ticket: its way through the pool; None if it was not received whole.
        answer: its result, once there is one.
        error: the reason why there is none.
    """

    name: str
    ticket: Ticket | None
    answer: Answer | None = None
    error: str | None = None

    @property
    def state(self) -> State:
        """How far it is."""
        return state_of(self.ticket, self.answer, self.error)

    @property
    def progress(self) -> float:
        """Share of its tiles that are done, 0 to 1."""
        return self.ticket.progress if self.ticket is not None else 0.0


@dataclass(eq=False, slots=True)
class Job:
    """Pictures that were sent together.

    Attributes:
        id: its name, which cannot be guessed.
        offer: name of the offer.
        strength: factor of the rain that is taken off.
        pictures: its pictures in the order in which they were sent.
        used: time of the latest request about it (:func:`time.monotonic`).
    """

    id: str
    offer: str
    strength: float
    pictures: list[JobPicture] = field(default_factory=list)
    used: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return all(each.state not in ("waiting", "running") for each in self.pictures)

    def result_name(self, number: int) -> str:
        """Return a name for the result of a picture."""
        each = self.pictures[number]
        return result_name(each.name, self.offer, each.answer)

    def zipped(self) -> Iterator[bytes]:
        """Yield the bytes of a zip archive of all results, and of ``failed.txt`` if some failed."""
        stream = _Stream()
        taken: set[str] = set()
        failed = []
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for number, each in enumerate(self.pictures):
                if each.answer is None:
                    failed.append(f"{each.name}: {each.error or each.state}")
                    continue
                path = PurePosixPath(self.result_name(number))
                name, again = path.name, 1
                while name.casefold() in taken:
                    again += 1
                    name = f"{path.stem}-{again}{path.suffix}"
                taken.add(name.casefold())
                archive.writestr(name, each.answer.data)
                yield stream.taken()
            if failed:
                archive.writestr("failed.txt", "\n".join(failed) + "\n")
        yield stream.taken()


def result_name(name: str, offer: str, answer: Answer | None) -> str:
    """Return a name for the result of a file that a client called ``name``."""
    stem = PurePosixPath(name).stem or "picture"
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in offer)
    return f"{stem}-{plain}{answer.suffix if answer is not None else ''}"


class _Stream(io.RawIOBase):
    """A file that cannot seek, of which what was written is taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        done, self._parts = b"".join(self._parts), []
        return done


class Kept(Protocol):
    """Something that is kept for its client."""

    id: str
    used: float

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""


K = TypeVar("K", bound=Kept)


class Store(ABC, Generic[K]):
    """What is kept until its client deletes it, or has not asked about it for long.

    It is used in one event loop.

    Args:
        most: largest number that is kept.
        keep_seconds: time after the latest request in which what is over is kept.
        what: the name of several in messages.
        held: what counts the bytes of all that is kept, for which this store makes room.
    """

    def __init__(self, most: int, keep_seconds: float, what: str, held: Memory) -> None:
        self.held = held
        self._most = most
        self._keep_seconds = keep_seconds
        self._what = what
        self._kept: dict[str, K] = {}
        self._following: set[asyncio.Task[None]] = set()
        held.make_room = self._make_room

    def __len__(self) -> int:
        return len(self._kept)

    def check_room(self) -> None:
        """Check that there is room for one more.

        Raises:
            BusyError: there is none.
        """
        self.forget_old()
        if len(self._kept) >= self._most:
            self._drop_idle(lambda: len(self._kept) < self._most)
        if len(self._kept) >= self._most:
            raise BusyError(f"there are {self._most} {self._what} already", _IDLE)

    def get(self, name: str) -> K | None:
        """Return what has an id, which is thereby kept for longer; None if there is nothing."""
        self.forget_old()
        job = self._kept.get(name)
        if job is not None:
            job.used = time.monotonic()
        return job

    def delete(self, job: K) -> None:
        """Forget a job; what waits is given up, and what is worked on stops."""
        if self._kept.pop(job.id, None) is not None:
            self._let_go(job)

    def forget_old(self) -> None:
        """Forget what is over and what nobody has asked about for its time."""
        oldest = time.monotonic() - self._keep_seconds
        for job in [each for each in self._kept.values() if each.over and each.used < oldest]:
            self.delete(job)

    def cancel_all(self) -> None:
        """Forget everything."""
        for job in list(self._kept.values()):
            self.delete(job)

    @abstractmethod
    def _let_go(self, job: K) -> None:
        """Give up the work on a job that is forgotten, and what it holds."""

    def _follow(self, following: Coroutine[Any, Any, None]) -> None:
        """Wait in a task of its own."""
        task = asyncio.create_task(following)
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    def _make_room(self, missing: int) -> None:
        wanted = self.held.used - missing
        self._drop_idle(lambda: self.held.used <= wanted)

    def _drop_idle(self, enough: Callable[[], bool]) -> None:
        """Forget what is over and not asked about, the oldest first, until it is enough."""
        before = time.monotonic() - _IDLE
        idle = [each for each in self._kept.values() if each.over and each.used < before]
        for job in sorted(idle, key=lambda each: each.used):
            if enough():
                return
            self.delete(job)


class Jobs(Store[Job]):
    """All jobs.

    Args:
        pool: what works on their pictures.
        memory: what counts their bytes.
        limits: how many jobs are kept, and for how long.
    """

    def __init__(self, pool: Pool, memory: Memory, limits: Limits) -> None:
        super().__init__(limits.jobs, limits.keep_seconds, "jobs", memory)
        self._pool = pool

    def add(
        self,
        uploads: Sequence[Upload],
        *,
        offer: str,
        strength: float,
        watch: Callable[[Ticket], None] = lambda _: None,
    ) -> Job:
        """Make a job of pictures that were received, and put them into the queue.

        Args:
            uploads: the pictures.
            offer: name of the offer that takes their rain out.
            strength: factor of the rain that is taken off.
            watch: called with the ticket of each picture.
        """
        job = Job(id=secrets.token_urlsafe(16), offer=offer, strength=strength)
        self._kept[job.id] = job
        for upload in uploads:
            if upload.error is not None:
                job.pictures.append(JobPicture(upload.name, None, error=upload.error))
                continue
            task = Task(data=upload.data, name=upload.name, offer=offer, strength=strength)
            ticket = self._pool.submit(task)
            watch(ticket)
            picture = JobPicture(upload.name, ticket)
            job.pictures.append(picture)
            self._follow(self._finish(job, picture, ticket, len(upload.data)))
        return job

    async def _finish(self, job: Job, picture: JobPicture, ticket: Ticket, sent: int) -> None:
        """Wait for a picture; keep its result in place of what was sent."""
        answer = None
        try:
            answer = await asyncio.wrap_future(ticket.answer)
        except Exception as error:
            if ticket.state != "cancelled":
                picture.error = described(error)
        finally:
            # Before the result is counted, which may fill the place of what was sent.
            self.held.give(sent)
            job.used = time.monotonic()
        if answer is not None and job.id in self._kept:
            try:
                self.held.take(len(answer.data))
                picture.answer = answer
            except BusyError as error:
                picture.error = f"{picture.name}: {error}, so that its result was not kept"

    def _let_go(self, job: Job) -> None:
        for picture in job.pictures:
            if picture.ticket is not None:
                picture.ticket.cancel()
            if picture.answer is not None:
                self.held.give(len(picture.answer.data))
