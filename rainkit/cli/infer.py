"""``rainkit infer``: take the rain out of pictures."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from rainkit import choices
from rainkit.cli.console import print_json, progress_bars, tell, warn
from rainkit.cli.options import (
    INPUT,
    OUTPUT,
    Backend,
    Device,
    Effort,
    Json,
    Precision,
    Quiet,
    Strength,
    Tile,
    Variant,
    Weights,
    WorkSize,
)
from rainkit.errors import INTERRUPTED, UsageError
from rainkit.files import counted
from rainkit.runtime_options import RuntimeOptions

if TYPE_CHECKING:
    from rainkit.inference import InferResult, MethodToRun, Outcome

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
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS][@LABEL]",
            help="Method that takes the rain out; needed if several are installed. WEIGHTS is a"
            " tag, a file, or a folder with weights of several variants; NAME may be all."
            " Repeatable: each method has its own folder of results.",
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
            "inputs: photos-METHOD/ for photos/, photo-METHOD.jpg for photo.jpg. Several methods "
            "have a folder each in it.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results that exist; without it they are skipped if they were made with "
            "the same settings, and else kept and told of. Inputs are never replaced.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    quality: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            metavar="N",
            help="Quality of JPEG, WebP, HEIC and AVIF results. By default JPEG results have the "
            "quality and subsampling of their inputs, lossless WebP stays so, and others have 95.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Make a page that shows the pictures side by side, a column for each method, "
            "OUTPUT/report.html.",
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
    variant: Variant = None,
    device: Device = "auto",
    precision: Precision = choices.Precision.AUTO,
    tile: Tile = "auto",
    work_size: WorkSize = "auto",
    effort: Effort = "full",
    strength: Strength = 1.0,
    backend: Backend = "auto",
) -> None:
    """Take the rain out of pictures: JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF, of any size.

    Results keep the format, tree, transparency, bit depth, EXIF data and colour profile of their
    inputs. A picture that cannot be read is reported, and the others go on. One whose result is
    there already, made with the same settings, is skipped.

    With several methods, all take the same pictures one after another.

    Exit codes: 0 all done, 1 some failed, 2 wrong use, 130 stopped by Ctrl-C.

    For example:

      rainkit infer photos/ --method graspp-gan --report

      rainkit infer rainy.jpg -m graspp-gan -o clean.png

      rainkit infer photos/ -m granet -m freq-gan=rain-v1 --report
    """
    options = RuntimeOptions.parse(
        device=device,
        precision=precision,
        tile=tile,
        work_size=work_size,
        effort=effort,
        strength=strength,
        backend=backend,
    )
    from rainkit import inference

    chosen = _methods(methods or (), weights, variant, quiet=quiet)
    request = inference.InferRequest(
        inputs=tuple(inputs),
        output=_path("--output", out),
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
    told: set[str] = set()
    bar = progress_bars(*columns, quiet=quiet)
    task = bar.add_task("", total=None)

    class Shown(inference.Progress):
        by = ""

        def start(self, total: int) -> None:
            over["all"] = total
            bar.update(task, total=total)

        def method(self, title: str) -> None:
            self.by = f"{title}: " if len(chosen) > 1 else ""

        def tile(self, picture: Path, done: int, total: int) -> None:
            if total > 1:
                now = f"{self.by}{picture.name}, tile {done} of {total}"
                bar.update(task, description=now)

        def advance(self, outcome: Outcome) -> None:
            over[outcome.status] += 1
            bar.update(task, advance=1, description=f"{self.by}{outcome.input.name}")
            error = outcome.error or ""
            # What no method can read is told once.
            if outcome.status == "failed" and error not in told:
                told.add(error)
                warn(error, label="failed:", style="red")

        def page(self, done: int, total: int) -> None:
            bar.update(task, description=f"picture {done} of {total} of the page")

    with bar:
        try:
            found = inference.infer_methods(request, chosen, Shown())
        except KeyboardInterrupt as stop:
            bar.stop()
            warn(f"stopped by Ctrl-C: {_stopped_at(over)}")
            raise typer.Exit(INTERRUPTED) from stop
    if as_json:
        print_json(found.to_data() if len(chosen) > 1 else found.first.to_data())
    elif not quiet:
        for result in found.results:
            if len(chosen) > 1:
                tell(result.title, style="bold")
            _summarise(result)
        if found.report is not None:
            tell(f"report: {found.report}")
    for notice in () if quiet else found.notices:
        warn(notice, label="note:", style="yellow")
    for result in found.results:
        for reason, count in Counter(each.error for each in result.kept).items():
            some = next(each.output for each in result.kept if each.error == reason)
            more = f" (and so are {count - 1} more)" if count > 1 else ""
            warn(
                f"{some} {reason}{more}: replace it by --overwrite, or name another --output",
                label="kept:",
                style="red",
            )
        if untried := result.not_attempted:
            by = f"{result.title}: " if len(chosen) > 1 else ""
            warn(
                f"{by}{counted(len(untried), 'picture')}, after: {untried[0].error}",
                label="not attempted:",
                style="red",
            )
    if found.report_error is not None:
        warn(found.report_error, label="error:", style="red")
    raise typer.Exit(found.exit_code)


def _methods(
    named: Sequence[str], weights: str | None, variant: str | None, *, quiet: bool
) -> tuple[MethodToRun, ...]:
    """Return the methods that were named; the only one that is installed if none was."""
    from rainkit import inference

    if not named:
        name = inference.only_method(weights)
        if not quiet:
            whose = "the method of the weights" if weights else "the only method installed"
            warn(f"using {name}, {whose}")
        return (inference.MethodToRun(method=name, weights=weights),)
    chosen: list[MethodToRun] = []
    if all(name != "all" and not {"=", "@"} & set(name) for name in named):
        chosen = [inference.MethodToRun(method=name) for name in dict.fromkeys(named)]
    else:
        from rainkit.evaluation.methods import choose_methods

        found = choose_methods(named)
        for notice in () if quiet else found.notices:
            warn(notice, label="note:", style="yellow")
        chosen = [
            inference.MethodToRun(method=each.method, weights=each.weights, label=each.label)
            for each in found.rows
        ]
    if len(chosen) > 1:
        for option, given in (("--weights", weights), ("--variant", variant)):
            if given is not None:
                raise UsageError(
                    f"{option} is for a single method; name weights by --method NAME=WEIGHTS"
                )
    elif weights is not None:
        if chosen[0].weights is not None:
            raise UsageError(
                f"--method {named[0]} names weights already; leave out --weights {weights}"
            )
        chosen = [dataclasses.replace(chosen[0], weights=weights)]
    return tuple(chosen)


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
        for status, words in (
            ("skipped", "already there"),
            ("kept", "made otherwise and kept"),
            ("failed", "failed"),
        )
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
        tell(line if result.device is None else f"{line}, on {result.device} with {result.weights}")
        if (used := blocks_used(result)) is not None:
            tell(used)
    if done or result.skipped:
        for place in result.outputs:
            tell(f"results: {place}")
        for place in result.parts:
            tell(f"parts: {place}")
