"""``rainkit infer``: take the rain out of pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from rainkit import choices
from rainkit.cli.console import print_json, progress_bars, tell, warn
from rainkit.cli.options import (
    INPUT,
    OUTPUT,
    RUNNING,
    Device,
    Effort,
    Json,
    Precision,
    Quiet,
    Tile,
    Weights,
)
from rainkit.errors import INTERRUPTED, UsageError
from rainkit.files import counted
from rainkit.runtime_options import RuntimeOptions

if TYPE_CHECKING:
    from rainkit.inference import InferResult, Outcome

__all__ = ["infer"]


def infer(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, folders (with their subfolders) or quoted patterns.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="Method that takes the rain out; needed if several are installed.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Folder, or file for a single picture. By default results are written beside the "
            "inputs: photos-METHOD/ for photos/, photo-METHOD.jpg for photo.jpg.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results that exist; without it they are skipped. Inputs are never "
            "replaced.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    quality: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Quality of JPEG and WebP results.",
            rich_help_panel=OUTPUT,
        ),
    ] = 95,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Make a page of pictures before and after, OUTPUT/report.html.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    report_path: Annotated[
        str | None,
        typer.Option(
            "--report-to",
            metavar="FILE",
            help="Make the page in this file.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    parts: Annotated[
        bool,
        typer.Option(
            "--parts",
            help="Save what the method estimates besides the result as PNG files in "
            "photos-METHOD-parts/: the rain, masks, the results of blocks.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    weights: Weights = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Use the method's weights of this variant.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = choices.Precision.AUTO,
    tile: Tile = "auto",
    effort: Effort = "full",
) -> None:
    """Take the rain out of pictures: JPEG, PNG, WebP, TIFF or BMP, of any size.

    Results keep the format, tree, transparency, bit depth, EXIF data and colour profile of their
    inputs. A picture that cannot be read is reported, and the others go on. One whose result is
    there already is skipped.

    Exit codes: 0 all done, 1 some failed, 2 wrong use, 130 stopped by Ctrl-C.

    For example:

      rainkit infer photos/ --method graspp-gan --report

      rainkit infer rainy.jpg -m graspp-gan -o clean.png
    """
    import warnings

    options = RuntimeOptions.parse(device=device, precision=precision, tile=tile, effort=effort)
    from rainkit import inference

    # Of broken metadata that does not matter here; pictures that cannot be read raise errors.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    name = method
    if name is None:
        name = inference.only_method()
        if not quiet:
            warn(f"using {name}, the only method installed")
    request = inference.InferRequest(
        inputs=tuple(inputs),
        method=name,
        output=_path("--output", out),
        weights=weights,
        variant=variant,
        options=options,
        parts=parts,
        overwrite=overwrite,
        quality=quality,
        report=report,
        report_path=_path("--report-to", report_path),
    )
    columns = (
        TextColumn("deraining"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    over: Counter[str] = Counter()
    bar = progress_bars(*columns, quiet=quiet)
    task = bar.add_task("", total=None)

    class Shown(inference.Progress):
        def start(self, total: int) -> None:
            over["all"] = total
            bar.update(task, total=total)

        def tile(self, picture: Path, done: int, total: int) -> None:
            if total > 1:
                bar.update(task, description=f"{picture.name}, tile {done} of {total}")

        def advance(self, outcome: Outcome) -> None:
            over[outcome.status] += 1
            bar.update(task, advance=1, description=outcome.input.name)
            if outcome.status == "failed":
                warn(outcome.error or "", label="failed:", style="red")

    with bar:
        try:
            result = inference.infer(request, Shown())
        except KeyboardInterrupt as stop:
            bar.stop()
            warn(f"stopped by Ctrl-C: {_stopped_at(over)}")
            raise typer.Exit(INTERRUPTED) from stop
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        _summarise(result)
    if untried := result.not_attempted:
        warn(
            f"{counted(len(untried), 'picture')}, after: {untried[0].error}",
            label="not attempted:",
            style="red",
        )
    if result.report_error is not None:
        warn(result.report_error, label="error:", style="red")
    raise typer.Exit(result.exit_code)


def _path(option: str, text: str | None) -> Path | None:
    if text == "":  # Path("") would be the working folder
        raise UsageError(f"{option} is empty: give a name, or . for the working folder")
    return None if text is None else Path(text)


def _stopped_at(over: Counter[str]) -> str:
    if not over["all"]:
        return "no picture done"
    parts = [f"{over['done']} of {counted(over['all'], 'picture')} done"]
    parts += [
        f"{over[status]} {words}"
        for status, words in (("skipped", "already there"), ("failed", "failed"))
        if over[status]
    ]
    return ", ".join(parts)


def _summarise(result: InferResult) -> None:
    from rainkit.inference import blocks_used, tally

    done, total = len(result.done), len(result.outcomes)
    if len(result.skipped) == total:
        there = "the result is" if total == 1 else f"all {total} results are"
        tell(f"nothing to do: {there} there; --overwrite to redo")
    else:
        line = tally(result)
        if done:
            line += f", {sum(each.seconds for each in result.done) / done:.2f} s per picture"
        tell(f"{line}, on {result.device} with {result.weights}")
        if (used := blocks_used(result)) is not None:
            tell(used)
    if done or result.skipped:
        for place in result.outputs:
            tell(f"results: {place}")
        for place in result.parts:
            tell(f"parts: {place}")
    if result.report is not None:
        tell(f"report: {result.report}")
