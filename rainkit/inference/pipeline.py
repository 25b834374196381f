"""Pictures through networks: some are decoded and some encoded while others are computed.

Decoders and encoders are threads, since the libraries that decode and encode let go of the
interpreter's lock. The network runs in the calling thread; where there are several devices, each
has a thread. Results come in the order of the pictures, and pictures wait in memory only as far as
:data:`MOST_BYTES` allows.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from rainkit import images
from rainkit.api import RAIN
from rainkit.errors import UsageError, described
from rainkit.files import sha256
from rainkit.images import Picture
from rainkit.inference import inputs
from rainkit.inference.choice import measure
from rainkit.inference.dryness import DRY_DENSITY, was_dry
from rainkit.inference.outcomes import InferRequest, Outcome, Progress
from rainkit.inference.outputs import Job
from rainkit.inference.record import Notes, Records
from rainkit.inference.video import OnFrame, derain_video

if TYPE_CHECKING:
    from rainkit.inference.derainer import Derainer, Result
    from rainkit.inference.tiles import OnTile
    from rainkit.inference.video import VideoResult

__all__ = [
    "MOST_BYTES",
    "Finished",
    "derain_all",
    "derain_one",
    "refused",
    "untried",
    "usual_workers",
]

MOST_BYTES = 2**29
"""Largest size in memory of the pictures that wait for a network or for their encoding, apart from
one that is larger by itself."""

_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors after which no further picture can be written: the disk is full or read-only."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An outcome, and whether no further picture can be written."""

    outcome: Outcome
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class _Read:
    """A decoded picture with the hash of its file, or the reason why there is none.

    If it is to be left as it is where there is no rain in it, ``file`` holds the file's bytes;
    ``dry`` is set if that needs no network to be seen.
    """

    picture: Picture | None = None
    sha256: str | None = None
    seen: str | None = None
    error: str | None = None
    file: bytes | None = None
    dry: bool = False

    @property
    def nbytes(self) -> int:
        if self.picture is None:
            return 0
        pixels = sum(each.rgb.nbytes for each in (self.picture, *self.picture.following))
        return pixels + len(self.file or b"")


@dataclass(frozen=True, slots=True)
class _Computed:
    """A picture with its result, or with the reason why it has none."""

    read: _Read
    result: Result | None = None
    seconds: float = 0.0
    error: str | None = None
    video: VideoResult | None = None
    hopeless: bool = False


class _Stopped(BaseException):
    """The run was stopped while another thread was in the middle of a picture."""


def usual_workers(device: str) -> int:
    """Return how many threads decode, and how many encode, beside networks on a device.

    Args:
        device: type of the device: ``cpu``, where the network needs the cores, or another.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // 4) if device == "cpu" else min(8, max(2, (cores or 1) // 2))


def derain_all(
    jobs: Sequence[Job],
    derainers: Sequence[Derainer],
    records: Records,
    request: InferRequest,
    finish: Callable[[Finished], None],
    progress: Progress,
) -> None:
    """Derain pictures and write the results.

    Args:
        jobs: the pictures.
        derainers: the same network on one or several devices.
        records: the open records of how results are made.
        request: what was asked for; ``workers`` and ``batch`` are used, and how results are
            written.
        finish: called with each picture's end, in the order of the jobs.
        progress: hooks that are called.
    """
    workers = request.workers or usual_workers(derainers[0].runtime.device.type)
    video = partial(_derain_video, records, overwrite=request.overwrite, steady=request.steady)
    with ExitStack() as stack:
        line = _Line(
            jobs=jobs,
            decoders=stack.enter_context(_threads("decode", workers)),
            encoders=stack.enter_context(_threads("encode", workers)),
            networks=stack.enter_context(_Networks(derainers, progress, video)),
            encode=partial(_write, records, overwrite=request.overwrite, quality=request.quality),
            finish=finish,
            read=partial(_read, keep_dry=request.keep_dry),
            batch=request.batch,
            workers=workers,
        )
        line.run()


class _Line:
    """The state of a run: pictures that are being read, computed and written, in their order."""

    def __init__(
        self,
        *,
        jobs: Sequence[Job],
        decoders: ThreadPoolExecutor,
        encoders: ThreadPoolExecutor,
        networks: _Networks,
        encode: Callable[[Job, _Computed], Finished],
        finish: Callable[[Finished], None],
        read: Callable[[Job], _Read],
        batch: int | None,
        workers: int,
    ) -> None:
        self._unread = iter(jobs)
        self._decoders, self._encoders, self._networks = decoders, encoders, networks
        self._encode, self._finish, self._batch = encode, finish, batch
        self._read = read
        self._ahead = max(workers + 1, 2 * (batch or 1), networks.wanted)
        self._reading: deque[tuple[Job, Future[_Read] | None]] = deque()
        self._computing: deque[tuple[Sequence[Job], Future[list[_Computed]] | None]] = deque()
        self._writing: deque[tuple[int, Future[Finished] | Finished]] = deque()
        self._being_read = self._in_hand = self._being_encoded = self._encoded_bytes = 0
        self._largest: int | None = None  # bytes of a picture; None until one was read
        self._hopeless: str | None = None

    def run(self) -> None:
        """Take all pictures through; what is computed is written, also after Ctrl-C."""
        stopped = True
        try:
            while self._hopeless is None and (group := self._next_group()):
                jobs, reads = group
                needed = reads and self._networks.submit(jobs, reads)
                self._computing.append((jobs, needed or None))
                self._pass_on(wait=len(self._computing) > self._networks.ahead)
            stopped = False
        finally:
            if stopped:
                self._networks.stop()
            while self._computing:
                self._pass_on(wait=True)
            while self._writing:
                self._collect()
        if self._hopeless is not None:
            left = [job for job, _ in self._reading]
            for job in (*left, *self._unread):
                self._finish(Finished(untried(job, self._hopeless)))

    def _read_ahead(self) -> None:
        """Begin to read as many pictures as may wait, one at first, whose size is not known."""
        while True:
            if self._being_read >= self._ahead or (
                self._being_read + self._in_hand and self._full()
            ):
                return
            job = next(self._unread, None)
            if job is None:
                return
            if job.exists:
                self._reading.append((job, None))
            else:
                self._reading.append((job, self._decoders.submit(self._read, job)))
                self._being_read += 1

    def _full(self) -> bool:
        if self._largest is None:
            return True
        computing = sum(len(jobs) for jobs, future in self._computing if future is not None)
        pictures = self._being_read + self._in_hand + computing + 1
        return pictures * self._largest + self._encoded_bytes > MOST_BYTES

    def _take(self) -> tuple[Job, _Read | None]:
        job, future = self._reading.popleft()
        if future is None:
            return job, None
        read = future.result()
        self._being_read -= 1
        self._in_hand += 1
        if read.picture is not None:
            self._largest = max(self._largest or 0, read.nbytes)
        return job, read

    def _next_group(self) -> tuple[list[Job], list[_Read]] | None:
        """Return pictures that are computed together, or one that is not needed, or None."""
        self._in_hand = 0
        self._read_ahead()
        if not self._reading:
            return None
        job, first = self._take()
        self._read_ahead()
        if first is None:
            return [job], []
        jobs, reads = [job], [first]
        most = self._networks.together(first.picture, self._batch, parts=job.parts is not None)
        while len(reads) < most and self._reading:
            following, future = self._reading[0]
            if future is None or not _alike(first, future.result()):
                break
            _, read = self._take()
            jobs.append(following)
            reads.append(read or first)
            self._read_ahead()
        return jobs, reads

    def _pass_on(self, *, wait: bool) -> None:
        """Give what is computed to the encoders, and collect what is written.

        Args:
            wait: whether to wait for the first pictures that are being computed.
        """
        while self._computing:
            jobs, future = self._computing[0]
            if future is not None:
                if not (wait or future.done()):
                    break
                _wait_for(future)
            wait = False
            with _uninterrupted():
                self._computing.popleft()
                if future is None:
                    self._writing.append((0, Finished(untried(jobs[0], ""))))
                elif not future.cancelled() and not isinstance(future.exception(), _Stopped):
                    for job, computed in zip(jobs, future.result(), strict=True):
                        task = self._encoders.submit(self._encode, job, computed)
                        self._writing.append((computed.read.nbytes, task))
                        self._being_encoded += 1
                        self._encoded_bytes += computed.read.nbytes
        while self._writing and (self._crowded() or _is_done(self._writing[0][1])):
            self._collect()

    def _crowded(self) -> bool:
        many = self._being_encoded
        return many > self._ahead or (many > 1 and self._encoded_bytes > MOST_BYTES)

    def _collect(self) -> None:
        size, each = self._writing[0]
        if not isinstance(each, Finished):
            _wait_for(each)
        with _uninterrupted():
            self._writing.popleft()
            if isinstance(each, Finished):
                finished = each
            else:
                finished = each.result()
                self._being_encoded -= 1
                self._encoded_bytes -= size
            if finished.hopeless:
                self._hopeless = finished.outcome.error
            self._finish(finished)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block is over.

    So what was written is also told, and told once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    held = {each: handler for each, handler in handlers.items() if callable(handler)}
    try:
        for each in held:
            signal.signal(each, lambda number, frame: came.append((number, frame)))
        yield
    finally:
        for each, handler in held.items():
            signal.signal(each, handler)
        for number, frame in came[:1]:
            held[signal.Signals(number)](number, frame)


def _wait_for(future: Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _is_done(each: Future[Finished] | Finished) -> bool:
    return isinstance(each, Finished) or each.done()


def _alike(one: _Read, other: _Read) -> bool:
    """Return whether pictures can be computed together."""
    first, second = one.picture, other.picture
    if first is None or second is None:
        return False
    return first.size == second.size and not second.following and not (one.dry or other.dry)


class _Networks:
    """One network in this thread, or a thread for each of several devices."""

    def __init__(
        self, derainers: Sequence[Derainer], progress: Progress, video: _DerainVideo
    ) -> None:
        self._derainers = derainers
        self._progress = progress
        self._video = video
        self._stopping = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._idle: queue.SimpleQueue[Derainer] = queue.SimpleQueue()
        self._one_by_one = False
        if len(derainers) > 1:
            self._pool = ThreadPoolExecutor(len(derainers), thread_name_prefix="rainkit-network")
            for each in derainers:
                self._idle.put(each)

    @property
    def ahead(self) -> int:
        """Number of groups that are submitted before the first of them is waited for."""
        return 0 if self._pool is None else len(self._derainers) + 1

    @property
    def wanted(self) -> int:
        """Number of pictures that are read ahead so that no device waits."""
        if self._derainers[0].runtime.device.type == "cpu":
            return 2
        return 2 * self._derainers[0].largest_batch * len(self._derainers)

    def together(self, picture: Picture | None, batch: int | None, *, parts: bool) -> int:
        """Return the largest number of pictures of this size that run together."""
        if picture is None or picture.following or parts or self._one_by_one:
            return 1
        return self._derainers[0].batch_size(*picture.size, batch)

    def submit(self, jobs: Sequence[Job], reads: Sequence[_Read]) -> Future[list[_Computed]]:
        """Compute pictures at once if there is one network, or else in a thread."""
        if self._pool is not None:
            return self._pool.submit(self._compute_anywhere, jobs, reads)
        done: Future[list[_Computed]] = Future()
        done.set_result(self._compute(jobs, reads, self._derainers[0]))
        return done

    def _compute_anywhere(self, jobs: Sequence[Job], reads: Sequence[_Read]) -> list[_Computed]:
        derainer = self._idle.get()
        try:
            return self._compute(jobs, reads, derainer)
        finally:
            self._idle.put(derainer)

    def _compute(
        self, jobs: Sequence[Job], reads: Sequence[_Read], derainer: Derainer
    ) -> list[_Computed]:
        pictures = [read.picture for read in reads if read.picture is not None]
        if len(pictures) == len(reads) > 1:
            start = time.perf_counter()
            try:
                results = derainer.derain_batch(pictures)
            except Exception:  # one picture may be to blame, which is found out below
                results = []
            each = (time.perf_counter() - start) / len(reads)
            if results:
                return [
                    _Computed(read, _kept_dry(read, result, derainer), each)
                    for read, result in zip(reads, results, strict=True)
                ]
            self._one_by_one = True  # such as for lack of memory
        return [self._compute_one(*each, derainer) for each in zip(jobs, reads, strict=True)]

    def _compute_one(self, job: Job, read: _Read, derainer: Derainer) -> _Computed:
        if job.video:
            return self._video(job, read, derainer, partial(self._on_frame, job.input))
        on_tile = partial(self._on_tile, job.input)
        return _compute(read, derainer, on_tile, parts=job.parts is not None)

    def _on_tile(self, picture: Path, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise _Stopped
        self._progress.tile(picture, done, total)

    def _on_frame(self, video: Path, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise _Stopped
        self._progress.frame(video, done, total)

    def stop(self) -> None:
        """Let no further group begin; other threads leave their picture after a tile."""
        self._stopping.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> _Networks:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _threads(name: str, number: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads; an exception empties it."""
    pool = ThreadPoolExecutor(number, thread_name_prefix=f"rainkit-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def untried(job: Job, reason: str) -> Outcome:
    """Return the outcome of a picture that is not tried, because it is done or for a reason."""
    if job.other is not None:
        return Outcome(input=job.input, output=job.output, status="kept", error=job.other)
    if job.exists:
        return Outcome(
            input=job.input, output=job.output, status="skipped", parts=_parts_there(job)
        )
    return Outcome(input=job.input, output=job.output, status="not attempted", error=reason)


def derain_one(
    job: Job,
    derainer: Derainer,
    records: Records | Notes,
    *,
    overwrite: bool,
    quality: int | None,
    keep_dry: bool,
    steady: bool = False,
) -> Finished:
    """Read a picture, derain it and write the result, without any other at the same time."""
    read = _read(job, keep_dry=keep_dry)
    if job.video:
        computed = _derain_video(
            records, job, read, derainer, None, overwrite=overwrite, steady=steady
        )
        return _video_finished(records, job, computed)
    computed = _compute(read, derainer, lambda done, of: None, parts=job.parts is not None)
    return _write(records, job, computed, overwrite=overwrite, quality=quality)


def refused(job: Job, error: Exception) -> tuple[str, bool]:
    """Return why a result could not be written, and whether no other can be written either."""
    reason = described(error)
    if not any(str(path) in reason for path in (job.input, job.output)):
        reason = f"{job.input}: {reason}"
    cause = error.__cause__
    return reason, isinstance(cause, OSError) and cause.errno in _HOPELESS


def _read(job: Job, *, keep_dry: bool) -> _Read:
    """Return the picture, or the reason why it cannot be read."""
    seen = inputs.fingerprint(job.input)
    if job.video:  # which is read frame by frame
        return _Read(seen=seen)
    try:
        data = inputs.read_bytes(job.input)
        digest = hashlib.sha256(data).hexdigest()
    except Exception as error:
        return _Read(error=_about(job.input, error))
    try:
        picture = images.decode(data, job.input, every_frame=True)
        if not keep_dry:
            return _Read(picture, digest, seen)
        frames = (picture, *picture.following)
        dry = all(measure(each.rgb).density < DRY_DENSITY for each in frames)
        return _Read(picture, digest, seen, file=data, dry=dry)
    except Exception as error:  # whatever it is, the other pictures can be derained
        return _Read(None, digest, seen, _about(job.input, error))


def _about(path: Path, error: Exception) -> str:
    """Return one line that names the file, as most errors of pictures do already."""
    line = described(error)
    return line if str(path) in line else f"{path}: {line}"


def _compute(read: _Read, derainer: Derainer, on_tile: OnTile, *, parts: bool) -> _Computed:
    if read.picture is None:
        return _Computed(read, error=read.error)
    if read.dry:
        return _Computed(read, _left(read.picture))
    start = time.perf_counter()
    try:
        result = derainer.derain_picture(read.picture, on_tile, parts=parts)
        result = _kept_dry(read, result, derainer)
    except Exception as error:
        return _Computed(read, error=described(error))
    return _Computed(read, result, time.perf_counter() - start)


def _kept_dry(read: _Read, result: Result, derainer: Derainer) -> Result:
    """Return the picture itself if that is asked for, and what was taken off it is no rain."""
    if read.file is None or read.picture is None or not derainer.tells_dry:
        return result
    rainy, derained = read.picture, result.picture
    frames = zip((rainy, *rainy.following), (derained, *derained.following), strict=True)
    if all(was_dry(one.rgb, other.rgb, derainer.strength) for one, other in frames):
        return _left(rainy)
    return result


def _left(picture: Picture) -> Result:
    from rainkit.inference.derainer import Result  # imports torch

    return Result(picture=picture, dry=True)


_DerainVideo: TypeAlias = "Callable[[Job, _Read, Derainer, OnFrame], _Computed]"


def _derain_video(
    records: Records | Notes,
    job: Job,
    read: _Read,
    derainer: Derainer,
    on_frame: OnFrame | None,
    *,
    overwrite: bool,
    steady: bool,
) -> _Computed:
    """Derain a video and write its result, since its frames are never in memory together."""
    start = time.perf_counter()

    def on_whole(temporary: Path) -> None:
        records.done(
            job,
            source=sha256(job.input),
            seen=read.seen,
            output=sha256(temporary),
            written=inputs.fingerprint(temporary),
            seconds=time.perf_counter() - start,
        )

    try:
        if isinstance(job.input, inputs.RemotePath):
            raise UsageError(f"{job.input}: videos must be files of this machine; download it")
        video = derain_video(
            derainer,
            job.input,
            job.output,
            steady=steady,
            overwrite=overwrite,
            on_frame=on_frame,
            on_whole=on_whole,
            file=records.file,
        )
    except Exception as error:  # whatever it is, the other inputs can be derained
        cause = error.__cause__
        hopeless = isinstance(cause, OSError) and cause.errno in _HOPELESS
        return _Computed(read, error=_about(job.input, error), hopeless=hopeless)
    return _Computed(read, seconds=time.perf_counter() - start, video=video)


def _video_finished(records: Records | Notes, job: Job, computed: _Computed) -> Finished:
    """Return what became of a video, and note it in the record if it failed."""
    video, error = computed.video, computed.error
    if video is None:
        records.failed(job, error or "")
        failed = Outcome(input=job.input, output=job.output, status="failed", error=error)
        return Finished(failed, hopeless=computed.hopeless)
    seen = None
    if video.work_size is not None:
        width, height = (round(video.work_size * side / max(video.size)) for side in video.size)
        seen = (width, height)
    return Finished(
        Outcome(
            input=job.input,
            output=job.output,
            error=f"{job.input}: {'; '.join(video.damage)}" if video.damage else None,
            seconds=computed.seconds,
            size=video.size,
            work_size=seen,
            notes=video.notes,
            frames=video.frames,
        )
    )


def _write(
    records: Records | Notes, job: Job, computed: _Computed, *, overwrite: bool, quality: int | None
) -> Finished:
    """Write a result, and note in the record what became of the picture."""
    if job.video:
        return _video_finished(records, job, computed)
    read, result, error = computed.read, computed.result, computed.error
    hopeless = False
    written: Mapping[str, Path] = {}
    if result is not None:
        try:
            if not (job.made and job.parts):
                same = job.suffix.lower() == job.input.suffix.lower()
                data = (read.file if same and result.dry else None) or images.encode(
                    result.picture, job.suffix, quality=quality
                )
                _write_result(records, job, data, computed, overwrite=overwrite)
            written = _write_parts(records, job, result, overwrite=overwrite)
        except Exception as unwritten:
            error, hopeless = refused(job, unwritten)
    elif read.picture is not None:
        error = f"{job.input}: {error}"
    if error is not None:
        records.failed(job, error)
    outcome = Outcome(
        input=job.input,
        output=job.output,
        status="done" if error is None else "failed",
        error=error,
        seconds=computed.seconds,
        size=None if read.picture is None else read.picture.size,
        blocks=None if result is None else result.blocks,
        work_size=None if result is None else result.work_size,
        by=None if result is None else result.by,
        rain=None if result is None else result.rain,
        dry=result is not None and result.dry,
        parts=written,
        notes=_notes(result, job) if result is not None and error is None else (),
    )
    return Finished(outcome, hopeless=hopeless)


def _write_result(
    records: Records | Notes, job: Job, data: bytes, computed: _Computed, *, overwrite: bool
) -> None:
    if job.piped:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with records.file(job.output, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)
        # Before it is renamed: a run that is killed between the two makes it again.
        records.done(
            job,
            source=computed.read.sha256,
            seen=computed.read.seen,
            output=hashlib.sha256(data).hexdigest(),
            written=inputs.fingerprint(temporary),
            seconds=computed.seconds,
        )


def _notes(result: Result, job: Job) -> tuple[str, ...]:
    held = images.not_held(result.picture, job.suffix)
    return (*result.picture.notes, *held, *result.notes)


def _parts_there(job: Job) -> dict[str, Path]:
    """Return the files of the parts that an earlier run has made, if parts are asked for."""
    if job.parts is None or not job.parts.is_dir():
        return {}
    if job.part_file is None:
        return {path.stem: path for path in sorted(job.parts.glob("*.png"))}
    found = (folder / job.part_file for folder in sorted(job.parts.iterdir()))
    return {path.relative_to(job.parts).parts[0]: path for path in found if path.exists()}


def _write_parts(
    records: Records | Notes, job: Job, result: Result, *, overwrite: bool
) -> dict[str, Path]:
    """Write the parts, ``rain`` last, so that all exist where it exists."""
    written = {name: job.part(name) for name in result.parts}
    hashes: dict[str, str] = {}
    for name in sorted(written, key=lambda name: name == RAIN):
        path = written[name]
        if path.exists() and not overwrite:
            hashes[name] = sha256(path)
            continue
        data = images.encode(result.parts[name], path.suffix)
        hashes[name] = hashlib.sha256(data).hexdigest()
        with records.file(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(data)
            if name == RAIN:
                records.parts(job, hashes)
    return written
