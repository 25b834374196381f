"""``rainkit infer``: take the rain out of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rainkit.cli.console import errors, output, print_json
from rainkit.errors import UsageError

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
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder, or file for a single picture (default: beside the input, photos-METHOD/ "
            "for photos/, photo-METHOD.jpg for photo.jpg).",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="A weights tag of the method, or a .safetensors file.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="Take the method's weights of this variant.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    tile: Annotated[
        str,
        typer.Option(help="Side of the tiles of large pictures in pixels; 0 = whole pictures."),
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing results; never an input.")
    ] = False,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP results.")] = 95,
    report: Annotated[
        bool, typer.Option("--report", help="Make a before/after page, OUTPUT/report.html.")
    ] = False,
    report_path: Annotated[
        Path | None, typer.Option("--report-to", help="Make the page here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but what failed.")
    ] = False,
) -> None:
    """Take the rain out of pictures: JPEG, PNG, WebP, TIFF or BMP, of any size.

    Results keep the format, tree, transparency, bit depth, EXIF data and colour profile of their
    inputs. A picture that cannot be read is reported, and the others go on.

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
        output=out,
        weights=weights,
        variant=variant,
        device=device,
        precision=precision,
        tile=_side(tile),
        overwrite=overwrite,
        quality=quality,
        report=report,
        report_path=report_path,
    )
    columns = (
        TextColumn("deraining"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    over = [0, 0, 0]  # done, failed, all
    with Progress(
        *columns, console=errors, transient=True, disable=quiet or not errors.is_terminal
    ) as progress:
        task = progress.add_task("", total=None)

        def advance(outcome: Outcome, finished: int, total: int) -> None:
            over[outcome.error is not None] += 1
            over[2] = total
            name = escape(outcome.input.name)
            progress.update(task, completed=finished, total=total, description=name)
            if outcome.error is not None:
                line = f"[red]failed:[/] {escape(outcome.error)}"
                progress.console.print(line, highlight=False, soft_wrap=True)

        try:
            result = inference.infer(request, advance)
        except KeyboardInterrupt as stop:
            progress.stop()
            done, failed, total = over
            wrong = f", {failed} failed" if failed else ""
            errors.print(
                f"stopped by Ctrl-C: {done} of {total or 'the'} pictures done{wrong}",
                highlight=False,
            )
            raise typer.Exit(130) from stop
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        _summarise(result)
    raise typer.Exit(result.exit_code)


def _side(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"--tile {text}: give auto, 0, or the side of tiles in pixels")
    return int(text)


def _summarise(result: InferResult) -> None:
    done, failed = len(result.done), len(result.failed)
    line = f"{done} picture{'' if done == 1 else 's'} derained"
    if failed:
        line += f", {failed} failed"
    if done:
        line += f", {sum(each.seconds for each in result.done) / done:.2f} s per picture"
    line += f", on {result.device} with {result.weights}"
    output.print(line, markup=False, highlight=False, soft_wrap=True)
    if done:
        output.print(f"results: {result.output}", markup=False, highlight=False, soft_wrap=True)
    if result.report is not None:
        output.print(f"report: {result.report}", markup=False, highlight=False, soft_wrap=True)
