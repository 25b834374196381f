"""``rainkit train``: options to one training request, and what it shows."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rainkit import choices
from rainkit import config as settings_of_user
from rainkit.cli import completion
from rainkit.cli.console import (
    Verbosity,
    followed,
    print_json,
    print_table,
    tell,
    verbosity,
    warn,
)
from rainkit.cli.options import choice, refuse_together
from rainkit.errors import INTERRUPTED, UsageError
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.api import Method
    from rainkit.training import Ablation, Plan, Profile, TrainRequest, TrainResult

__all__ = ["train"]

DATA = "Pictures"
METHOD = "Method and settings"
RUN = "Run"
INSTEAD = "Instead of one training"

_option = functools.partial(typer.Option, show_default=False)


def train(
    method: Annotated[
        str | None,
        _option(
            "--method",
            "-m",
            metavar="NAME",
            help="Method to train.",
            autocompletion=completion.methods,
            rich_help_panel=METHOD,
        ),
    ] = None,
    clean: Annotated[
        list[str] | None,
        _option(
            metavar="PATH[@SHARE]",
            help="Rain-free photos (file, folder or glob); rain is drawn on the fly.",
            rich_help_panel=DATA,
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        _option(
            metavar="FOLDER[:COUNT][@SHARE]",
            help="Dataset of rainy and clean pictures.",
            rich_help_panel=DATA,
        ),
    ] = None,
    scenes: Annotated[
        list[str] | None,
        _option(
            metavar="FOLDER[:COUNT][@SHARE]",
            help="Folder of time-lapse scenes.",
            rich_help_panel=DATA,
        ),
    ] = None,
    validate: Annotated[
        list[str] | None,
        _option(
            metavar="FOLDER",
            help="Dataset to validate on; it is never trained on.",
            rich_help_panel=DATA,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        _option("--config", "-c", metavar="FILE", help="Recipe (TOML).", rich_help_panel=METHOD),
    ] = None,
    variant: Annotated[
        str | None,
        _option(
            metavar="NAME",
            help="Variant of the method to start from.",
            autocompletion=completion.variants,
            rich_help_panel=METHOD,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        _option(
            "--set",
            metavar="SECTION.NAME=VALUE",
            help="One setting, such as training.lr=1e-4, data.jpeg=0.5 or run.workers=2. "
            "`rainkit methods show NAME` lists the method's; docs/commands/train.md "
            "those of data, docs/training.md those of run.",
            autocompletion=completion.hyperparameters,
            rich_help_panel=METHOD,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        _option(
            metavar="FILE",
            help="Weights to start from: .safetensors, or a foreign .pth of tensors.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        _option(
            metavar="METHOD.TAG|METHOD=FILE",
            help="Trained weights whose pictures are learnt from, too, with the weight "
            "training.distill_weight.",
            autocompletion=completion.weights_names,
            rich_help_panel=METHOD,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Run folder to make.",
            show_default="runs/METHOD-VARIANT",
            rich_help_panel=RUN,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        _option(
            metavar="FOLDER",
            help="Run folder to continue. Only --device, --max-steps and --set run.NAME=VALUE may "
            "differ from the run.",
            rich_help_panel=RUN,
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        _option(
            min=1,
            metavar="STEPS",
            help="Number of steps in all, as --set training.steps=STEPS; extends a run that is "
            "continued.",
            rich_help_panel=RUN,
        ),
    ] = None,
    max_time: Annotated[
        str | None,
        _option(
            metavar="TIME",
            help="Choose the number of steps such that the training ends in a time such as 90m, "
            "1h30m or 45s.",
            rich_help_panel=RUN,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Seed of everything random.",
            show_default="0",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="auto|cpu|cuda|cuda:N|mps",
            help="Device to train on.",
            show_default="auto",
            rich_help_panel=RUN,
        ),
    ] = None,
    precision: Annotated[
        choices.Precision | None,
        choice(
            choices.Precision,
            "--precision",
            help="Number format to train in.",
            panel=RUN,
            show_default="auto",
        ),
    ] = None,
    ablation: Annotated[
        str | None,
        _option(
            metavar="VARIANTS[@SEEDS]",
            help="Train several variants alike and compare them: a,b,c; published for the paper's "
            "own list, or ours for the plugin's further one; @3 trains each with three seeds.",
            rich_help_panel=INSTEAD,
        ),
    ] = None,
    dry_run: Annotated[
        choices.DryRun | None,
        choice(
            choices.DryRun,
            "--dry-run",
            help="Write nothing, and say what would be done, or where the time of a step goes.",
            panel=INSTEAD,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, _option("--json", help="Print the result as JSON.", rich_help_panel=RUN)
    ] = False,
) -> None:
    """Train a method on pairs, on clean photos with rain drawn on the fly, or on time-lapse scenes.

    For example:

      rainkit train -m graspp-gan --clean photos/ --validate pairs/ -o runs/mine

      rainkit train --config recipe.toml --clean photos/ --max-steps 5000

      rainkit train --resume runs/mine

      rainkit train -m granet --ablation published --clean pics/ --validate pairs/

    Ctrl-C ends the running step and writes a checkpoint. A second Ctrl-C stops at once.
    """
    if ablation is not None:
        profile = dry_run == choices.DryRun.PROFILE
        refuse_together("--ablation", {"--variant": variant, "--dry-run profile": profile})
    if max_time is not None:
        refuse_together("--max-time", {"--max-steps": max_steps}, "the time decides how many steps")
    if resume is not None:
        fixed = {
            "--method": method, "--clean": clean, "--pairs": pairs, "--scenes": scenes,
            "--validate": validate, "--config": config, "--variant": variant, "--init": init,
            "--output": run, "--max-time": max_time, "--seed": seed, "--precision": precision,
            "--ablation": ablation, "--dry-run": dry_run, "--teacher": teacher,
        }  # fmt: skip
        remedy = (
            "all but --device, --max-steps and --set run.NAME=VALUE comes from the run; to train on"
            " with other settings, start a new run with --init"
        )
        refuse_together("--resume", fixed, remedy)
    from rainkit import training

    if resume is not None:
        request = training.reopen(
            resume, device=device, settings=settings or (), max_steps=max_steps
        )
    else:
        steps = [] if max_steps is None else [f"training.steps={max_steps}"]
        make = functools.partial(
            training.make_request,
            method=method,
            folders={
                "clean": clean or (),
                "pairs": pairs or (),
                "scenes": scenes or (),
                "validation": validate or (),
            },
            config=config,
            settings=[*(settings or ()), *steps],
            device=device or str(settings_of_user.value("device")),
            precision=precision or "auto",
            init=init,
            teacher=teacher,
            max_seconds=None if max_time is None else training.parse_time(max_time),
        )
        if ablation is not None:
            _ablate(make, ablation, seed, run, dry_run=dry_run is not None, as_json=as_json)
            training.leave_group()
            return
        request = make(run=run, variant=variant, seed=seed)
    if dry_run is not None:
        _explain(request, dry_run, as_json=as_json)
        training.leave_group()
        return
    with _continuing(request.run):
        result = training.train(request, console=followed())
        training.leave_group()
        _show_result(result, as_json=as_json)


@contextmanager
def _continuing(run: Path | None) -> Iterator[None]:
    """Say how to continue a training, or an ablation (None), that is broken off at once."""
    try:
        yield
    except KeyboardInterrupt as stop:
        _continue(run, "the last checkpoint")
        raise typer.Exit(INTERRUPTED) from stop


def _show_result(result: TrainResult, *, as_json: bool) -> None:
    """Show what a training left behind."""
    if result.stopped == "signal" and _speaks():
        _continue(result.run, f"step {result.steps} of {result.planned}")
    if _speaks() and as_json:
        print_json(result.to_data())
    elif _speaks() and verbosity() != Verbosity.QUIET:
        _describe(result)
    if result.stopped == "signal":
        raise typer.Exit(INTERRUPTED)


def _explain(request: TrainRequest, what: choices.DryRun, *, as_json: bool) -> None:
    """Show what a training would do, or where its time goes."""
    from rainkit import training

    explain = training.plan if what == choices.DryRun.PLAN else training.profile
    shown = explain(request)
    if not _speaks():
        return
    if as_json:
        print_json(shown.to_data())
    elif isinstance(shown, training.Plan):
        _plan(shown)
    else:
        _profile(shown)


def _ablate(
    make: Callable[..., TrainRequest],
    named: str,
    first_seed: int | None,
    folder: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train variants alike and print one table.

    Args:
        make: makes a request from ``run``, ``variant`` and ``seed``.
        named: variants with commas between them, ``published`` or ``ours``, and perhaps ``@SEEDS``.
        first_seed: the first seed; None for the recipe's.
        folder: folder of the runs; None for ``runs/METHOD-ablation``.
        dry_run: show the plan of each training instead.
        as_json: print the result as JSON.

    Raises:
        UsageError: a variant is unknown, or there is nothing to compare them on.
    """
    from rainkit import training

    listed, at, times = named.partition("@")
    if at and not (times.isdecimal() and int(times) > 0):
        raise UsageError(f"--ablation {named}: write VARIANTS@SEEDS, such as published@3")
    seeds = int(times) if at else 1
    asked = make(run=None, variant="default", seed=first_seed)
    method = asked.method
    variants = [name.strip() for name in listed.split(",") if name.strip()]
    if listed in ("published", "ours"):
        variants = list(_listed(method, listed))
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
            _explain(request, choices.DryRun.PLAN, as_json=as_json)
        return
    with _continuing(None):
        result = training.ablate(requests, home, followed())
    if _speaks():
        _ablation(result, as_json=as_json)
    if result.interrupted:
        _continue(None, "the last checkpoint")
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(1 if result.failed else 0)


def _listed(method: Method, whose: str) -> tuple[str, ...]:
    """Return the variants that the paper compares, or those that its plugin compares beyond it.

    Raises:
        UsageError: there are none.
    """
    if whose == "published":
        if not method.ablation:
            other = f"; --ablation ours trains {', '.join(method.own_ablation)}"
            raise UsageError(
                f"--ablation published: the paper of {method.name} compares no variants"
                f"{other if method.own_ablation else ''}"
            )
        return method.ablation
    if not method.own_ablation:
        other = f"; --ablation published trains {', '.join(method.ablation)}"
        raise UsageError(
            f"--ablation ours: {method.name} lists no variants beyond its paper's"
            f"{other if method.ablation else ''}"
        )
    return method.own_ablation


def _speaks() -> bool:
    """Whether this process prints: only the first of several does."""
    return os.environ.get("RANK", "0") == "0"


def _continue(run: Path | None, where: str) -> None:
    if run is None:
        warn(f"stopped; repeat the command to continue from {where}")
        return
    warn(f"stopped; continue from {where} with")
    warn(f"  rainkit train --resume {run}")


def _describe(result: TrainResult) -> None:
    if result.done_now:
        tell(f"{counted(result.done_now, 'step')} in {result.seconds / 60:.1f} min")
    else:
        done = "all" if result.steps == result.planned else "it had ended, and"
        tell(f"nothing left to do: {done} {result.steps} steps were done before")
    ends = {
        "time": f"ended at step {result.steps} of {result.planned}: this machine was slower than "
        "when its steps were timed",
        "no gain": f"ended at step {result.steps} of {result.planned}: nothing improved any "
        "longer (training.stop_after or training.stop_at_floor)",
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
    if plan.timed is not None:
        tell(plan.timed)
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
