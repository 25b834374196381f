"""``rainkit eval``: how well methods restore the clean pictures of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rainkit.cli import eval_options as o
from rainkit.cli.eval_results import scoring, show
from rainkit.cli.options import (
    Blocks,
    CropToCommon,
    Device,
    Effort,
    Layout,
    Precision,
    RainySide,
    StopBelow,
    tile_side,
)
from rainkit.errors import UsageError

__all__ = ["evaluate"]


def evaluate(
    pairs: Annotated[
        list[Path],
        typer.Argument(metavar="PAIRS...", help="Dataset folders of pairs.", show_default=False),
    ],
    methods: o.Methods = None,
    parts: o.Parts = False,
    averages: o.Averages = None,
    limit: o.Limit = None,
    protocols: o.Protocols = None,
    metrics: o.Metrics = None,
    weights_dir: o.WeightsDir = None,
    exact: o.Exact = False,
    by: o.By = None,
    folder: o.Output = None,
    report: o.Report = False,
    published: o.Published = False,
    overwrite: o.Overwrite = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    fail_below: o.FailBelow = None,
    baseline: o.Baseline = None,
    max_drop: o.MaxDrop = None,
    layout: Layout = None,
    rainy_side: RainySide = None,
    crop_to_common: CropToCommon = False,
    device: Device = "auto",
    precision: Precision = "auto",
    tile: o.Tile = "auto",
    blocks: Blocks = None,
    effort: Effort = "full",
    stop_below: StopBelow = None,
) -> None:
    """Score methods on pairs of rainy and clean pictures.

    PSNR and SSIM are those of a named protocol. Tables start with the input:
    the rainy pictures as they are. With --output, derained pictures are kept
    in its folder "restored" and used again the next time.

    For example:

      rainkit eval pairs/ -m granet -m resguidenet -o scores/ --report

    Exit codes: 0 all scored, 1 a picture, or a file that is needed, cannot be
    used, 2 wrong use or files that do not pair up, 3 a bar missed.
    """
    from rainkit import evaluation
    from rainkit.datasets.pairs import ReadOptions
    from rainkit.evaluation import baseline as earlier
    from rainkit.evaluation.frame_averages import AveragesRequest, parse_average
    from rainkit.evaluation.methods import choose_methods, published_figures

    if not (methods or averages):
        raise UsageError(
            "nothing to score: give --method NAME; rainkit score RESTORED TARGET scores pictures"
            " that were restored elsewhere"
        )
    if published and not (report and methods):
        raise UsageError("--published needs --report and methods")
    if max_drop and baseline is None:
        raise UsageError("--max-drop goes with --baseline METRICS.JSON")
    chosen = choose_methods(methods or ())
    measures, skipped = evaluation.ready(metrics or (), weights_dir=weights_dir)
    scored: dict[str, Any] = {
        "datasets": tuple(pairs),
        "protocols": tuple(dict.fromkeys(map(evaluation.protocol, protocols or ["prenet"]))),
        "limit": limit,
        "metrics": measures,
        "exact": exact,
        "reading": ReadOptions(layout=layout, rainy_side=rainy_side, crop_to_common=crop_to_common),
    }
    parsed = [parse_average(text) for text in dict.fromkeys(averages or ())]
    request = evaluation.EvalRequest(
        sources=(
            *(AveragesRequest(by=each, frames=frames, **scored) for each, frames in parsed),
            *(
                evaluation.MethodRequest(
                    method=row.method,
                    weights=row.weights,
                    label=row.label,
                    keep=folder,
                    parts=parts,
                    device=device,
                    precision=precision,
                    tile=tile_side(tile),
                    blocks=blocks,
                    effort=effort,
                    stop_below=stop_below,
                    **scored,
                )
                for row in chosen.rows
            ),
        ),
        output=folder,
        overwrite=overwrite,
        bars=tuple(fail_below or ()),
        baseline=None if baseline is None else earlier.load(baseline, max_drop or ()),
        report=report,
        published=published_figures(row.method for row in chosen.rows) if published else (),
        by=tuple(dict.fromkeys(by or ())),
        notices=(*skipped, *chosen.notices),
    )
    with scoring(quiet=quiet) as advance:
        result = evaluation.run(request, advance)
    show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)
