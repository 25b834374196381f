"""Many pictures: one is decoded and one encoded while another is in the network."""

from __future__ import annotations

import dataclasses
import errno
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rainkit import images, reports
from rainkit.api import RAIN
from rainkit.errors import FileError, ImageError, RainkitError, UsageError
from rainkit.images import Picture
from rainkit.inference.derainer import Derainer, Result
from rainkit.inference.loading import load, only_method
from rainkit.inference.outputs import Job, Plan, check_writable, plan
from rainkit.inference.page import before_after
from rainkit.inference.progress import Progress
from rainkit.inference.request import InferRequest
from rainkit.inference.result import InferResult, Outcome, Status
from rainkit.inference.tiles import OnTile

__all__ = ["infer"]

_AHEAD = 2
"""Pictures decoded ahead, and encoded behind, at most; each is held in memory."""

_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""After a full or read-only disk no further picture can be written."""


@dataclass(frozen=True, slots=True)
class _Computed:
    """What came out of the network, or why nothing did; empty for a picture that is skipped."""

    rainy: Picture | None = None
    result: Result | None = None
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Finished:
    """A picture that is over, what the report shows of it, and whether going on makes sense."""

    outcome: Outcome
    shown: reports.Compared | None = None
    hopeless: bool = False


def infer(request: InferRequest, progress: Progress | None = None) -> InferResult:
    """Take the rain out of pictures and write the results.

    Pictures whose result is there are skipped. One that fails is counted in the result and does
    not stop the others; a full disk does. Ctrl-C leaves once the pictures that are computed are
    written.

    Raises:
        UsageError: no picture found, or results that would replace inputs or each other.
        FileError: the folders of the results or of the report cannot be written.
        MethodError, WeightsError: the method cannot run.
    """
    if not 1 <= request.quality <= 100:
        raise UsageError(f"--quality {request.quality}: choose 1 to 100")
    name = request.method or only_method()
    planned = plan(
        images.find(request.inputs),
        name,
        request.output,
        overwrite=request.overwrite,
        report=request.report_path,
        parts=request.parts,
    )
    progress = progress or Progress()
    progress.start(len(planned.jobs))
    report = _report(request, planned)
    derainer = load(
        name,
        weights=request.weights,
        variant=request.variant,
        device=request.device,
        precision=request.precision,
        tile=request.tile,
        blocks=request.blocks,
        effort=request.effort,
        stop_below=request.stop_below,
    )
    if not all(job.exists for job in planned.jobs):
        for folder in planned.folders:
            check_writable(folder)
    if report is not None:
        check_writable(report.parent, "--report-to")
    start = time.perf_counter()
    finished: list[_Finished] = []

    def finish(each: _Finished) -> None:
        finished.append(each)
        progress.advance(each.outcome)

    side = reports.thumbnail_side(len(planned.jobs)) if report is not None else 0
    encode = partial(_write, overwrite=request.overwrite, quality=request.quality, side=side)
    _run(planned.jobs, derainer, encode, finish, progress)
    result = InferResult(
        outcomes=tuple(each.outcome for each in finished),
        method=name,
        weights=derainer.weights.name,
        device=derainer.runtime.describe(),
        precision=derainer.runtime.precision,
        outputs=planned.outputs,
        parts=planned.parts,
        blocks=derainer.blocks,
        seconds=time.perf_counter() - start,
    )
    if report is None:
        return result
    shown = [each.shown for each in finished if each.shown is not None]
    page = before_after(derainer.method.title, result, shown)
    try:
        reports.compare_page(page, report, overwrite=request.overwrite)
    except FileError as error:  # by now the results are more important
        return dataclasses.replace(result, report_error=str(error))
    return dataclasses.replace(result, report=report)


def _report(request: InferRequest, planned: Plan) -> Path | None:
    """Where the page goes; None = there is none to make."""
    if not request.report and request.report_path is None:
        return None
    report = planned.report
    if report.is_dir():
        raise UsageError(f"{report} is a folder: name a file by --report-to")
    if report.exists() and not request.overwrite:
        if all(job.exists for job in planned.jobs):
            return None
        raise UsageError(f"{report} exists; pass --overwrite, or name another --report-to")
    return report


def _run(
    jobs: Sequence[Job],
    derainer: Derainer,
    encode: Callable[[Job, _Computed], _Finished],
    finish: Callable[[_Finished], None],
    progress: Progress,
) -> None:
    reading: deque[Future[Picture | str | None]] = deque()
    writing: deque[Future[_Finished]] = deque()
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
                    finish(_Finished(_untried(job, hopeless)))
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
            while writing:  # after Ctrl-C too: these are computed
                collect()


@contextmanager
def _thread(name: str) -> Iterator[ThreadPoolExecutor]:
    """One thread, so that pictures keep their order; after an exception what waits is dropped."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=f"rainkit-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _untried(job: Job, reason: str) -> Outcome:
    if job.exists:
        return Outcome(input=job.input, output=job.output, status="skipped")
    return Outcome(input=job.input, output=job.output, status="not attempted", error=reason)


def _read(job: Job) -> Picture | str | None:
    """The picture, or why there is none; None = it is not needed."""
    if job.exists:
        return None
    try:
        return images.read(job.input)
    except ImageError as error:
        return str(error)


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
    except (RainkitError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return _Computed(rainy=picture, error=reason)
    return _Computed(picture, result, time.perf_counter() - start)


def _write(job: Job, computed: _Computed, *, overwrite: bool, quality: int, side: int) -> _Finished:
    rainy, result, error = computed.rainy, computed.result, computed.error
    hopeless = False
    written: dict[str, Path] = {}
    if result is not None:
        try:
            if not (job.made and job.parts):
                images.write(job.output, result.picture, overwrite=overwrite, quality=quality)
            written = _write_parts(job, result, overwrite=overwrite)
        except ImageError as refused:
            error = str(refused)
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
        parts=written,
    )
    if side == 0 or error is not None or rainy is None or result is None:
        return _Finished(outcome, hopeless=hopeless)
    shown = reports.Compared(
        name=job.name,
        before=reports.thumbnail(rainy.rgb, side),
        after=reports.thumbnail(result.picture.rgb, side),
        size=rainy.size,
        seconds=computed.seconds,
        blocks=result.blocks,
    )
    return _Finished(outcome, shown)


def _write_parts(job: Job, result: Result, *, overwrite: bool) -> dict[str, Path]:
    """``rain`` comes last: where it is there, all are."""
    written = {name: job.part(name) for name in result.parts}
    for name in sorted(written, key=lambda name: name == RAIN):
        if overwrite or not written[name].exists():
            images.write(written[name], result.parts[name], overwrite=overwrite)
    return written
