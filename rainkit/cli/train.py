"""``rainkit train``: options to one training request."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rainkit.cli.console import errors, output, print_json
from rainkit.cli.options import CropToCommon, Layout, RainySide
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
        typer.Option(help="Rain-free photos (file, folder or glob); rain is drawn on the fly."),
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Option(help="Dataset folder of rainy and clean pictures.")
    ] = None,
    scenes: Annotated[
        list[str] | None,
        typer.Option(help="Folder of time-lapse scenes, for methods that learn from frames."),
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a method on pairs, on clean photos with rain drawn on the fly, or on time-lapse scenes.

    For example:

      rainkit train -m graspp-gan --clean photos/ --validate pairs/ -o runs/mine

      rainkit train --config recipe.toml --clean photos/ --set training.steps=5000

      rainkit train --resume runs/mine
    """
    from rainkit import training

    if resume is not None:
        given = (method, clean, pairs, scenes, validate, run, config, variant, settings, seed)
        more = (layout, rainy_side, crop_to_common or None, precision, validate_every, keep)
        if any(option is not None for option in (*given, *more)):
            raise UsageError("--resume takes all but --device and --workers from the run")
        here = {"device": device, "workers": workers}
        changes = {name: value for name, value in here.items() if value is not None}
        request = training.reopen(resume, **changes)
    else:
        said = {"layout": layout, "rainy_side": rainy_side, "crop_to_common": crop_to_common}
        reading = [f"data.{name}={value}" for name, value in said.items() if value]
        request = _request(
            method=method,
            folders={
                "clean": clean or (),
                "pairs": pairs or (),
                "scenes": scenes or (),
                "validation": validate or (),
            },
            run=run,
            config=config,
            variant=variant,
            settings=[*reading, *(settings or ())],
            seed=seed,
            device=device or "auto",
            precision=precision or "auto",
            workers=1 if workers is None else workers,
            validate_every=validate_every or 1,
            keep=keep or 2,
        )
    try:
        result = training.train(request, console=errors)
    except KeyboardInterrupt as stop:
        errors.print("stopped by Ctrl-C; continue from the last checkpoint with")
        errors.print(f"  rainkit train --resume {request.run}", markup=False, soft_wrap=True)
        raise typer.Exit(130) from stop
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes the first one speaks
    if as_json:
        print_json(result.to_data())
        return
    if result.done_now:
        output.print(f"{result.done_now} steps in {result.seconds / 60:.1f} min")
    else:
        output.print(f"nothing left to do: all {result.steps} steps were done before")
    output.print(f"weights: {result.weights}", soft_wrap=True)
    if result.best is not None:
        output.print(f"best on validation: {result.best}", soft_wrap=True)


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
) -> TrainRequest:
    from rainkit import hyperparameters, plugins
    from rainkit.training import TrainRequest, recipe

    read = recipe.read(config) if config is not None else recipe.Recipe()
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
        data=recipe.data_request(recipe.with_settings(read.data, for_data), folders),
        run=run or Path("runs") / f"{found.name}-{chosen}",
        seed=seed if seed is not None else (read.seed or 0),
        device=device,
        precision=precision,
        workers=workers,
        validate_every=validate_every,
        keep=keep,
        command=("rainkit", *sys.argv[1:]),
    )
