"""Clips that were sent, and their results, in a folder of their own on the disk.

A clip is too large to be held in memory. Its file, what is made of it, and its result are in a
folder with a random name, below one that only the server's user may read. No name that a client
gives becomes the name of a file. What a server that was killed leaves behind, the next one removes.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rainkit.errors import ImageError, described
from rainkit.files import try_lock
from rainkit.serving.jobs import Limits, Memory, Store, Upload, result_name, state_of
from rainkit.serving.pool import Pool, State, Ticket
from rainkit.serving.work import CLIP_HEAD, NO_CLIP, Answer, ClipWork, Task, clip_kind

__all__ = ["ClipJob", "Clips", "remove_left_behind"]

_PREFIX = "rainkit-serve-"
_LOCK = "lock"

_MEASURED = 1.0
"""Seconds between measurements of what a clip that is worked on takes up."""


@dataclass(eq=False, slots=True)
class ClipJob:
    """A clip.

    Attributes:
        id: its name for its client, which cannot be guessed.
        name: the name that the client gave it, without folders.
        folder: where its files are.
        offer: name of the offer.
        strength: factor of the rain that is taken off.
        steady: whether flicker is reduced.
        ticket: its way through the pool.
        bytes: size of its files.
        used: time of the latest request about it (:func:`time.monotonic`).
        answer: what became of it, once it is done.
        error: the reason why nothing became of it.
    """

    id: str
    name: str
    folder: Path
    offer: str
    strength: float
    steady: bool
    ticket: Ticket
    bytes: int
    used: float = field(default_factory=time.monotonic)
    answer: Answer | None = None
    error: str | None = None

    @property
    def state(self) -> State:
        """How far it is."""
        return state_of(self.ticket, self.answer, self.error)

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in ("waiting", "running")

    @property
    def result(self) -> Path:
        """The file of its result, once it is done."""
        suffix = self.answer.suffix if self.answer is not None else ""
        return (self.folder / "result").with_suffix(suffix)

    @property
    def result_name(self) -> str:
        """A name for its result."""
        return result_name(self.name, self.offer, self.answer)


class Clips(Store[ClipJob]):
    """All clips.

    Args:
        pool: what works on them.
        disk: what counts the bytes of their files.
        limits: how many are kept, for how long, and what they may be.
    """

    def __init__(self, pool: Pool, disk: Memory, limits: Limits) -> None:
        super().__init__(limits.clips, limits.keep_seconds, "clips", disk)
        self._pool = pool
        self._limits = limits
        self._root: Path | None = None
        self._lock: IO[bytes] | None = None

    def folder(self) -> Path:
        """Make a folder for a clip.

        Raises:
            OSError: this is not possible.
        """
        if self._root is None:
            root = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = (root / _LOCK).open("xb")
            try_lock(self._lock)
            self._root = root
        return Path(tempfile.mkdtemp(dir=self._root))

    def add(
        self,
        upload: Upload,
        *,
        offer: str,
        strength: float,
        steady: bool,
        watch: Callable[[Ticket], None] = lambda _: None,
    ) -> ClipJob:
        """Put a clip that was received into the queue.

        Args:
            upload: the clip.
            offer: name of the offer that takes its rain out.
            strength: factor of the rain that is taken off.
            steady: whether to reduce flicker.
            watch: called with its ticket.

        Raises:
            ImageError: it is none that can be worked on. (Whether it can be decoded, its worker
                finds out.)
        """
        assert upload.file is not None  # noqa: S101
        folder = upload.file.parent
        with upload.file.open("rb") as file:
            kind = clip_kind(file.read(CLIP_HEAD))
        if kind is None:
            shutil.rmtree(folder, ignore_errors=True)
            self._pool.release()
            self.held.give(upload.size)
            raise ImageError(NO_CLIP.format(upload.name))
        work = ClipWork(
            source=upload.file,
            result=folder / "result",
            steady=steady,
            pixels=self._limits.clip_pixels,
            length=self._limits.clip_length,
        )
        task = Task(data=b"", name=upload.name, offer=offer, strength=strength, clip=work)
        job = ClipJob(
            id=secrets.token_urlsafe(16),
            name=upload.name,
            folder=folder,
            offer=offer,
            strength=strength,
            steady=steady,
            ticket=self._pool.submit(task),
            bytes=upload.size,
        )
        watch(job.ticket)
        self._kept[job.id] = job
        self._follow(self._finish(job))
        return job

    async def _finish(self, job: ClipJob) -> None:
        """Wait for a clip; keep its result in place of what was sent."""
        answer = asyncio.wrap_future(job.ticket.answer)
        try:
            while not answer.done():
                await asyncio.wait({answer}, timeout=_MEASURED)
                if not self._measure(job) and job.error is None:
                    job.error = f"{job.name}: {self.held.what} is full; send a shorter clip"
                    job.ticket.cancel()
            done = await answer
        except Exception as error:
            if job.ticket.state != "cancelled" and job.error is None:
                job.error = described(error)
        else:
            if job.error is None:
                job.answer = done
        finally:
            job.used = time.monotonic()
            if job.answer is None or job.id not in self._kept:
                self._remove(job)
            else:
                with suppress(OSError):
                    (job.folder / "source").unlink()
                self._measure(job)

    def _measure(self, job: ClipJob) -> bool:
        """Count what a clip takes up; return False if that is too much for the disk's limit."""
        size = _size(job.folder)
        more, job.bytes = size - job.bytes, size
        self.held.hold(more)
        missing = self.held.used - self.held.most
        if missing > 0 and more > 0:
            self._make_room(missing)
        return more <= 0 or self.held.used <= self.held.most

    def _let_go(self, job: ClipJob) -> None:
        if job.answer is not None:
            self._remove(job)
        else:
            job.ticket.cancel()  # its files are removed when its worker has let go of them

    def _remove(self, job: ClipJob) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)
        self.held.give(job.bytes)
        job.bytes = 0

    def before(self, job: ClipJob) -> int:
        """Return how many clips come before one that waits."""
        return self._pool.before(job.ticket)

    def close(self) -> None:
        """Forget everything and remove all files; the workers must have ended."""
        self.cancel_all()
        if self._root is not None and self._lock is not None:
            self._lock.close()
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None


def remove_left_behind() -> None:
    """Remove folders of servers of this user that were killed, which could not do so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            state = folder.lstat()
            if stat.S_ISDIR(state.st_mode) and _is_ours(state) and _is_free(folder / _LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(state: os.stat_result) -> bool:
    me: Any = getattr(os, "getuid", None)
    return me is None or state.st_uid == me()


def _is_free(lock: Path) -> bool:
    with lock.open("r+b") as file:
        return try_lock(file)


def _size(folder: Path) -> int:
    """Return the size of all files below a folder, some of which may vanish meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
