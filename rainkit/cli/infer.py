"""``rainkit infer``: take the rain out of pictures."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rainkit import choices, config
from rainkit.cli import completion
from rainkit.cli.commands import Terminated, terminable
from rainkit.cli.console import print_json, tell, warn
from rainkit.cli.options import (
    INPUT,
    OUTPUT,
    RUNNING,
    Backend,
    Device,
    Effort,
    EngineChoice,
    Json,
    Precision,
    Quiet,
    Strength,
    Tile,
    Variant,
    Weights,
    WorkSize,
    choice,
    local_workers,
)
from rainkit.errors import INTERRUPTED, UsageError
from rainkit.files import counted
from rainkit.runtime_options import RuntimeOptions

if TYPE_CHECKING:
    from rainkit.inference import InferResult, MethodToRun

__all__ = ["infer"]


def infer(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, videos, folders (with their subfolders), quoted patterns, @LIST for a "
            "file with an input on each line, - for such a list or a picture on standard input, or "
            "URLs such as s3://bucket/photos/.",
            show_default=False,
        ),
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS][@LABEL]",
            help="Method that takes the rain out. WEIGHTS is a tag, a file, or a folder with"
            " weights of several variants. NAME may be all, or auto: for each picture the method"
            " that does best on its kind of rain. Repeatable: each method has its own folder of"
            " results.",
            show_default="auto, or the only method installed",
            autocompletion=completion.methods_with_weights("all", "auto"),
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
            "have a folder each in it. - writes a single picture to standard output.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            help="Names of results, such as {stem}-{method}{suffix}; {ext} is the input's suffix "
            "without its dot. The last part of --output can be a template, too.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    result_format: Annotated[
        choices.ResultFormat | None,
        choice(
            choices.ResultFormat,
            "--format",
            help="Format of results; by default that of each input.",
            panel=OUTPUT,
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
    keep_dry: Annotated[
        bool,
        typer.Option(
            "--keep-dry",
            help="Leave pictures in which no rain is found as they are, byte for byte.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Take only the pictures that failed when they were tried last.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Take the I-th of N parts of the pictures, for array jobs, which may share an "
            "--output.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    watching: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Go on and take what arrives in the folders, until Ctrl-C or SIGTERM.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of threads that decode, and of those that encode; of workers on Ray.",
            show_default="by the machine",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    engine: EngineChoice = choices.Engine.LOCAL,
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
    steady: Annotated[
        bool,
        typer.Option(
            "--steady",
            help="Reduce the flicker of videos where nothing moves; what moves is left as it is.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
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

    Videos (MP4, MOV, MKV, WebM; needs PyAV) keep sound, subtitles, timestamps and
    rotation. A video on which a run was stopped goes on where it was when the run is repeated.

    With several methods, all take the same pictures one after another.

    While it runs, --json writes a line of JSON for each picture to standard error.

    Exit codes: 0 all done, 1 some failed, 2 wrong use, 130 stopped by Ctrl-C or
    SIGTERM, which are the usual end of --watch (0 or 1).

    For example:

      rainkit infer photos/ --report

      rainkit infer rainy.jpg -m graspp-gan -o clean.png

      rainkit infer photos/ -m granet -m freq-gan=rain-v1 --report

      rainkit infer uploads/ -m graspp-gan --watch -o derained/

      rainkit infer clip.mp4 -m graspp-gan --steady
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
    piped = out == "-"
    if piped and as_json:
        raise UsageError("--json cannot be used with --output -; leave it out")
    why = None
    if not quiet and any(each.method == inference.AUTO for each in chosen):
        from rainkit.inference.choice import choose

        why = choose(options).why()
    request = inference.InferRequest(
        inputs=tuple(inputs),
        output=_path("--output", out),
        name=name,
        format=result_format,
        variant=variant,
        options=options,
        parts=parts,
        overwrite=overwrite,
        keep_dry=keep_dry,
        retry_failed=retry_failed,
        shard=shard,
        workers=local_workers(workers, engine),
        engine=engine,
        quality=quality,
        steady=steady,
        report=report,
        report_path=_path("--report-to", report_path),
    )
    from rainkit.cli.following import Following

    shown = Following(len(chosen), quiet=quiet, events=as_json, watched=watching, first=why)
    with shown, terminable():
        try:
            if watching:
                if not quiet:
                    warn(f"watching {', '.join(inputs)}; end it by Ctrl-C")
                found = inference.watch(request, chosen, shown)
            else:
                found = inference.infer_methods(request, chosen, shown)
        except KeyboardInterrupt as stop:
            by = "SIGTERM" if isinstance(stop, Terminated) else "Ctrl-C"
            again = "the command without --overwrite" if overwrite else "the command"
            warn(f"stopped by {by}: {shown.stopped()}; repeat {again} to go on")
            raise typer.Exit(INTERRUPTED) from stop
    if as_json:
        print_json(found.to_data() if len(chosen) > 1 else found.first.to_data())
    elif not quiet and not piped:
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
    """Return the methods that were named, or the one for a user who names none."""
    from rainkit import inference

    if not named:
        preferred = config.settings()["method"]
        from rainkit.weights import local_file

        of_file = weights is not None and local_file(weights) is not None
        if preferred.origin != "default" and not of_file:
            name = str(config.value("method"))
            whose = f"the method set in {preferred.place}"
        else:
            name = inference.default_method(weights, variant)
            whose = "the method of the weights" if weights else "the only method installed"
        if not quiet and name != inference.AUTO:
            warn(f"using {name}, {whose}")
        return (inference.MethodToRun(method=name, weights=weights),)
    chosen: list[MethodToRun] = []
    if all(name != "all" and not {"=", "@"} & set(name) for name in named):
        chosen = [inference.MethodToRun(method=name) for name in dict.fromkeys(named)]
    else:
        from rainkit.evaluation.methods import choose_methods

        found = choose_methods(name for name in named if name != inference.AUTO)
        for notice in () if quiet else found.notices:
            warn(notice, label="note:", style="yellow")
        chosen = [
            inference.MethodToRun(method=each.method, weights=each.weights, label=each.label)
            for each in found.rows
        ]
        if inference.AUTO in named:
            place = 0 if named[0] == inference.AUTO else len(chosen)
            chosen.insert(place, inference.MethodToRun(method=inference.AUTO))
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


def _summarise(result: InferResult) -> None:
    from rainkit.inference import blocks_used, tally

    done, total = len(result.done), len(result.outcomes)
    if not total:
        tell("nothing to do: no picture is among those that were asked for")
    elif len(result.skipped) == total:
        there = "the result is" if total == 1 else f"all {total} results are"
        tell(f"nothing to do: {there} there; --overwrite to redo")
    else:
        line = tally(result)
        if done:
            line += f", {sum(each.seconds for each in result.done) / done:.2f} s per picture"
        if result.device is not None:
            by = "" if result.backend is None else f", backend {result.backend},"
            line += f", on {result.device}{by} with {result.weights}"
        tell(line)
        if (used := blocks_used(result)) is not None:
            tell(used)
        if dry := sum(each.dry for each in result.done):
            tell(f"{counted(dry, 'picture')} without rain, left as they are")
        chosen = Counter((each.by, each.rain) for each in result.done if each.by is not None)
        if {by for by, _ in chosen} == {result.weights}:
            chosen.clear()  # the line above has said so
        for (by, rain), count in chosen.items():
            tell(f"{counted(count, 'picture')} by {by}{f', {rain} rain' if rain else ''}")
    if done or result.skipped:
        for place in result.outputs:
            tell(f"results: {place}")
        for place in result.parts:
            tell(f"parts: {place}")
