"""Deraining many pictures: whole runs, by one method or by several one after another."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rainkit import images
from rainkit.errors import FileError, RainkitError, UsageError, one_line
from rainkit.files import counted
from rainkit.inference.outcomes import (
    InferRequest,
    InferResult,
    MethodsResult,
    MethodToRun,
    Progress,
)
from rainkit.inference.outputs import Plan, check_writable, file_name, label, plan, plan_several
from rainkit.inference.pipeline import Finished, derain_all, untried
from rainkit.inference.record import Records, compared
from rainkit.inference.report import write_page
from rainkit.inference.setup import Setup, only_method, set_up

if TYPE_CHECKING:
    from rainkit.precision import Runtime

__all__ = ["infer", "infer_methods"]


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
    if request.quality is not None and not 1 <= request.quality <= 100:
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
    notices = (*images.left_out(request.inputs), *_noted(results))
    found = MethodsResult(results=tuple(results), notices=notices)
    if report is None:
        return found
    names = [job.name for job in planned[0].jobs]
    try:
        write_page(results, names, report, overwrite=request.overwrite, advance=progress.page)
    except FileError as error:  # the results are not lost with the page
        return dataclasses.replace(found, report_error=str(error))
    return dataclasses.replace(found, report=report)


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
        "method": setup.method.name,
        "weights": setup.weights.name,
        "sha256": setup.weights.sha256,
        "effort": str(options.effort),
        "work_size": str(options.work_size),
        "tile": str(options.tile) if setup.spec.tiling == "approximate" else "",
        "quality": request.quality,
        **({} if options.strength == 1 else {"strength": options.strength}),
    }


def _described(runtime: Runtime, setup: Setup) -> str:
    """Return device, precision and the backend, if one was named."""
    backend = setup.options.backend
    named = "" if backend in ("auto", "eager") else f", {backend}"
    return runtime.describe() + named


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
                only.method if only.label is None else file_name(only.label),
                request.output,
                overwrite=request.overwrite,
                report=request.report_path,
                parts=request.parts,
            ),
        )
    names = [file_name(label(each)) for each in methods]
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
    finished: list[Finished] = []

    def finish(each: Finished) -> None:
        finished.append(each)
        progress.advance(each.outcome)

    runtime: Runtime | None = None
    start = time.perf_counter()
    if run.nothing_to_do or hopeless is not None:
        for job in run.plan.jobs:
            finish(Finished(untried(job, hopeless or "")))
    else:
        from rainkit.inference import derainer  # imports torch

        try:
            network = derainer.build(run.setup)
        except (RainkitError, RuntimeError, MemoryError) as error:
            if alone:
                raise
            reason = one_line(error)
            for job in run.plan.jobs:
                finish(Finished(untried(job, reason)))
        else:
            runtime = network.runtime
            start = time.perf_counter()
            with Records(_settings(run.setup, request)) as records:
                try:
                    records.begin(run.plan.jobs)
                except FileError as error:  # the disk is full, for example
                    for job in run.plan.jobs:
                        finish(Finished(untried(job, str(error)), hopeless=True))
                else:
                    derain_all(run.plan.jobs, network, records, request, finish, progress)
    setup = run.setup
    return InferResult(
        outcomes=tuple(each.outcome for each in finished),
        method=setup.method.name,
        title=run.title,
        weights=setup.weights.name,
        device=None if runtime is None else _described(runtime, run.setup),
        precision=None if runtime is None else runtime.precision,
        outputs=run.plan.outputs,
        parts=run.plan.parts,
        blocks=setup.blocks,
        seconds=time.perf_counter() - start,
        full=hopeless is not None or any(each.hopeless for each in finished),
    )
