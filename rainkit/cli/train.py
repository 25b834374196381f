"""``rainkit train``: options to one training request."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rainkit.cli.console import errors
from rainkit.cli.options import CropToCommon, Layout, RainySide
from rainkit.cli.train_results import ablate, continuing, explain, show_result
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from rainkit.training import TrainRequest

__all__ = ["train"]


def train(
    method: Annotated[
        str | None, typer.Option("--method", "-m", help="Method to train.", show_default=False)
    ] = None,
    clean: Annotated[
        list[str] | None,
        typer.Option(help="Rain-free photos to draw rain on: file, folder or glob, [@SHARE]."),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(help="Dataset of rainy and clean pictures: FOLDER[:COUNT][@SHARE]."),
    ] = None,
    scenes: Annotated[
        list[str] | None,
        typer.Option(help="Folder of time-lapse scenes; FOLDER[:COUNT][@SHARE]."),
    ] = None,
    validate: Annotated[
        list[str] | None, typer.Option(help="Dataset folder to validate on; never trained on.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Run folder to make (default: runs/METHOD-VARIANT)."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Run folder to continue; with --device and --workers alone."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Recipe (TOML).")] = None,
    variant: Annotated[
        str | None, typer.Option(help="Variant to start from (default: default).")
    ] = None,
    layout: Layout = None,
    rainy_side: RainySide = None,
    crop_to_common: CropToCommon = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as training.lr=1e-4 or data.jpeg=0.5."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Weights to start from: .safetensors, or a foreign .pth of tensors."),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Steps in all; the same as --set training.steps=N.", min=1)
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Fix the steps so that the training ends in 90m, 1h30m or 45s."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", min=0)] = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default="auto"),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32, bf16 or fp16.", show_default="auto")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Loading processes.", min=0, show_default="1")
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(help="Epochs between validations.", min=1, show_default="1")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(help="Checkpoints kept.", min=1, show_default="2")
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS", help="Checkpoints within epochs, too.", min=1, show_default=False
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Run the network through torch.compile.")
    ] = False,
    histograms: Annotated[
        bool, typer.Option("--histograms", help="Histograms of gradients at each validation.")
    ] = False,
    trackers: Annotated[
        list[str] | None,
        typer.Option("--tracker", help="Experiment tracker, such as wandb; repeatable."),
    ] = None,
    ablation: Annotated[
        str | None,
        typer.Option(
            metavar="VARIANTS",
            help="Train several variants alike (a,b,c, or published for the paper's own) "
            "and compare them.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of each variant of --ablation.", min=1)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say where the time of a step goes; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a method on pairs, on clean photos with rain drawn on the fly, or on time-lapse scenes.

    For example:

      rainkit train -m graspp-gan --clean photos/ --validate pairs/ -o runs/mine

      rainkit train --config recipe.toml --clean photos/ --set training.steps=5000

      rainkit train --resume runs/mine

      rainkit train -m graspp-gan --ablation published --clean photos/ --validate pairs/

    Ctrl-C ends the running step and writes a checkpoint; a second one stops at once.
    """
    from rainkit import training

    if seeds is not None and ablation is None:
        raise UsageError("--seeds goes with --ablation; for one training there is --seed")
    if resume is not None:
        given = (method, clean, pairs, scenes, validate, run, config, variant, settings, seed)
        more = (layout, rainy_side, crop_to_common or None, precision, validate_every, keep)
        rest = (init, max_steps, max_time, save_every, compiled or None, histograms or None)
        last = (trackers, ablation, dry_run or None, profile or None)
        if any(option is not None for option in (*given, *more, *rest, *last)):
            raise UsageError("--resume takes all but --device and --workers from the run")
        here = {"device": device, "workers": workers}
        changes = {name: value for name, value in here.items() if value is not None}
        request = training.reopen(resume, **changes)
    else:
        said = {"layout": layout, "rainy_side": rainy_side, "crop_to_common": crop_to_common}
        reading = [f"data.{name}={value}" for name, value in said.items() if value]
        if max_steps is not None:
            settings = [*(settings or ()), f"training.steps={max_steps}"]
        make = functools.partial(
            _request,
            method=method,
            folders={
                "clean": clean or (),
                "pairs": pairs or (),
                "scenes": scenes or (),
                "validation": validate or (),
            },
            config=config,
            settings=[*reading, *(settings or ())],
            device=device or "auto",
            precision=precision or "auto",
            workers=1 if workers is None else workers,
            validate_every=validate_every or 1,
            keep=keep or 2,
            init=init,
            save_every=save_every or 0,
            max_seconds=None if max_time is None else training.parse_time(max_time),
            compiled=compiled,
            histograms=histograms,
            trackers=tuple(trackers or ()),
        )
        if ablation is not None:
            if variant is not None or profile:
                raise UsageError("--ablation names its variants itself, and takes no --profile")
            ablate(make, ablation, seeds or 1, seed, run, dry_run=dry_run, as_json=as_json)
            return
        request = make(run=run, variant=variant, seed=seed)
    if dry_run or profile:
        explain(request, dry_run=dry_run, as_json=as_json)
        return
    with continuing(request.run):
        result = training.train(request, console=errors)
        show_result(result, as_json=as_json)


def _request(
    *,
    method: str | None,
    folders: Mapping[str, Sequence[str]],
    run: Path | None,
    config: Path | None,
    variant: str | None,
    settings: Sequence[str],
    seed: int | None,
    device: str,
    precision: str,
    workers: int,
    validate_every: int,
    keep: int,
    init: Path | None,
    save_every: int,
    max_seconds: float | None,
    compiled: bool,
    histograms: bool,
    trackers: tuple[str, ...],
) -> TrainRequest:
    from rainkit import hyperparameters, plugins
    from rainkit.training import TrainRequest, run_config

    read = run_config.read(config) if config is not None else run_config.Recipe()
    for_data = [setting for setting in settings if setting.strip().startswith("data.")]
    others = [setting for setting in settings if setting not in for_data]
    name = method or read.method
    if name is None:
        raise UsageError("no method named: add --method NAME (see `rainkit methods`)")
    if read.method is not None and name != read.method:
        raise UsageError(f"--method {name}: the recipe {config} is for {read.method}")
    found = plugins.get(name)
    chosen = variant or read.variant or "default"
    return TrainRequest(
        method=found,
        variant=chosen,
        hyperparameters=hyperparameters.resolve(found, chosen, read.hyperparameters, others),
        data=run_config.data_request(run_config.with_settings(read.data, for_data), folders),
        run=run or Path("runs") / f"{found.name}-{chosen}",
        seed=seed if seed is not None else (read.seed or 0),
        device=device,
        precision=precision,
        workers=workers,
        validate_every=validate_every,
        keep=keep,
        command=("rainkit", *sys.argv[1:]),
        init=init,
        save_every=save_every,
        max_seconds=max_seconds,
        compiled=compiled,
        histograms=histograms,
        trackers=trackers,
    )
