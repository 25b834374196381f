"""What ``rainkit train`` shows: results, plans, profiles and ablations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rainkit.cli.console import errors, print_json, print_table, tell, warn
from rainkit.errors import UsageError
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.training import Ablation, Plan, Profile, TrainRequest, TrainResult

__all__ = ["ablate", "continuing", "explain", "show_result"]

SIGNALLED = 130
"""Exit code after Ctrl-C."""


@contextmanager
def continuing(run: Path) -> Iterator[None]:
    """Say how to go on where a training is broken off at once."""
    try:
        yield
    except KeyboardInterrupt as stop:
        _continue(run, "the last checkpoint")
        raise typer.Exit(SIGNALLED) from stop


def show_result(result: TrainResult, *, as_json: bool) -> None:
    """What a training left behind."""
    if result.stopped == "signal" and _speaks():
        _continue(result.run, f"step {result.steps} of {result.planned}")
    if _speaks() and as_json:
        print_json(result.to_data())
    elif _speaks():
        _describe(result)
    if result.stopped == "signal":
        raise typer.Exit(SIGNALLED)


def explain(request: TrainRequest, *, dry_run: bool, as_json: bool) -> None:
    """Show what a training would do, or where its time goes."""
    from rainkit import training

    if dry_run and request.max_seconds is not None:
        found = training.fit(request, request.max_seconds)
        request = found.request
        warn(found.line())
    shown = training.plan(request) if dry_run else training.profile(request)
    if not _speaks():
        return
    if as_json:
        print_json(shown.to_data())
    elif isinstance(shown, training.Plan):
        _plan(shown)
    else:
        _profile(shown)


def ablate(
    make: Callable[..., TrainRequest],
    named: str,
    seeds: int,
    first_seed: int | None,
    folder: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train variants alike and print one table.

    Args:
        make: makes a request from ``run``, ``variant`` and ``seed``.
        named: variants with commas between them, or ``published``.
        seeds: trainings of each.
        first_seed: the first one's; None for the recipe's.
        folder: where the runs go.
        dry_run: show the plan of each instead.
        as_json: print the result as JSON.

    Raises:
        UsageError: no such variants, or nothing to compare them on.
    """
    from rainkit import training

    asked = make(run=None, variant="default", seed=first_seed)
    method = asked.method
    variants = [name.strip() for name in named.split(",") if name.strip()]
    if named == "published":
        variants = list(method.ablation)
    if not variants:
        known = ", ".join(method.variants)
        raise UsageError(f"--ablation {named}: name variants of {method.name}: {known}")
    home = folder or Path("runs") / f"{method.name}-ablation"
    requests = training.alike(
        [
            make(
                run=home / (variant if seeds == 1 else f"{variant}-seed{asked.seed + more}"),
                variant=variant,
                seed=asked.seed + more,
            )
            for variant in variants
            for more in range(seeds)
        ]
    )
    if dry_run:
        for request in requests:
            explain(request, dry_run=True, as_json=as_json)
        return
    with continuing(home):
        result = training.ablate(requests, home, errors)
    if _speaks():
        _ablation(result, as_json=as_json)
    if len(result.runs) < len(requests):
        raise typer.Exit(SIGNALLED)
    raise typer.Exit(1 if result.failed else 0)


def _speaks() -> bool:
    """Of several processes the first one does."""
    return os.environ.get("RANK", "0") == "0"


def _continue(run: Path, where: str) -> None:
    warn(f"stopped; continue from {where} with")
    warn(f"  rainkit train --resume {run}")


def _describe(result: TrainResult) -> None:
    if result.done_now:
        tell(f"{counted(result.done_now, 'step')} in {result.seconds / 60:.1f} min")
    else:
        tell(f"nothing left to do: all {result.steps} steps were done before")
    ends = {
        "time": f"ended at step {result.steps} of {result.planned}: this machine was slower than "
        "when its steps were timed",
        "no gain": f"ended at step {result.steps} of {result.planned}: validation no longer "
        "improved (training.stop_after)",
    }
    if result.stopped in ends:
        tell(ends[result.stopped])
    if result.skipped:
        times = sum(result.skipped.values())
        names = counted(len(result.skipped), "picture")
        tell(f"skipped {names} that cannot be read, {counted(times, 'time')} in all")
    tell(f"weights: {result.weights}")
    if result.best is not None:
        tell(f"best on validation: {result.best}")


def _plan(plan: Plan) -> None:
    tell(plan.summary)
    epochs = plan.steps / plan.epoch_steps
    shape = " x ".join(map(str, plan.part))
    tell(
        f"{plan.steps:,} steps, {epochs:.4g} epochs of {plan.epoch_steps:,}; {shape} at a time",
    )
    print_table(
        ("phase", "trains", "parameters", "from step", "optimiser", "lr at 0, 25, 50, 75, 100%"),
        [
            (
                phase["name"],
                phase["trains"],
                f"{plan.parameters[phase['trains']]:,}",
                "never" if phase["from_step"] is None else f"{phase['from_step']:,}",
                phase["optimiser"],
                f"{' '.join(f'{rate:.3g}' for rate in phase['lr'])} ({phase['schedule']})",
            )
            for phase in plan.phases
        ],
        figures=("parameters", "from step"),
        folded=("lr at 0, 25, 50, 75, 100%",),
    )
    total = sum(plan.memory_mib.values())
    rows = [*plan.memory_mib.items(), ("together", total)]
    print_table(
        ("memory, estimated", "MiB"),
        [(name, f"{value:,.1f}") for name, value in rows],
        figures=("MiB",),
    )
    sets = ", ".join(f"{name} ({count} pictures)" for name, count in plan.validation.items())
    tell(f"\nvalidation: {sets or 'none'}")
    tell(f"run folder: {plan.request.run}")


def _profile(profile: Profile) -> None:
    tell(profile.summary)
    tell(
        f"{profile.loading:.3g} steps/s, {profile.fixed:.3g} on a fixed batch: loading leaves "
        f"{profile.ratio:.1%} of the pace ({profile.steps} steps each)",
    )
    whole = sum(profile.parts.values())
    print_table(
        ("part of a step", "ms", "share"),
        [(name, f"{ms:.1f}", f"{ms / whole:.1%}") for name, ms in profile.parts.items()],
        figures=("ms", "share"),
    )
    print_table(
        ("operation", "ms a step", "calls"),
        [(each.name, f"{each.milliseconds:.1f}", str(each.calls)) for each in profile.operators],
        figures=("ms a step", "calls"),
        folded=("operation",),
    )


def _ablation(result: Ablation, *, as_json: bool) -> None:
    from rainkit.training import ablation

    paths = ablation.write(result)
    if as_json:
        print_json(result.to_data())
        return
    columns = ablation.columns(result)
    title = f"{result.method}: PSNR in dB and SSIM by prenet/1, on the validation sets"
    print_table(columns, ablation.rows(result), figures=columns[1:], title=title)
    for run in result.runs:
        if run.problem is not None:
            warn(f"{run.variant}: {run.problem}")
    for path in paths:
        tell(f"wrote {path}")
