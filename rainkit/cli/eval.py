"""``rainkit eval``: how well methods restore the clean pictures of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rainkit import choices
from rainkit.cli import scoring as o
from rainkit.cli.commands import terminable
from rainkit.cli.options import (
    CropToCommon,
    Device,
    Effort,
    EngineChoice,
    Json,
    Layout,
    Overwrite,
    Precision,
    Quiet,
    RainySide,
    Tile,
)
from rainkit.errors import UsageError
from rainkit.runtime_options import RuntimeOptions

__all__ = ["evaluate"]


def evaluate(
    pairs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS...",
            help="Dataset folders of pairs, or folders of datasets.",
            show_default=False,
        ),
    ],
    methods: o.Methods = None,
    restored: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER[@LABEL]",
            help="Score pictures of these datasets that were restored elsewhere, too. Repeatable.",
            rich_help_panel=o.WHAT,
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROWS",
            help="Add rows: parts (what methods make on the way), mean or median (of the frames of"
            " static scenes; mean=5 takes 5 frames), or published (what the methods' papers"
            " print of them and their rivals). Repeatable.",
            rich_help_panel=o.WHAT,
        ),
    ] = None,
    limit: o.Limit = None,
    protocols: o.Protocols = None,
    metrics: o.Metrics = None,
    by: o.By = None,
    folder: o.Output = None,
    report: o.Report = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    fail_below: o.FailBelow = None,
    layout: Layout = None,
    rainy_side: RainySide = None,
    crop_to_common: CropToCommon = False,
    device: Device = "auto",
    precision: Precision = choices.Precision.AUTO,
    tile: Tile = "auto",
    effort: Effort = "full",
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="Score what networks give by themselves, without the traces that results get back,"
            " as the tables of model cards do.",
            rich_help_panel=o.WHAT,
        ),
    ] = False,
    engine: EngineChoice = choices.Engine.LOCAL,
) -> None:
    """Score methods on pairs of rainy and clean pictures.

    PSNR and SSIM are those of a named protocol. Tables start with the input:
    the rainy pictures as they are. With --output, derained pictures are kept
    in its folder "restored" and used again the next time.

    For example:

      rainkit eval pairs/ -m granet -m resguidenet -o scores/ --report

      rainkit eval pairs/ -m granet --restored theirs/@rival

    Exit codes: 0 all scored, 1 a picture, or a file that is needed, cannot be
    used, 2 wrong use or files that do not pair up, 3 a bar missed.
    """
    from rainkit import evaluation, plugins
    from rainkit.datasets.pairs import ReadOptions
    from rainkit.evaluation.methods import choose_methods, split_label
    from rainkit.evaluation.metrics.protocols import chosen_protocols
    from rainkit.evaluation.run import further_rows
    from rainkit.published import PublishedRow, published_rows

    rows = further_rows(also or ())
    if not (methods or restored or rows.averages):
        raise UsageError(
            "nothing to score: give --method NAME; rainkit score RESTORED TARGET scores pictures"
            " that were restored elsewhere"
        )
    if rows.published and not methods:
        raise UsageError("--also published shows figures of methods' papers: give --method NAME")
    options = RuntimeOptions.parse(
        device=device,
        precision=precision,
        tile=tile,
        effort=effort,
        spare_traces=False if alone else None,
    )
    chosen = choose_methods(methods or ())
    printed: tuple[PublishedRow, ...] = ()
    if rows.published:
        printed = published_rows(map(plugins.get, dict.fromkeys(row.method for row in chosen.rows)))
    which, exact = chosen_protocols(protocols or ["prenet"])
    scored: dict[str, Any] = {
        "datasets": tuple(pairs),
        "protocols": which,
        "limit": limit,
        "exact": exact,
        "reading": ReadOptions(layout=layout, rainy_side=rainy_side, crop_to_common=crop_to_common),
    }
    request = evaluation.EvalRequest(
        engine=engine,
        sources=(
            *(
                evaluation.AveragesRequest(by=each, frames=frames, **scored)
                for each, frames in rows.averages
            ),
            *(
                evaluation.MethodRequest(
                    method=row.method,
                    weights=row.weights,
                    label=row.label,
                    keep=folder,
                    parts=rows.parts,
                    options=options,
                    **scored,
                )
                for row in chosen.rows
            ),
            *(
                evaluation.RestoredRequest(restored=Path(path), label=label or None, **scored)
                for path, label in map(split_label, dict.fromkeys(restored or ()))
            ),
        ),
        metrics=tuple(metrics or ()),
        output=folder,
        overwrite=overwrite,
        bars=tuple(fail_below or ()),
        report=report,
        published=printed,
        by=tuple(dict.fromkeys(by or ())),
        notices=chosen.notices,
    )
    with terminable(), o.progress(quiet=quiet) as advance:
        result = evaluation.run(request, advance)
    o.show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)
