"""``rainkit infer``: take the rain out of pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rainkit.cli.console import errors, output, print_json
from rainkit.cli.options import (
    Blocks,
    Device,
    Effort,
    Precision,
    StopBelow,
    Weights,
    tile_side,
)
from rainkit.errors import UsageError
from rainkit.files import counted

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
        typer.Option("--method", "-m", help="May be left out if only one is installed."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="<path>",
            help="Folder, or file for a single picture (default: beside each input, photos-METHOD/ "
            "for photos/, photo-METHOD.jpg for photo.jpg).",
        ),
    ] = None,
    weights: Weights = None,
    variant: Annotated[
        str | None, typer.Option(help="Take the method's weights of this variant.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Annotated[
        str,
        typer.Option(help="Side of the tiles of large pictures in pixels; 0 = whole pictures."),
    ] = "auto",
    blocks: Blocks = None,
    effort: Effort = "full",
    stop_below: StopBelow = None,
    parts: Annotated[
        bool,
        typer.Option(
            "--parts",
            help="Save what the method shows besides as PNG files, to photos-METHOD-parts/: the "
            "rain taken away, masks, results of blocks.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace existing results (else skipped); never an input."
        ),
    ] = False,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP results.")] = 95,
    report: Annotated[
        bool, typer.Option("--report", help="Make a before/after page, OUTPUT/report.html.")
    ] = False,
    report_path: Annotated[
        str | None, typer.Option("--report-to", metavar="<path>", help="Make the page here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but what failed.")
    ] = False,
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

    from rainkit import inference

    # Of broken metadata that does not matter here; pictures that cannot be read raise errors.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    name = method
    if name is None:
        name = inference.only_method()
        if not quiet:
            errors.print(f"using {name}, the only method installed", highlight=False)
    request = inference.InferRequest(
        inputs=tuple(inputs),
        method=name,
        output=_path("--output", out),
        weights=weights,
        variant=variant,
        device=device,
        precision=precision,
        tile=tile_side(tile),
        blocks=blocks,
        effort=effort,
        stop_below=stop_below,
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
        TextColumn("{task.description}"),
    )
    over: Counter[str] = Counter()
    bar = Progress(
        *columns, console=errors, transient=True, disable=quiet or not errors.is_terminal
    )
    task = bar.add_task("", total=None)

    class Shown(inference.Progress):
        def start(self, total: int) -> None:
            over["all"] = total
            bar.update(task, total=total)

        def tile(self, picture: Path, done: int, total: int) -> None:
            if total > 1:
                name = escape(picture.name)
                bar.update(task, description=f"{name}, tile {done} of {total}")

        def advance(self, outcome: Outcome) -> None:
            over[outcome.status] += 1
            bar.update(task, advance=1, description=escape(outcome.input.name))
            if outcome.status == "failed":
                _line("failed:", outcome.error or "")

    with bar:
        try:
            result = inference.infer(request, Shown())
        except KeyboardInterrupt as stop:
            bar.stop()
            errors.print(f"stopped by Ctrl-C: {_stopped_at(over)}", highlight=False)
            raise typer.Exit(130) from stop
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        _summarise(result)
    if untried := result.not_attempted:
        _line("not attempted:", f"{counted(len(untried), 'picture')}, after: {untried[0].error}")
    if result.report_error is not None:
        _line("error:", result.report_error)
    raise typer.Exit(result.exit_code)


def _path(option: str, text: str | None) -> Path | None:
    if text == "":  # Path("") would be the working folder
        raise UsageError(f"{option} is empty: give a name, or . for the working folder")
    return None if text is None else Path(text)


def _line(what: str, line: str) -> None:
    errors.print(f"[red]{what}[/] {escape(line)}", highlight=False, soft_wrap=True)


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

    def tell(line: str) -> None:
        output.print(line, markup=False, highlight=False, soft_wrap=True)

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
