"""``rainkit eval``: how well a method, or a folder of pictures, restores the clean pictures."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress

from rainkit.cli.console import counted, errors, print_json
from rainkit.cli.options import (
    Blocks,
    CropToCommon,
    Device,
    Effort,
    Layout,
    Precision,
    RainySide,
    StopBelow,
    Weights,
    tile_side,
)
from rainkit.cli.tables import print_table
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rainkit.api import Method
    from rainkit.evaluation import Evaluation, FoldersRequest, MethodRequest
    from rainkit.reports.eval_data import PublishedScore

__all__ = ["evaluate"]


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS... | RESTORED TARGET",
            help="With --method: dataset folders. Without: restored pictures and their targets.",
            show_default=False,
        ),
    ],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS]",
            help="Derain the datasets with this method and score it; repeatable.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Score every installed method that ships weights.")
    ] = False,
    rainy: Annotated[
        Path | None,
        typer.Option("--input", help="The pictures before deraining, for the input row."),
    ] = None,
    protocols: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            help="prenet, restormer, basicsr, restormer-py, rgb or spanet; repeatable.",
            show_default="prenet",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Measure this besides, such as gmsd or mae; repeatable."),
    ] = None,
    weights_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of weights that lpips, dists and brisque need.", metavar="DIR"),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compute scores in float64.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write per_image.csv, metrics.json and table.md to this folder."
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option("--report", help="Write index.html, table.tex and plots to --output, too."),
    ] = False,
    published: Annotated[
        bool,
        typer.Option("--published", help="With --report: set the papers' own figures beside."),
    ] = False,
    save: Annotated[
        Path | None, typer.Option(help="Write the derained pictures to this folder, as PNG.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    fail_below: Annotated[
        list[str] | None,
        typer.Option(
            metavar="QUANTITY=NUMBER",
            help="Exit with 3 if a dataset's mean psnr, ssim, psnr_gain or ssim_gain is lower.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Score this many pictures per dataset.")
    ] = None,
    layout: Layout = None,
    rainy_side: RainySide = None,
    crop_to_common: CropToCommon = False,
    weights: Weights = None,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: Annotated[
        str,
        typer.Option(help="Side of the tiles of large pictures in pixels; 0 = whole pictures."),
    ] = "auto",
    blocks: Blocks = None,
    effort: Effort = "full",
    stop_below: StopBelow = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but what failed or missed a bar.")
    ] = False,
) -> None:
    """Score methods on pairs, or restored pictures against their targets.

    PSNR and SSIM are those of a named protocol. Tables start with the input:
    the rainy pictures as they are. With --output, derained pictures are kept
    in its folder "restored" and used again the next time.

    For example:

      rainkit eval -m granet -m resguidenet pairs/ -o scores/ --report

      rainkit eval restored/ clean/ --input rainy/ --metric gmsd

    Exit codes: 0 all scored, 1 some pictures failed, 2 wrong use or files that
    do not pair up, 3 a --fail-below bar missed.
    """
    from rainkit import evaluation
    from rainkit.datasets.pairs import ReadOptions

    reading = ReadOptions(layout=layout, rainy_side=rainy_side, crop_to_common=crop_to_common)
    chosen = tuple(dict.fromkeys(map(evaluation.protocol, protocols or ["prenet"])))
    side = tile_side(tile)
    if every:
        if methods:
            raise UsageError("give --method NAME (repeatable) or --all, not both")
        methods = [each.name for each in _shipping()]
    if published and not (report and methods):
        raise UsageError("--published needs --report and methods")
    have = ("target", "input") if methods or rainy is not None else ("target",)
    measures, skipped = evaluation.ready(metrics or (), weights_dir=weights_dir, have=have)
    for line in skipped:
        errors.print(f"[yellow]note:[/] {escape(line)}", highlight=False, soft_wrap=True)
    sources: tuple[MethodRequest | FoldersRequest, ...]
    if methods:
        if rainy is not None:
            raise UsageError(
                "--input goes without --method: a dataset holds its own rainy pictures"
            )
        named = [tuple(text.partition("=")[::2]) for text in dict.fromkeys(methods)]
        if weights is not None and len(named) > 1:
            raise UsageError("--weights goes with one method; write --method NAME=WEIGHTS")
        if save is not None and len(named) > 1:
            raise UsageError("--save goes with one method; with --output, pictures are kept there")
        make = functools.partial(
            evaluation.MethodRequest,
            datasets=tuple(paths),
            protocols=chosen,
            device=device,
            precision=precision,
            tile=side,
            blocks=blocks,
            effort=effort,
            stop_below=stop_below,
            limit=limit,
            save=save,
            overwrite=overwrite,
            reading=reading,
            metrics=measures,
            exact=exact,
        )
        sources = tuple(
            make(
                method=name,
                weights=which or weights,
                keep=None if folder is None else folder / "restored" / _kept_name(name, which),
            )
            for name, which in named
        )
    elif len(paths) == 2:
        if layout is not None or rainy_side is not None:
            raise UsageError("--layout and --rainy-side need --method")
        if save is not None or weights is not None:
            raise UsageError("--save and --weights need --method")
        if blocks is not None or effort != "full" or stop_below is not None:
            raise UsageError("--blocks, --effort and --stop-below need --method")
        restored = evaluation.FoldersRequest(
            restored=paths[0],
            target=paths[1],
            protocols=chosen,
            rainy=rainy,
            limit=limit,
            crop_to_common=crop_to_common,
            metrics=measures,
            exact=exact,
        )
        sources = (restored,)
    else:
        raise UsageError(
            f"{counted(len(paths), 'path')} without --method; give RESTORED and TARGET,"
            " or --method NAME"
        )
    whole = evaluation.EvalRequest(
        sources=sources,
        output=folder,
        overwrite=overwrite,
        bars=tuple(fail_below or ()),
        report=report,
        published=_figures_of([name for name, _ in named]) if published else (),
    )
    silent = quiet or not errors.is_terminal
    with Progress(console=errors, transient=True, disable=silent) as progress:
        task = progress.add_task("scoring", total=None)
        result = evaluation.run(
            whole, lambda done, total: progress.update(task, completed=done, total=total)
        )
    _show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)


def _show(result: Evaluation, *, as_json: bool, quiet: bool) -> None:
    from rainkit import evaluation

    found = [each.to_data() for each in result.comparisons]
    if as_json:
        data = found[0] if len(found) == 1 else {"comparisons": found}
        print_json(data | {"missed": list(result.missed)})
    elif not quiet:
        for table in evaluation.tables(*result.comparisons):
            print_table(
                evaluation.COLUMNS,
                table.rows,
                folded={"dataset"},
                figures=set(evaluation.COLUMNS) - {"dataset", "result"},
                title=table.title,
            )
        _show_metrics(result)
    notices = dict.fromkeys(notice for each in result.comparisons for notice in each.notices)
    failures = dict.fromkeys(failure for each in result.comparisons for failure in each.failures)
    for notice in () if quiet else notices:
        errors.print(f"[yellow]note:[/] {escape(notice)}", highlight=False, soft_wrap=True)
    for dataset, failure in failures:
        line = f"not scored: {dataset}/{failure.name}: {failure.reason}"
        errors.print(f"[red]{escape(line)}[/]", highlight=False, soft_wrap=True)
    if failures:
        failed = counted(len(failures), "picture")
        errors.print(f"{failed} could not be scored", highlight=False)
    for bar in result.missed:
        errors.print(f"[red]below the bar:[/] {escape(bar)}", highlight=False, soft_wrap=True)
    for path in () if quiet else result.written:
        errors.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)


def _show_metrics(result: Evaluation) -> None:
    """Means of further metrics; they are alike under all protocols."""
    from rainkit.evaluation import METRICS

    rows = []
    names: tuple[str, ...] = ()
    for each in result.comparisons:
        seen: set[str] = set()
        for scores in each.scores:
            if scores.dataset in seen or not scores.rows:
                continue
            seen.add(scores.dataset)
            names = tuple(name for name, _ in scores.rows[0].extras)
            means = [f"{scores.summary(name).mean:.4f}" for name in names]
            rows.append((scores.dataset, each.restored, *means))
    if not names:
        return
    headings = [f"{METRICS[name].label} {METRICS[name].arrow}".strip() for name in names]
    title = "Further metrics of the result, means; the arrow points to better"
    print_table(("dataset", "result", *headings), rows, figures=headings, title=title)


def _shipping() -> list[Method]:
    """Installed methods that have weights.

    Raises:
        UsageError: none has.
    """
    from rainkit import plugins

    names = [found.name for found in plugins.installed() if found.problem is None]
    methods = [method for method in map(plugins.get, names) if method.weights]
    if not methods:
        raise UsageError("--all: no installed method ships weights")
    return methods


def _kept_name(method: str, weights: str) -> str:
    """Folder of a method's derained pictures."""
    return f"{method}-{Path(weights).stem}" if weights else method


def _figures_of(methods: Iterable[str]) -> tuple[PublishedScore, ...]:
    """What the papers print of their own methods."""
    from rainkit import plugins
    from rainkit.reports.eval_data import PublishedScore

    return tuple(
        PublishedScore(
            method=method.title,
            dataset=each.dataset.lower().replace(" ", ""),
            psnr=each.psnr,
            ssim=each.ssim,
            milliseconds=None if each.seconds is None else 1e3 * each.seconds,
            note="; ".join(filter(None, (method.paper.title, each.dataset, each.note))),
        )
        for method in map(plugins.get, dict.fromkeys(methods))
        for each in method.paper.results
        if each.psnr is not None or each.ssim is not None
    )
