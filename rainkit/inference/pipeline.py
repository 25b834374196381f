"""Many pictures: one is decoded and one encoded while another is in the network."""

from __future__ import annotations

import errno
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from rainkit import images, reports
from rainkit.errors import ImageError, RainkitError, UsageError
from rainkit.images import Picture
from rainkit.inference.derainer import Derainer
from rainkit.inference.loading import load, only_method
from rainkit.inference.outputs import Job, check_writable, plan
from rainkit.inference.request import InferRequest
from rainkit.inference.result import InferResult, Outcome

__all__ = ["Advance", "infer"]

Advance: TypeAlias = Callable[[Outcome, int, int], None]
"""Told after each picture: what became of it, how many are over, how many there are."""

_AHEAD = 2
"""Pictures decoded ahead, and encoded behind, at most; each is held in memory."""

_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""After a full or read-only disk no further picture can be written."""


@dataclass(frozen=True, slots=True)
class _Computed:
    """What came out of the network, or why nothing did."""

    rainy: Picture | None = None
    clean: Picture | None = None
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Finished:
    """A picture that is over, what the report shows of it, and whether going on makes sense."""

    outcome: Outcome
    shown: reports.Compared | None = None
    hopeless: bool = False


def infer(request: InferRequest, advance: Advance | None = None) -> InferResult:
    """Take the rain out of pictures and write the results.

    A picture that fails is counted in the result and does not stop the others; a full disk does.
    Ctrl-C leaves once the pictures that are computed are written.

    Raises:
        UsageError: nothing to do, or results that would replace inputs or each other, or that
            all exist.
        ImageError: the output folder cannot be written.
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
    )
    report = planned.report if request.report or request.report_path is not None else None
    if report is not None and report.exists() and not request.overwrite:
        raise UsageError(f"{report} exists; pass --overwrite, or name another --report-to")
    derainer = load(
        name,
        weights=request.weights,
        variant=request.variant,
        device=request.device,
        precision=request.precision,
        tile=request.tile,
    )
    check_writable(planned.jobs[0].output.parent)
    start = time.perf_counter()
    finished: list[_Finished] = []

    def finish(each: _Finished) -> None:
        finished.append(each)
        if advance is not None:
            advance(each.outcome, len(finished), len(planned.jobs))

    side = reports.thumbnail_side(len(planned.jobs)) if report is not None else 0
    encode = partial(_write, overwrite=request.overwrite, quality=request.quality, side=side)
    _run(planned.jobs, derainer, encode, finish)
    result = InferResult(
        outcomes=tuple(each.outcome for each in finished),
        method=name,
        weights=derainer.weights.name,
        device=derainer.runtime.describe(),
        precision=derainer.runtime.precision,
        output=planned.output,
        seconds=time.perf_counter() - start,
        report=report,
    )
    if report is not None:
        shown = [each.shown for each in finished if each.shown is not None]
        page = _page(derainer, result, shown)
        reports.compare_page(page, report, overwrite=request.overwrite)
    return result


def _run(
    jobs: Sequence[Job],
    derainer: Derainer,
    encode: Callable[[Job, _Computed], _Finished],
    finish: Callable[[_Finished], None],
) -> None:
    reading: deque[Future[Picture | str]] = deque()
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
                    reason = f"{job.output}: not attempted after: {hopeless}"
                    finish(_Finished(Outcome(input=job.input, output=job.output, error=reason)))
                    continue
                while len(reading) <= _AHEAD and (following := next(unread, None)) is not None:
                    reading.append(decoder.submit(_read, following))
                picture = reading.popleft().result()
                writing.append(encoder.submit(encode, job, _compute(picture, derainer)))
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


def _read(job: Job) -> Picture | str:
    """The picture, or why there is none."""
    if job.exists:
        return f"{job.output}: exists; pass --overwrite, or name another --output"
    try:
        return images.read(job.input)
    except ImageError as error:
        return str(error)


def _compute(picture: Picture | str, derainer: Derainer) -> _Computed:
    if isinstance(picture, str):
        return _Computed(error=picture)
    start = time.perf_counter()
    try:
        clean = derainer.derain_picture(picture)
    except (RainkitError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return _Computed(rainy=picture, error=reason)
    return _Computed(picture, clean, time.perf_counter() - start)


def _write(job: Job, computed: _Computed, *, overwrite: bool, quality: int, side: int) -> _Finished:
    rainy, clean, error = computed.rainy, computed.clean, computed.error
    hopeless = False
    if clean is not None:
        try:
            images.write(job.output, clean, overwrite=overwrite, quality=quality)
        except ImageError as refused:
            error = str(refused)
            cause = refused.__cause__
            hopeless = isinstance(cause, OSError) and cause.errno in _HOPELESS
    elif rainy is not None:
        error = f"{job.input}: {error}"
    outcome = Outcome(
        input=job.input,
        output=job.output,
        error=error,
        seconds=computed.seconds,
        size=None if rainy is None else rainy.size,
    )
    if side == 0 or error is not None or rainy is None or clean is None:
        return _Finished(outcome, hopeless=hopeless)
    shown = reports.Compared(
        name=job.name,
        before=reports.thumbnail(rainy.rgb, side),
        after=reports.thumbnail(clean.rgb, side),
        size=rainy.size,
        seconds=computed.seconds,
    )
    return _Finished(outcome, shown)


def _page(
    derainer: Derainer, result: InferResult, shown: Sequence[reports.Compared]
) -> reports.ComparePage:
    done, failed = len(result.done), len(result.failed)
    time_taken = f"{result.seconds:.1f} s"
    if done > 1:
        middle = statistics.median(each.seconds for each in result.done)
        time_taken += f", {middle:.2f} s per picture"
    return reports.ComparePage(
        title="One picture without its rain"
        if done == 1
        else f"{done} pictures without their rain",
        facts={
            "Method": f"{derainer.method.title} ({result.method})",
            "Weights": result.weights,
            "Device": result.device,
            "Pictures": f"{done} derained" + (f", {failed} failed" if failed else ""),
            "Time": time_taken,
        },
        pictures=tuple(shown),
        failures=tuple(
            (str(each.input), (each.error or "").removeprefix(f"{each.input}: "))
            for each in result.failed
        ),
    )
