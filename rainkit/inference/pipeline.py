"""Pictures through a network: one is decoded and one encoded while another is computed."""

from __future__ import annotations

import errno
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit import images
from rainkit.api import RAIN
from rainkit.errors import described
from rainkit.files import atomic_path
from rainkit.images import Picture
from rainkit.inference.outcomes import InferRequest, Outcome, Progress, Status
from rainkit.inference.outputs import Job
from rainkit.inference.record import Records

if TYPE_CHECKING:
    from rainkit.inference.derainer import Derainer, Result
    from rainkit.inference.tiles import OnTile

__all__ = ["Finished", "derain_all", "untried"]

_AHEAD = 2
"""Largest number of pictures that wait for the network, and for their encoding, in memory."""

_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors after which no further picture can be written: the disk is full or read-only."""


@dataclass(frozen=True, slots=True)
class _Computed:
    """A picture with its result, or with the reason why it has none; empty if it is skipped."""

    rainy: Picture | None = None
    result: Result | None = None
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """An outcome, and whether no further picture can be written."""

    outcome: Outcome
    hopeless: bool = False


def derain_all(
    jobs: Sequence[Job],
    derainer: Derainer,
    records: Records,
    request: InferRequest,
    finish: Callable[[Finished], None],
    progress: Progress,
) -> None:
    """Derain pictures and write the results.

    Args:
        jobs: the pictures.
        derainer: the network.
        records: the open records of how results are made.
        request: what was asked for.
        finish: called with each picture's end, in the order of the jobs.
        progress: hooks that are called.
    """
    encode = partial(_write, records, overwrite=request.overwrite, quality=request.quality)
    reading: deque[Future[Picture | str | None]] = deque()
    writing: deque[Future[Finished]] = deque()
    unread = iter(jobs)
    hopeless: str | None = None

    def collect() -> None:
        nonlocal hopeless
        each = writing.popleft().result()
        if each.hopeless:
            hopeless = each.outcome.error
        finish(each)

    with _thread("decode") as decoder, _thread("encode") as encoder:
        try:
            for job in jobs:
                if hopeless is not None:
                    while writing:
                        collect()
                    finish(Finished(untried(job, hopeless)))
                    continue
                while len(reading) <= _AHEAD and (following := next(unread, None)) is not None:
                    reading.append(decoder.submit(_read, following))
                picture = reading.popleft().result()
                on_tile = partial(progress.tile, job.input)
                parts = job.parts is not None
                computed = _compute(picture, derainer, on_tile, parts=parts)
                writing.append(encoder.submit(encode, job, computed))
                while len(writing) > _AHEAD or (writing and writing[0].done()):
                    collect()
        finally:
            while writing:  # these are computed, also after Ctrl-C
                collect()


@contextmanager
def _thread(name: str) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of one thread, which keeps the order of pictures; an exception empties it."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=f"rainkit-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _kept(job: Job) -> Outcome:
    return Outcome(input=job.input, output=job.output, status="kept", error=job.other)


def untried(job: Job, reason: str) -> Outcome:
    """Return the outcome of a picture that is not tried, because it is done or for a reason."""
    if job.other is not None:
        return _kept(job)
    if job.exists:
        return Outcome(
            input=job.input, output=job.output, status="skipped", parts=_parts_there(job)
        )
    return Outcome(input=job.input, output=job.output, status="not attempted", error=reason)


def _read(job: Job) -> Picture | str | None:
    """Return the picture, or the reason why it cannot be read; None if it is not needed."""
    if job.exists:
        return None
    try:
        return images.read(job.input, every_frame=True)
    except Exception as error:  # whatever it is, the other pictures can be derained
        return _about(job.input, error)


def _about(path: Path, error: Exception) -> str:
    """Return one line that names the file, as most errors of pictures do already."""
    line = described(error)
    return line if str(path) in line else f"{path}: {line}"


def _compute(
    picture: Picture | str | None, derainer: Derainer, on_tile: OnTile, *, parts: bool
) -> _Computed:
    if picture is None:
        return _Computed()
    if isinstance(picture, str):
        return _Computed(error=picture)
    start = time.perf_counter()
    try:
        result = derainer.derain_picture(picture, on_tile, parts=parts)
    except Exception as error:
        return _Computed(rainy=picture, error=described(error))
    return _Computed(picture, result, time.perf_counter() - start)


def _write(
    records: Records, job: Job, computed: _Computed, *, overwrite: bool, quality: int | None
) -> Finished:
    if job.other is not None:
        return Finished(_kept(job))
    rainy, result, error = computed.rainy, computed.result, computed.error
    hopeless = False
    written = _parts_there(job) if job.exists else {}
    if result is not None:
        try:
            if not (job.made and job.parts):
                data = images.encode(result.picture, job.output.suffix, quality=quality)
                # Before it is written: a run that is killed between the two writes it again.
                records.add(job, hashlib.sha256(data).hexdigest())
                with atomic_path(job.output, overwrite=overwrite) as temporary:
                    temporary.write_bytes(data)
            written = _write_parts(job, result, overwrite=overwrite)
        except Exception as refused:
            error = described(refused)
            if not any(str(path) in error for path in (job.input, job.output)):
                error = f"{job.input}: {error}"
            cause = refused.__cause__
            hopeless = isinstance(cause, OSError) and cause.errno in _HOPELESS
    elif rainy is not None:
        error = f"{job.input}: {error}"
    status: Status = "skipped" if job.exists else "done" if error is None else "failed"
    outcome = Outcome(
        input=job.input,
        output=job.output,
        status=status,
        error=error,
        seconds=computed.seconds,
        size=None if rainy is None else rainy.size,
        blocks=None if result is None else result.blocks,
        work_size=None if result is None else result.work_size,
        parts=written,
        notes=_notes(result.picture, job) if result is not None and error is None else (),
    )
    return Finished(outcome, hopeless=hopeless)


def _notes(clean: Picture, job: Job) -> tuple[str, ...]:
    return (*clean.notes, *images.not_held(clean, job.output.suffix))


def _parts_there(job: Job) -> dict[str, Path]:
    """Return the files of the parts that an earlier run has made, if parts are asked for."""
    if job.parts is None:
        return {}
    if job.part_file is None:
        return {path.stem: path for path in sorted(job.parts.glob("*.png"))}
    found = (folder / job.part_file for folder in sorted(job.parts.iterdir()))
    return {path.relative_to(job.parts).parts[0]: path for path in found if path.exists()}


def _write_parts(job: Job, result: Result, *, overwrite: bool) -> dict[str, Path]:
    """Write the parts, ``rain`` last, so that all exist where it exists."""
    written = {name: job.part(name) for name in result.parts}
    for name in sorted(written, key=lambda name: name == RAIN):
        if overwrite or not written[name].exists():
            images.write(written[name], result.parts[name], overwrite=overwrite)
    return written
