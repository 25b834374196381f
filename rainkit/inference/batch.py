"""Deraining many pictures: whole runs, by one method or by several one after another."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from rainkit.choices import Engine as Place
from rainkit.engine import Engine, open_engine
from rainkit.errors import FileError, RainkitError, UsageError, one_line
from rainkit.files import counted
from rainkit.inference import inputs
from rainkit.inference.elsewhere import Elsewhere, Runtime
from rainkit.inference.inputs import Found, Shard
from rainkit.inference.outcomes import (
    STDOUT,
    InferRequest,
    InferResult,
    MethodsResult,
    MethodToRun,
    Progress,
)
from rainkit.inference.outputs import (
    Job,
    Naming,
    Plan,
    check_writable,
    file_name,
    label,
    plan,
    plan_several,
)
from rainkit.inference.pipeline import Finished, derain_all, untried
from rainkit.inference.record import Records, compared
from rainkit.inference.report import is_page, write_page
from rainkit.inference.setup import Setup, default_method, set_up

if TYPE_CHECKING:
    from rainkit.inference.derainer import Derainer

__all__ = ["check", "infer", "infer_methods", "planned", "run", "set_up_all"]


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
    name = request.method or default_method(request.weights, request.variant)
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
    check(request, methods)
    return run(request, methods, inputs.find(request.inputs), progress or Progress())


def check(request: InferRequest, methods: Sequence[MethodToRun]) -> None:
    """Check a request as far as that needs neither pictures nor methods.

    Raises:
        UsageError: options that cannot work, or that cannot work together.
    """
    for option, value, most in (
        ("--quality", request.quality, 100),
        ("--workers", request.workers, 256),
    ):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{option} {value}: choose 1 to {most}")
    if not methods:
        raise UsageError("no method named: add --method")
    if request.keep_dry and request.parts:
        raise UsageError("--parts cannot be used with --keep-dry; leave one out")
    if request.engine != Place.LOCAL and (request.output == STDOUT or "-" in request.inputs):
        raise UsageError(f"--engine {request.engine} takes and writes files; leave out the -")
    if request.shard is not None:
        Shard.parse(request.shard)
        if request.report or request.report_path is not None:
            raise UsageError(
                "--report cannot be used with --shard; when all shards are done, make the page by "
                "the same command without --shard"
            )


def set_up_all(request: InferRequest, methods: Sequence[MethodToRun]) -> tuple[Setup, ...]:
    """Return the set-up of each method.

    Raises:
        UsageError, MethodError, WeightsError: a method or its weights cannot be found.
    """
    return tuple(
        set_up(each.method, request.options, weights=each.weights, variant=request.variant)
        for each in methods
    )


def run(
    request: InferRequest,
    methods: Sequence[MethodToRun],
    found: Found,
    progress: Progress,
    setups: Sequence[Setup] | None = None,
    build: Callable[[Setup], list[Derainer]] | None = None,
) -> MethodsResult:
    """Take pictures through all methods; :func:`infer_methods` does it with those of a request.

    Args:
        request: options.
        methods: the methods.
        found: the pictures.
        progress: hooks that are called.
        setups: what :func:`set_up_all` gave for the methods; None to call it.
        build: returns the networks of a set-up; None to build them anew.

    Raises:
        RainkitError: as :func:`infer_methods`.
    """
    alone = len(methods) == 1
    plans = planned(request, methods, found)
    setups = setups or set_up_all(request, methods)
    shard = None if request.shard is None else Shard.parse(request.shard)
    runs = [
        _Run(
            method=method,
            plan=dataclasses.replace(whole, jobs=_chosen(whole.jobs, request, shard)),
            whole=whole.jobs,
            setup=setup,
            title=_title(method, setup),
            settings=settings,
            shard=shard,
        )
        for method, setup, each in zip(methods, setups, plans, strict=True)
        for settings in [_settings(setup, request)]
        for whole in [compared(each, settings)]
    ]
    progress.start(sum(len(each.plan.jobs) for each in runs))
    report = _report(request, plans)
    if not alone and request.engine == Place.LOCAL:
        _check_runtimes(runs)
    for each in runs:
        if not each.nothing_to_do:
            for folder in each.plan.folders:
                check_writable(folder)
    if report is not None:
        check_writable(report.parent, "--report-to")
    results: list[InferResult] = []
    idle = all(each.nothing_to_do for each in runs)
    with nullcontext() if idle else _opened(request) as engine:
        for each in runs:
            progress.method(each.title)
            hopeless = next((result.last_error for result in results if result.full), None)
            results.append(_result(each, request, progress, hopeless, build, engine, alone=alone))
    done = MethodsResult(results=tuple(results), notices=(*found.left_out(), *_noted(results)))
    if report is None:
        return done
    names = [job.name for job in plans[0].jobs if not job.video]  # the page shows pictures
    if not names:
        return done
    shown = [_of_all(result, each) for result, each in zip(results, runs, strict=True)]
    try:
        write_page(shown, names, report, overwrite=True, advance=progress.page)
    except FileError as error:  # the results are not lost with the page
        return dataclasses.replace(done, report_error=str(error))
    return dataclasses.replace(done, report=report)


def _opened(request: InferRequest) -> AbstractContextManager[Engine | None]:
    """Return the engine whose workers derain; None if this process does so."""
    if request.engine == Place.LOCAL:
        return nullcontext()
    return open_engine("ray", workers=request.workers, device=request.options.device)


def _chosen(jobs: Sequence[Job], request: InferRequest, shard: Shard | None) -> tuple[Job, ...]:
    """Return the pictures that this run takes."""
    return tuple(
        job
        for job in jobs
        if (shard is None or shard.holds(job.name)) and (job.failed or not request.retry_failed)
    )


def _of_all(result: InferResult, run: _Run) -> InferResult:
    """Return a result with the outcomes of pictures that this run did not take, too."""
    own = {outcome.input: outcome for outcome in result.outcomes}
    outcomes = [
        own.get(job.input) or untried(job, "not tried this time")
        for job in run.whole
        if not job.video
    ]
    return dataclasses.replace(result, outcomes=tuple(outcomes))


def _noted(results: Sequence[InferResult]) -> list[str]:
    """Return a line for each note, with the first picture that it is about, and how many more."""
    about: dict[str, dict[Path, None]] = {}
    for outcome in (each for result in results for each in result.outcomes):
        for note in outcome.notes:
            about.setdefault(note, {})[outcome.input] = None
    lines = []
    for note, (first, *others) in about.items():
        more = f" and {counted(len(others), 'other')}" if others else ""
        lines.append(f"{first}{more}: {note}")
    return lines


def _settings(setup: Setup, request: InferRequest) -> dict[str, Any]:
    """Return what decides the pixels of results, apart from device and precision."""
    options = setup.options
    return {
        "method": setup.name,
        "weights": setup.weights_name,
        "sha256": setup.sha256,
        "effort": str(options.effort),
        "work_size": str(options.work_size),
        "tile": str(options.tile) if setup.spec.tiling == "approximate" else "",
        "quality": request.quality,
        **({"keep_dry": True} if request.keep_dry else {}),
        **({} if options.strength == 1 else {"strength": options.strength}),
        **({"steady": True} if request.steady else {}),
        **({"spare_traces": 1} if setup.spare_traces else {}),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """One method with its results' places; ``whole`` has pictures that it does not take, too."""

    method: MethodToRun
    plan: Plan
    whole: tuple[Job, ...]
    setup: Setup
    title: str
    settings: Mapping[str, Any]
    shard: Shard | None

    @property
    def nothing_to_do(self) -> bool:
        return all(job.exists for job in self.plan.jobs)


def planned(
    request: InferRequest, methods: Sequence[MethodToRun], found: Found
) -> tuple[Plan, ...]:
    """Return where the results of pictures go, for each method.

    Raises:
        UsageError: they cannot go there, or would replace inputs or each other.
    """
    output, naming = Naming.split(request.output, request.name, request.format)
    places: _Places = {
        "output": output,
        "overwrite": request.overwrite,
        "report": request.report_path,
        "parts": request.parts,
        "naming": naming,
    }
    if output == STDOUT and request.report:
        raise UsageError("--report cannot be used with --output -; leave it out")
    if found.piped and output is None:
        raise UsageError("a picture on standard input needs an --output: FILE, or - to pipe it on")
    if len(methods) == 1:
        (only,) = methods
        name = only.method if only.label is None else file_name(only.label)
        return (plan(found.pictures, name, **places),)
    names = [file_name(label(each)) for each in methods]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two methods would write to {name} and could not be told apart; give each once, "
                "or label them: --method NAME=WEIGHTS@LABEL"
            )
    return plan_several(found.pictures, names, **places)


class _Places(TypedDict):
    output: Path | None
    overwrite: bool
    report: Path | None
    parts: bool
    naming: Naming


def _title(chosen: MethodToRun, setup: Setup) -> str:
    if chosen.label is not None:
        return chosen.label
    title = setup.title
    if chosen.weights is None:
        return title
    weights = setup.weights.name.removesuffix(".safetensors")
    return f"{title} ({weights.removeprefix(f'{setup.method.name}.')})"


def _report(request: InferRequest, plans: Sequence[Plan]) -> Path | None:
    """Return the file of the page; None if there is no page to make."""
    if not request.report and request.report_path is None:
        return None
    report = plans[0].report
    if report.is_dir():
        raise UsageError(f"{report} is a folder: name a file by --report-to")
    place = os.path.realpath(report)
    for job in (job for each in plans for job in each.jobs):
        for what, path in (("an input", job.input), ("a result", job.output)):
            if os.path.realpath(path) == place:
                raise UsageError(f"--report-to {report} is {what} and would be lost")
    if report.exists() and not request.overwrite and not is_page(report):
        raise UsageError(
            f"{report} exists and is no page of rainkit; pass --overwrite, or name another "
            "--report-to"
        )
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
    run: _Run,
    request: InferRequest,
    progress: Progress,
    hopeless: str | None,
    build: Callable[[Setup], list[Derainer]] | None,
    engine: Engine | None,
    *,
    alone: bool,
) -> InferResult:
    """Run one method; if it cannot run and is not alone, the outcomes say why."""
    finished: list[Finished] = []

    def finish(each: Finished) -> None:
        finished.append(each)
        progress.advance(each.outcome)

    runtime: Runtime | None = None
    backend: Callable[[], str | None] = _unknown
    start = time.perf_counter()
    if run.nothing_to_do or hopeless is not None:
        for job in run.plan.jobs:
            finish(Finished(untried(job, hopeless or "")))
    else:
        try:
            derain, runtime, backend = _derain(run, request, progress, build, engine)
        except (RainkitError, RuntimeError, MemoryError) as error:
            if alone:
                raise
            reason = one_line(error)
            for job in run.plan.jobs:
                finish(Finished(untried(job, reason)))
        else:
            start = time.perf_counter()
            with Records(run.settings, run.shard) as records:
                try:
                    records.begin(run.plan.jobs)
                except FileError as error:  # the disk is full, for example
                    for job in run.plan.jobs:
                        finish(Finished(untried(job, str(error)), hopeless=True))
                else:
                    derain(run.plan.jobs, records, finish)
    setup = run.setup
    return InferResult(
        outcomes=tuple(each.outcome for each in finished),
        method=setup.name,
        title=run.title,
        weights=setup.weights_name,
        device=None if runtime is None else runtime.device,
        precision=None if runtime is None else runtime.precision,
        backend=backend(),
        outputs=run.plan.outputs,
        parts=run.plan.parts,
        blocks=setup.blocks,
        seconds=time.perf_counter() - start,
        full=hopeless is not None or any(each.hopeless for each in finished),
    )


_Derain: TypeAlias = Callable[[Sequence[Job], Records, Callable[[Finished], None]], None]


def _derain(
    run: _Run,
    request: InferRequest,
    progress: Progress,
    build: Callable[[Setup], list[Derainer]] | None,
    engine: Engine | None,
) -> tuple[_Derain, Runtime, Callable[[], str | None]]:
    """Load the network of a method, here or in workers.

    Returns:
        What derains, how it runs, and what tells afterwards which backend ran.
    """
    if engine is not None:
        elsewhere = Elsewhere(engine, request, run.method, run.setup)
        device = f"{elsewhere.runtime.device}, on Ray"
        runtime = Runtime(device, elsewhere.runtime.precision)
        return elsewhere.derain_all, runtime, _unknown
    from rainkit.inference import loading  # imports torch

    left = sum(not job.exists for job in run.plan.jobs)
    networks = build(run.setup) if build else loading.build_all(run.setup, left)

    def derain(jobs: Sequence[Job], records: Records, finish: Callable[[Finished], None]) -> None:
        derain_all(jobs, networks, records, request, finish, progress)

    first, number = networks[0].runtime, len(networks)
    device = first.describe() if number == 1 else f"{number} × {first.describe()}"
    return (
        derain,
        Runtime(device, first.precision),
        lambda: networks[0].backend(parts=request.parts),
    )


def _unknown() -> str | None:
    return None
