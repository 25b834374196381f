"""``rainkit synth``: options to one synthesis request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rainkit.cli.console import counted, errors, output, print_json
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from rainkit.rain import RainSettings

__all__ = ["synth"]

_OPTIONS = {
    "rate_mm_h": "--rate",
    "streak_gain": "--streak-gain",
    "fog_gain": "--fog-gain",
    "wind_m_s": "--wind",
    "dim": "--dim",
    "gamma": "--gamma",
}
"""Names of rain settings as options."""


def synth(
    clean: Annotated[
        list[str], typer.Argument(help="Clean photographs: files, folders or patterns.")
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the dataset.", show_default=False)
    ],
    preset: Annotated[
        str,
        typer.Option(
            help="default, spa, rain12, rain100l, rain100h, wide, short, physical or misty."
        ),
    ] = "default",
    level: Annotated[
        str | None,
        typer.Option(help="drizzle, light, moderate, heavy or violent: draw rates in its bounds."),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Rain rate in mm/h.")] = None,
    streak_gain: Annotated[
        float | None, typer.Option(help="Optical thickness of streaks; 1 is physical.")
    ] = None,
    fog_gain: Annotated[
        float | None, typer.Option(help="Extinction by distant rain; 1 is physical.")
    ] = None,
    distance: Annotated[
        float | None,
        typer.Option(help="Veil a flat scene so many metres away (default: no veil)."),
    ] = None,
    wind: Annotated[
        float | None, typer.Option(help="Mean wind to the right of the picture in m/s.")
    ] = None,
    dim: Annotated[
        float | None, typer.Option(help="Factor on the scene's brightness behind the rain.")
    ] = None,
    gamma: Annotated[
        float | None, typer.Option(help="Tone of the scene behind the rain; above 1 is darker.")
    ] = None,
    variants: Annotated[int, typer.Option(help="Rains per photograph.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the dataset.", min=0)] = 0,
    file_format: Annotated[str, typer.Option("--format", help="png, or jpg (quality 95).")] = "png",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Write into a folder that is not empty; the pairs that its manifest lists are "
            "deleted, and no other file is.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes (default: as many as pay).", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but what failed.")
    ] = False,
) -> None:
    """Make rainy and clean pairs from clean photographs.

    Writes OUTPUT/input, OUTPUT/target (equal names) and OUTPUT/manifest.jsonl.

    For example:

      rainkit synth photos/ -o pairs/

      rainkit synth photos/ -o pairs/ --preset rain100h --variants 5

      rainkit synth photos/ -o pairs/ --level heavy --distance 200
    """
    from rich.progress import Progress

    from rainkit.datasets.synthesis import SynthRequest, synthesise

    request = SynthRequest(
        inputs=tuple(clean),
        out=out,
        settings=_settings(
            preset, level, rate,
            streak_gain=streak_gain, fog_gain=fog_gain, wind_m_s=wind, dim=dim, gamma=gamma,
        ),
        preset=preset,
        distance=distance,
        variants=variants,
        seed=seed,
        format=file_format,
        overwrite=overwrite,
        workers=workers,
    )  # fmt: skip
    if distance is None and (fog_gain is not None or preset == "misty"):
        raise UsageError("a veil needs to know how far away the scene is: add --distance METRES")
    silent = quiet or not errors.is_terminal
    with Progress(console=errors, transient=True, disable=silent) as progress:
        task = progress.add_task("rain", total=None)
        result = synthesise(
            request, lambda done, total: progress.update(task, completed=done, total=total)
        )
    for path, reason in result.failures:
        text = reason if reason.startswith(str(path)) else f"{path}: {reason}"
        errors.print(f"[bold red]left out:[/] {escape(text)}", highlight=False, soft_wrap=True)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        made = f"{counted(result.pairs, 'pair')} of {counted(result.scenes, 'scene')}"
        output.print(
            f"{made} in {escape(str(result.out))} ({result.seconds:.1f} s)",
            highlight=False,
            soft_wrap=True,
        )
    if result.failures:
        raise typer.Exit(1)


def _settings(
    preset: str, level: str | None, rate: float | None, **changes: float | None
) -> RainSettings:
    """The preset with what was asked for changed."""
    from difflib import get_close_matches

    from rainkit.rain import LEVELS, PRESETS

    if preset not in PRESETS:
        near = get_close_matches(preset, PRESETS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(PRESETS)}"
        raise UsageError(f"--preset {preset}: unknown; {hint}")
    if level is not None and rate is not None:
        raise UsageError("--level and --rate: give one of them")
    if level is not None and level not in LEVELS:
        raise UsageError(f"--level {level}: unknown; choose from {', '.join(LEVELS)}")
    wanted = {"rate_mm_h": rate, **changes}
    given = {name: value for name, value in wanted.items() if value is not None}
    settings = PRESETS[preset]
    for name, value in given.items():
        settings.check(name, value, called=_OPTIONS[name])
    settings = settings.changed(given | ({} if rate is None else {"level": None}))
    return settings if level is None else settings.at_level(level)
