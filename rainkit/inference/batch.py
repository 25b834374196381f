"""Many pictures: decoding and encoding while another picture is in the network."""

from __future__ import annotations

import dataclasses
import errno
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from rainkit import images
from rainkit.api import RAIN
from rainkit.errors import FileError, ImageError, RainkitError, UsageError
from rainkit.images import Picture
from rainkit.inference.derainer import Derainer, Result, only_method, open_derainer
from rainkit.inference.outputs import Job, Plan, check_writable, plan
from rainkit.inference.report import Compared, before_after, compare_page
from rainkit.inference.tiles import OnTile
from rainkit.render.thumbnails import thumbnail, thumbnail_side
from rainkit.runtime import RuntimeOptions

__all__ = [
    "InferRequest",
    "InferResult",
    "Outcome",
    "Progress",
    "Status",
    "infer",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One run over pictures.

    Attributes:
        inputs: files, folders (searched through, the tree mirrored) and glob patterns.
        method: an installed method; None = the only one there is.
        output: a folder, or for a single picture a file too; None = beside the input, see
            :func:`rainkit.inference.outputs.plan`.
        weights: a tag of the method or a ``.safetensors`` file; None = the method's first.
        variant: the variant the weights must be of.
        options: device, precision, tiles and effort.
        parts: save what the method shows besides its results.
        overwrite: replace existing results, which are skipped otherwise; inputs are never replaced.
        quality: of JPEG and WebP results, 1 to 100.
        report: make a before/after page.
        report_path: where; None = ``report.html`` in the first folder of results.
    """

    inputs: tuple[Path | str, ...]
    method: str | None = None
    output: Path | None = None
    weights: str | None = None
    variant: str | None = None
    options: RuntimeOptions = field(default_factory=RuntimeOptions)
    parts: bool = False
    overwrite: bool = False
    quality: int = 95
    report: bool = False
    report_path: Path | None = None


Status: TypeAlias = Literal["done", "skipped", "failed", "not attempted"]
"""``skipped``: the result was there already; ``not attempted``: after a full disk, for example."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one picture.

    Attributes:
        input: the rainy file.
        output: the file that was, or would have been, written.
        status: what became of it.
        error: in one line, why there is no result; None = there is one.
        seconds: time in the network, transfers included; 0 for pictures that never got there.
        size: width and height in pixels, as far as it is known.
        blocks: how many blocks of an anytime method ran; None = not known, or it is none.
        parts: the files of the parts that were asked for, by name.
    """

    input: Path
    output: Path
    status: Status = "done"
    error: str | None = None
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    blocks: int | None = None
    parts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResult:
    """What became of all pictures.

    Attributes:
        outcomes: one for each picture, in the order of the inputs.
        method: the method's name.
        weights: the name of the weights.
        device: where it ran.
        precision: in which number format.
        outputs: the folders that hold the results, or the one file.
        parts: the folders that hold the parts, if they were asked for.
        blocks: how many blocks the network has; None = it is not an anytime one.
        seconds: wall time of the whole run after loading.
        report: the page, if one was asked for and made.
        report_error: why the page that was asked for could not be written, in one line.
    """

    outcomes: tuple[Outcome, ...]
    method: str
    weights: str
    device: str
    precision: str
    outputs: tuple[Path, ...]
    seconds: float
    parts: tuple[Path, ...] = ()
    blocks: int | None = None
    report: Path | None = None
    report_error: str | None = None

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Pictures whose result was written."""
        return self._of("done")

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """Pictures whose result was there already."""
        return self._of("skipped")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Pictures that were tried and have no result."""
        return self._of("failed")

    @property
    def not_attempted(self) -> tuple[Outcome, ...]:
        """Pictures that were not tried, as no result could be written any more."""
        return self._of("not attempted")

    @property
    def exit_code(self) -> int:
        """0 every result and the report are there, 1 some are not."""
        return 1 if self.failed or self.not_attempted or self.report_error is not None else 0

    def _of(self, status: Status) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if each.status == status)

    def to_data(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "method": self.method,
            "weights": self.weights,
            "device": self.device,
            "precision": self.precision,
            "outputs": [str(each) for each in self.outputs],
            "parts": [str(each) for each in self.parts],
            "blocks": self.blocks,
            "report": None if self.report is None else str(self.report),
            "report_error": self.report_error,
            "seconds": self.seconds,
            "done": len(self.done),
            "skipped": len(self.skipped),
            "failed": len(self.failed),
            "not_attempted": len(self.not_attempted),
            "pictures": [
                {
                    "input": str(each.input),
                    "output": str(each.output),
                    "status": each.status,
                    "seconds": each.seconds,
                    "width": each.size[0] if each.size else None,
                    "height": each.size[1] if each.size else None,
                    "blocks": each.blocks,
                    "parts": {name: str(path) for name, path in each.parts.items()},
                    "error": each.error,
                }
                for each in self.outcomes
            ],
        }


class Progress:
    """Told how a run goes, in the thread that runs it; override what matters to you."""

    def start(self, total: int) -> None:
        """Before anything is loaded: how many pictures there are."""

    def tile(self, picture: Path, done: int, total: int) -> None:
        """After each tile of a picture in the network: how many are done, of how many."""

    def advance(self, outcome: Outcome) -> None:
        """After each picture, in the order of the inputs."""


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
    shown: Compared | None = None
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
    derainer = open_derainer(
        name, request.options, weights=request.weights, variant=request.variant
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

    side = thumbnail_side(len(planned.jobs)) if report is not None else 0
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
        compare_page(page, report, overwrite=request.overwrite)
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
    shown = Compared(
        name=job.name,
        before=thumbnail(rainy.rgb, side),
        after=thumbnail(result.picture.rgb, side),
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
