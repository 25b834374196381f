"""``rainkit synth``: make rainy and clean pairs from clean photographs."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rainkit import choices
from rainkit.cli.commands import terminable
from rainkit.cli.console import print_json, progress_bars, tell, warn
from rainkit.cli.options import OUTPUT, Json, Quiet, choice, local_workers
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.synthesis.request import SynthResult

__all__ = ["progress", "show_dataset", "synth", "write_page"]

_RAIN = "Rain"
_DATASET = "Dataset"
_RUN = "How it runs"

_HERE = {"-o", "--output", "--workers", "--engine", "--shard"}
_HERE_FLAGS = {"--overwrite", "--json", "-q", "--quiet", "-v", "--verbose", "--report"}
"""Options that do not change what is made."""


def synth(
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTOS",
            help="Clean photographs: files, folders or patterns.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the dataset.", metavar="DIR"),
    ] = None,
    preset: Annotated[
        choices.Preset | None,
        choice(choices.Preset, "--preset", help="Rain to start from.", panel=_RAIN),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MM/H|LEVEL",
            help="Rain rate in mm/h, or a level whose bounds rates are drawn in: drizzle, light, "
            "moderate, heavy or violent. May be repeated; variants then take turns.",
            rich_help_panel=_RAIN,
        ),
    ] = None,
    rain: Annotated[
        list[str] | None,
        typer.Option(
            "--rain",
            metavar="NAME=VALUE",
            help="Another setting of the rain, such as streak_gain=20, fog_gain=2, wind_m_s=3 or "
            "fov_deg=45. May be repeated.",
            rich_help_panel=_RAIN,
        ),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|METRES|DIR|MODEL",
            help="Depth of the scenes: maps beside the photographs or else a guess (auto), none, "
            "one distance for a flat scene, a folder of maps, or a network (a folder, or a Hugging "
            "Face name in the cache). Default: auto, or none with presets that imitate datasets "
            "without depth.",
            rich_help_panel=_RAIN,
        ),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            metavar="SIGMA",
            help="Add Gaussian noise of SIGMA grey levels instead of rain.",
            rich_help_panel=_RAIN,
        ),
    ] = None,
    variants: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Rains per photograph. Default: 1.", rich_help_panel=_DATASET
        ),
    ] = None,
    test_scenes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Split into train and test, with this many scenes in test. Photographs that look "
            "alike stay together.",
            rich_help_panel=_DATASET,
        ),
    ] = None,
    sequence: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            help="Make static time-lapse scenes with this many frames of each rain.",
            rich_help_panel=_DATASET,
        ),
    ] = None,
    layout: Annotated[
        choices.WrittenLayout | None,
        choice(
            choices.WrittenLayout,
            "--layout",
            help="Names of files and folders. Default: restormer.",
            panel=_DATASET,
        ),
    ] = None,
    file_format: Annotated[
        choices.FileFormat | None,
        choice(
            choices.FileFormat,
            "--format",
            help="Format of the pictures: png (default), or jpg of quality 95.",
            panel=_DATASET,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seed of the dataset. Default: 0.", rich_help_panel=_DATASET
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another setting of the dataset: fps, group_by, split_seed, save, "
            "manifest_format, depth_format or depth_camera. May be repeated.",
            rich_help_panel=_DATASET,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="RECIPE.toml",
            help="Take options from the table synth of this file and settings of the rain from "
            "its table rain. The command line wins.",
            rich_help_panel=_DATASET,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Make a page of samples and checks, DIR/report.html.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Write into a folder that is not empty. The files that its manifest lists are "
            "deleted, and no other file is.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes. Default: as many as pay.", rich_help_panel=_RUN),
    ] = None,
    engine: Annotated[
        choices.Engine | None,
        choice(
            choices.Engine,
            "--engine",
            help="Where the work runs: on this machine (default), or on a Ray cluster, see "
            "docs/cluster.md.",
            panel=_RUN,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Make the I-th of N parts. The last part to end joins them.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make rainy and clean pairs from clean photographs.

    Writes DIR/input, DIR/target (equal names) and DIR/manifest.jsonl, which says how each picture
    was made. The same photographs, options and seed make the same pixels. A command that was
    stopped continues when it is repeated. To check or rebuild a dataset, or to cut frames from a
    video, see rainkit data.

    For example:

      rainkit synth photos/ -o pairs/

      rainkit synth photos/ -o pairs/ --preset rain100h --variants 5

      rainkit synth photos/ -o pairs/ --rate heavy --variants 12 --test-scenes 25
    """
    from rainkit.synthesis.request import Recipe, build_request, read_recipe
    from rainkit.synthesis.run import synthesise

    recipe = Recipe() if config is None else read_recipe(config)
    request = build_request(
        recipe,
        {
            "photos": photos or None,
            "output": out,
            "preset": preset,
            "rate": rate,
            "noise": noise,
            "depth": depth,
            "variants": variants,
            "test_scenes": test_scenes,
            "sequence": sequence,
            "layout": layout,
            "format": file_format,
            "seed": seed,
            "overwrite": overwrite or None,
            "workers": workers,
            "engine": engine,
            "shard": shard,
        },
        settings=settings or (),
        rain=rain or (),
        command=_command_line(sys.argv[1:]),
    )
    if request.workers is None:  # neither the command line nor the recipe says
        here = local_workers(None, choices.Engine(request.engine))
        request = dataclasses.replace(request, workers=here)
    with terminable(), recipe.named_in_errors(), progress(quiet) as advance:
        result = synthesise(request, advance)
    page = write_page(result, request.workers, quiet=quiet) if report or recipe.report else None
    show_dataset(result, page, as_json=as_json, quiet=quiet)


def _command_line(arguments: Sequence[str]) -> str:
    """Return the command for a dataset's card, without where and how it was run."""
    kept: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in _HERE:
            next(rest, None)
        elif word.partition("=")[0] not in _HERE | _HERE_FLAGS:
            kept.append(word)
    return shlex.join(["rainkit", *kept, "-o", "dataset"])


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a bar for each step, and say how to continue after Ctrl-C."""
    try:
        with progress_bars(quiet=quiet) as bars:
            tasks: dict[str, Any] = {}

            def advance(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done, total=total)

            yield advance
    except KeyboardInterrupt:
        warn("stopped; repeat the command to continue")
        raise


def write_page(result: SynthResult, workers: int | None, *, quiet: bool) -> Path | None:
    """Write the page about a finished dataset; return None if there is nothing to show yet."""
    from rainkit.evaluation.metrics.protocols import PROTOCOLS
    from rainkit.synthesis.report.page import write_rain_page

    if not result.pairs or not (result.out / "manifest.jsonl").exists():
        warn("no report: it comes with the last shard")
        return None
    scorer = next(iter(PROTOCOLS.values()))
    with progress(quiet) as advance:
        return write_rain_page(
            result.out,
            scorer,
            workers=workers,
            on_progress=lambda done, total: advance("measuring", done, total),
        )


def show_dataset(result: SynthResult, page: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Print what was made, and exit with 1 if photographs were left out."""
    for note in result.notes:
        warn(note, label="note:", style="yellow")
    for path, reason in result.failures:
        warn(
            reason if reason.startswith(str(path)) else f"{path}: {reason}",
            label="left out:",
            style="bold red",
        )
    if as_json:
        print_json(result.to_data() | {"report": page and str(page)})
    elif not quiet:
        _print_summary(result)
        if page is not None:
            tell(f"report: {page}")
    if result.failures:
        raise typer.Exit(1)


def _print_summary(result: SynthResult) -> None:
    made = f"{counted(result.pairs, 'pair')} of {counted(result.scenes, 'scene')}"
    split = ", ".join(f"{name} {pairs}" for name, (_, pairs) in result.splits.items())
    again = f", {result.resumed} of an earlier run" if result.resumed else ""
    rate = result.pairs / result.seconds if result.seconds else 0
    tell(
        f"{made}{f' ({split})' if split else ''} in {result.out} "
        f"({result.seconds:.1f} s, {rate:.0f} pairs/s{again})"
    )
    if set(result.depths) - {"none", "flat"}:
        depths = (
            counted(number, "map") if source == "map" else f"{number} {source}"
            for source, number in result.depths.items()
        )
        tell("depth: " + ", ".join(depths))
