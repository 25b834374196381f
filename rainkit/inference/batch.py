"""Deraining many pictures: one is decoded and one encoded while another is in the network.

Several methods take the same pictures one after another.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rainkit import images
from rainkit.api import RAIN
from rainkit.errors import FileError, RainkitError, UsageError, described, one_line
from rainkit.files import atomic_path
from rainkit.images import Picture
from rainkit.inference.outputs import (
    Job,
    Plan,
    Records,
    check_writable,
    compared,
    plan,
    plan_several,
)
from rainkit.inference.report import write_page
from rainkit.inference.setup import Setup, only_method, set_up
from rainkit.runtime_options import RuntimeOptions

if TYPE_CHECKING:
    from rainkit.inference.derainer import Derainer, Result
    from rainkit.inference.tiles import OnTile
    from rainkit.precision import Runtime

__all__ = [
    "InferRequest",
    "InferResult",
    "MethodToRun",
    "MethodsResult",
    "Outcome",
    "Progress",
    "Status",
    "infer",
    "infer_methods",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """Pictures to derain, and how.

    Attributes:
        inputs: files, folders (with their subfolders) and glob patterns.
        method: an installed method; None for the only one that is installed.
        output: a folder, or a file for a single picture; None for a place beside the input, see
            :func:`rainkit.inference.outputs.plan`.
        weights: a tag of the method or a ``.safetensors`` file; None for the method's first.
        variant: the variant that the weights must be of; None for any.
        options: device, precision, tiles, work size and effort.
        parts: save what the method estimates besides its results.
        overwrite: replace existing results, which are skipped otherwise; inputs are never replaced.
        quality: quality of JPEG and WebP results, 1 to 100.
        report: make a page that shows pictures and results side by side.
        report_path: file of this page; None for ``report.html`` in the first folder of results (of
            several methods, see :func:`rainkit.inference.outputs.plan_several`).
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


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodToRun:
    """One of several methods that take the same pictures.

    Attributes:
        method: name of an installed method.
        weights: a tag of the method or a ``.safetensors`` file; None for the method's first.
        label: its name in file names and on the page; None for the method's name, with its weights
            if they were chosen.
    """

    method: str
    weights: str | None = None
    label: str | None = None


Status: TypeAlias = Literal["done", "skipped", "kept", "failed", "not attempted"]
"""``skipped``: the result existed, made with the same settings; ``kept``: a file existed that was
not, or that no record tells of; ``not attempted``: for example after the disk was full."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome for one picture.

    Attributes:
        input: the rainy file.
        output: the file of the result, whether or not it was written.
        status: whether it was written.
        error: the reason in one line if there is no result, or else None.
        seconds: time in the network, transfers included; 0 if the picture did not get there.
        size: width and height in pixels; None if the picture was not read.
        blocks: number of blocks that ran; None if that is unknown, or if the method is not an
            anytime method.
        work_size: width and height that the network saw, if the picture was shrunk for it; else
            None.
        parts: files of the parts by name, if they were asked for.
    """

    input: Path
    output: Path
    status: Status = "done"
    error: str | None = None
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    blocks: int | None = None
    work_size: tuple[int, int] | None = None
    parts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResult:
    """The outcomes for all pictures.

    Attributes:
        outcomes: one outcome for each picture, in the order of the inputs.
        method: name of the method.
        title: the method's name on the page: the paper's, or the label that was given.
        weights: name of the weights.
        device: the device it ran on; None if no picture was left to do.
        precision: the number format it ran in; None if no picture was left to do.
        outputs: the folders of the results, or the file of a single result.
        parts: the folders of the parts, if they were asked for.
        blocks: number of blocks of the network; None if the method is not an anytime method.
        seconds: wall time of the whole run after loading.
        report: file of the page; None if it was not asked for or not made.
        report_error: the reason in one line if the page could not be written, or else None.
        full: whether the run ended early because nothing more can be written.
    """

    outcomes: tuple[Outcome, ...]
    method: str
    title: str
    weights: str
    device: str | None
    precision: str | None
    outputs: tuple[Path, ...]
    seconds: float
    parts: tuple[Path, ...] = ()
    blocks: int | None = None
    report: Path | None = None
    report_error: str | None = None
    full: bool = False

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures whose result was written."""
        return self._of("done")

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures whose result existed."""
        return self._of("skipped")

    @property
    def kept(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures in whose place is a result that other settings made."""
        return self._of("kept")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures that were tried and have no result."""
        return self._of("failed")

    @property
    def not_attempted(self) -> tuple[Outcome, ...]:
        """Outcomes of the pictures that were not tried, since nothing could be written any more."""
        return self._of("not attempted")

    @property
    def exit_code(self) -> int:
        """0 if all results and the report exist, or else 1."""
        lacking = self.failed or self.not_attempted or self.kept
        return 1 if lacking or self.report_error is not None else 0

    @property
    def last_error(self) -> str | None:
        """The reason of the last picture that has no result; None if all have one."""
        reasons = [each.error for each in self.outcomes if each.error is not None]
        return reasons[-1] if reasons else None

    def _of(self, status: Status) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if each.status == status)

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "method": self.method,
            "title": self.title,
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
            "kept": len(self.kept),
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
                    "work_size": each.work_size,
                    "parts": {name: str(path) for name, path in each.parts.items()},
                    "error": each.error,
                }
                for each in self.outcomes
            ],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodsResult:
    """The results of several methods on the same pictures.

    Attributes:
        results: one result for each method, in their order, without reports of their own.
        report: file of the page; None if it was not asked for or not made.
        report_error: the reason in one line if the page could not be written, or else None.
        notices: what the user must know, such as files that were passed over.
    """

    results: tuple[InferResult, ...]
    report: Path | None = None
    report_error: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def first(self) -> InferResult:
        """The result of the first method, with the page."""
        first = self.results[0]
        return dataclasses.replace(first, report=self.report, report_error=self.report_error)

    @property
    def exit_code(self) -> int:
        """0 if all results and the report exist, or else 1."""
        failed = self.report_error is not None or any(each.exit_code for each in self.results)
        return 1 if failed else 0

    def to_data(self) -> dict[str, Any]:
        """Return the results as plain data for JSON."""
        return {
            "report": None if self.report is None else str(self.report),
            "report_error": self.report_error,
            "notices": list(self.notices),
            "methods": [each.to_data() for each in self.results],
        }


class Progress:
    """Hooks that are called while a run goes on, in its thread; override those that you need."""

    def start(self, total: int) -> None:
        """Called before anything is loaded with the number of pictures, over all methods."""

    def method(self, title: str) -> None:
        """Called before a method begins with its name on the page."""

    def tile(self, picture: Path, done: int, total: int) -> None:
        """Called after each tile of a picture with the number of tiles done and of all tiles."""

    def advance(self, outcome: Outcome) -> None:
        """Called after each picture, in the order of the inputs."""

    def page(self, done: int, total: int) -> None:
        """Called after each picture of the page with the number of those done and of all."""


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
class _Finished:
    """An outcome, and whether no further picture can be written."""

    outcome: Outcome
    hopeless: bool = False


def infer(request: InferRequest, progress: Progress | None = None) -> InferResult:
    """Take the rain out of pictures and write the results.

    Inputs, outputs, method and weights are checked first; torch is imported only if a picture is
    left to do. Pictures whose result exists are skipped if it was made with the same settings, of
    which the folder of results holds a record, and else kept and said. One that fails is counted in
    the result and does not stop the others; a full disk does. After Ctrl-C the pictures that are
    computed are written before the function returns.

    Raises:
        UsageError: no picture is found, or results would replace inputs or each other.
        FileError: the folders of the results or of the report cannot be written.
        MethodError, WeightsError: the method cannot run.
    """
    name = request.method or only_method(request.weights)
    only = MethodToRun(method=name, weights=request.weights)
    return infer_methods(request, [only], progress).first


def infer_methods(
    request: InferRequest, methods: Sequence[MethodToRun], progress: Progress | None = None
) -> MethodsResult:
    """Take the rain out of the same pictures by several methods, one after another.

    This is :func:`infer` for each method, with results in a folder for each and one page for all.
    All methods are checked before the first one begins. One that fails later, for example for lack
    of memory, has outcomes that say so, and the others go on.

    Args:
        request: pictures and options; its method and weights are not used.
        methods: the methods, at least one.
        progress: hooks that are called.

    Raises:
        UsageError: as in :func:`infer`, or two methods have one label.
        FileError: as in :func:`infer`.
        MethodError, WeightsError: a method cannot be found, or the only one cannot run.
    """
    if not 1 <= request.quality <= 100:
        raise UsageError(f"--quality {request.quality}: choose 1 to 100")
    if not methods:
        raise UsageError("no method named: add --method")
    alone = len(methods) == 1
    planned = _planned(request, methods)
    progress = progress or Progress()
    progress.start(sum(len(each.jobs) for each in planned))
    report = _report(request, planned)
    runs = [
        _Run(
            plan=each,
            setup=setup,
            title=_title(method, setup),
        )
        for method, each in zip(methods, planned, strict=True)
        for setup in [
            set_up(method.method, request.options, weights=method.weights, variant=request.variant)
        ]
    ]
    runs = [
        dataclasses.replace(run, plan=compared(run.plan, _settings(run.setup, request)))
        for run in runs
    ]
    if not alone:
        _check_runtimes(runs)
    for run in runs:
        if not run.nothing_to_do:
            for folder in run.plan.folders:
                check_writable(folder)
    if report is not None:
        check_writable(report.parent, "--report-to")
    results: list[InferResult] = []
    for run in runs:
        progress.method(run.title)
        hopeless = next((each.last_error for each in results if each.full), None)
        results.append(_result(run, request, progress, hopeless, alone=alone))
    found = MethodsResult(results=tuple(results), notices=images.left_out(request.inputs))
    if report is None:
        return found
    names = [job.name for job in planned[0].jobs]
    try:
        write_page(results, names, report, overwrite=request.overwrite, advance=progress.page)
    except FileError as error:  # the results are not lost with the page
        return dataclasses.replace(found, report_error=str(error))
    return dataclasses.replace(found, report=report)


def _settings(setup: Setup, request: InferRequest) -> dict[str, Any]:
    """Return what decides the pixels of results, apart from device and precision."""
    options = setup.options
    return {
        "method": setup.method.name,
        "weights": setup.weights.name,
        "sha256": setup.weights.sha256,
        "effort": str(options.effort),
        "work_size": str(options.work_size),
        "tile": str(options.tile) if setup.spec.tiling == "approximate" else "",
        "quality": request.quality,
        **({} if options.strength == 1 else {"strength": options.strength}),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """One method with its results' places."""

    plan: Plan
    setup: Setup
    title: str

    @property
    def nothing_to_do(self) -> bool:
        return all(job.exists for job in self.plan.jobs)


def _planned(request: InferRequest, methods: Sequence[MethodToRun]) -> tuple[Plan, ...]:
    found = images.find(request.inputs)
    if len(methods) == 1:
        (only,) = methods
        return (
            plan(
                found,
                only.method if only.label is None else _file_name(only.label),
                request.output,
                overwrite=request.overwrite,
                report=request.report_path,
                parts=request.parts,
            ),
        )
    names = [_file_name(_label(each)) for each in methods]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two methods would write to {name} and could not be told apart; give each once, "
                "or label them: --method NAME=WEIGHTS@LABEL"
            )
    return plan_several(
        found,
        names,
        request.output,
        overwrite=request.overwrite,
        report=request.report_path,
        parts=request.parts,
    )


def _label(chosen: MethodToRun) -> str:
    if chosen.label is not None:
        return chosen.label
    if chosen.weights is None:
        return chosen.method
    return f"{chosen.method}-{Path(chosen.weights).name.removesuffix('.safetensors')}"


def _file_name(label: str) -> str:
    """Return a label as part of a file name that has no suffix."""
    return re.sub(r"[^\w+-]+", "-", label).strip("-") or "method"


def _title(chosen: MethodToRun, setup: Setup) -> str:
    if chosen.label is not None:
        return chosen.label
    title = setup.method.title
    if chosen.weights is None:
        return title
    weights = setup.weights.name.removesuffix(".safetensors")
    return f"{title} ({weights.removeprefix(f'{setup.method.name}.')})"


def _report(request: InferRequest, planned: Sequence[Plan]) -> Path | None:
    """Return the file of the page; None if there is no page to make."""
    if not request.report and request.report_path is None:
        return None
    report = planned[0].report
    if report.is_dir():
        raise UsageError(f"{report} is a folder: name a file by --report-to")
    if report.exists() and not request.overwrite:
        if all(job.exists for each in planned for job in each.jobs):
            return None
        raise UsageError(f"{report} exists; pass --overwrite, or name another --report-to")
    return report


def _check_runtimes(runs: Sequence[_Run]) -> None:
    """Refuse a device or a precision that one of several methods cannot have, before any runs.

    Raises:
        UsageError: this machine has no such device, or a method forbids the precision.
    """
    if all(run.nothing_to_do for run in runs):
        return
    from rainkit.precision import choose_runtime  # imports torch

    for run in runs:
        options = run.setup.options
        try:
            choose_runtime(options.device, options.precision, run.setup.spec)
        except UsageError as error:
            raise UsageError(f"{run.setup.method.name}: {error}") from None


def _result(
    run: _Run, request: InferRequest, progress: Progress, hopeless: str | None, *, alone: bool
) -> InferResult:
    """Run one method; if it cannot run and is not alone, the outcomes say why."""
    finished: list[_Finished] = []

    def finish(each: _Finished) -> None:
        finished.append(each)
        progress.advance(each.outcome)

    runtime: Runtime | None = None
    start = time.perf_counter()
    if run.nothing_to_do or hopeless is not None:
        for job in run.plan.jobs:
            finish(_Finished(_untried(job, hopeless or "")))
    else:
        from rainkit.inference import derainer  # imports torch

        try:
            network = derainer.build(run.setup)
        except (RainkitError, RuntimeError, MemoryError) as error:
            if alone:
                raise
            reason = one_line(error)
            for job in run.plan.jobs:
                finish(_Finished(_untried(job, reason)))
        else:
            runtime = network.runtime
            start = time.perf_counter()
            with Records(_settings(run.setup, request)) as records:
                encode = partial(
                    _write, records, overwrite=request.overwrite, quality=request.quality
                )
                try:
                    records.begin(run.plan.jobs)
                except FileError as error:  # the disk is full, for example
                    for job in run.plan.jobs:
                        finish(_Finished(_untried(job, str(error)), hopeless=True))
                else:
                    _run(run.plan.jobs, network, encode, finish, progress)
    setup = run.setup
    return InferResult(
        outcomes=tuple(each.outcome for each in finished),
        method=setup.method.name,
        title=run.title,
        weights=setup.weights.name,
        device=None if runtime is None else runtime.describe(),
        precision=None if runtime is None else runtime.precision,
        outputs=run.plan.outputs,
        parts=run.plan.parts,
        blocks=setup.blocks,
        seconds=time.perf_counter() - start,
        full=hopeless is not None or any(each.hopeless for each in finished),
    )


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


def _untried(job: Job, reason: str) -> Outcome:
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
        return images.read(job.input)
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
    records: Records, job: Job, computed: _Computed, *, overwrite: bool, quality: int
) -> _Finished:
    if job.other is not None:
        return _Finished(_kept(job))
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
    )
    return _Finished(outcome, hopeless=hopeless)


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
