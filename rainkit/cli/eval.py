"""``rainkit eval``: how well a method, or a folder of pictures, restores the clean pictures."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import typer

from rainkit.cli import eval_options as o
from rainkit.cli import eval_results, eval_sources
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
from rainkit.errors import UsageError

if TYPE_CHECKING:
    from rainkit.evaluation.run import Source

__all__ = ["evaluate"]


def evaluate(
    paths: o.Paths,
    methods: o.Methods = None,
    every: o.All = False,
    weights: Weights = None,
    ablation: o.Ablation = None,
    parts: o.Parts = False,
    averages: o.Averages = None,
    rainy: o.Input = None,
    no_target: o.NoTarget = False,
    limit: o.Limit = None,
    protocols: o.Protocols = None,
    metrics: o.Metrics = None,
    weights_dir: o.WeightsDir = None,
    exact: o.Exact = False,
    by: o.By = None,
    folder: o.Output = None,
    report: o.Report = False,
    published: o.Published = False,
    save: o.Save = None,
    overwrite: o.Overwrite = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    fail_below: o.FailBelow = None,
    baseline: o.Baseline = None,
    max_drop: o.MaxDrop = None,
    downstream: o.Downstream = None,
    model: o.Model = None,
    labels: o.Labels = None,
    classes: o.Classes = None,
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
    """Score methods on pairs, or restored pictures against their targets.

    PSNR and SSIM are those of a named protocol. Tables start with the input:
    the rainy pictures as they are. With --output, derained pictures are kept
    in its folder "restored" and used again the next time.

    For example:

      rainkit eval -m granet -m resguidenet pairs/ -o scores/ --report

      rainkit eval restored/ clean/ --input rainy/ --metric gmsd

      rainkit eval --no-target -m granet photos/

      rainkit eval compare scores-a/ scores-b/

    Exit codes: 0 all scored, 1 a picture, or a file that is needed, cannot be
    used, 2 wrong use or files that do not pair up, 3 a bar missed.
    """
    from rainkit import evaluation
    from rainkit.datasets.pairs import ReadOptions
    from rainkit.evaluation import baseline as earlier
    from rainkit.evaluation.downstream import DownstreamRequest

    reading = ReadOptions(layout=layout, rainy_side=rainy_side, crop_to_common=crop_to_common)
    running: dict[str, Any] = {
        "device": device,
        "precision": precision,
        "tile": tile_side(tile),
        "blocks": blocks,
        "effort": effort,
        "stop_below": stop_below,
    }
    if not (methods or every):
        of_methods = {
            "--ablation": ablation,
            "--weights": weights,
            "--parts": parts,
            "--save": save,
            "--blocks": blocks,
            "--effort": effort != "full",
            "--stop-below": stop_below,
        }
        eval_sources.refuse(of_methods, "needs --method", "need --method")
    chosen = eval_sources.chosen(methods or (), every=every, weights=weights, ablation=ablation)
    if no_target:
        of_targets = {
            "--parts": parts,
            "--average": averages,
            "--protocol": protocols,
            "--exact": exact,
            "--by": by,
            "--report": report,
            "--published": published,
            "--save": save,
            "--fail-below": fail_below,
            "--baseline": baseline,
            "--max-drop": max_drop,
            "--downstream": downstream,
            "--model": model,
            "--labels": labels,
            "--class": classes,
            "--layout": layout,
            "--rainy-side": rainy_side,
        }
        wrong = "not go with --no-target"
        eval_sources.refuse(of_targets, f"does {wrong}", f"do {wrong}")
        make = functools.partial(evaluation.RestorerRequest, **running)
        request = eval_sources.unpaired(
            paths,
            eval_sources.methods(chosen.rows, make, folder),
            rainy,
            names=metrics or (),
            weights_dir=weights_dir,
            limit=limit,
            crop_to_common=crop_to_common,
            notices=chosen.notices,
        )
        eval_results.evaluate_unpaired(
            request, folder, overwrite=overwrite, as_json=as_json, quiet=quiet
        )
    if published and not (report and chosen.rows):
        raise UsageError("--published needs --report and methods")
    if max_drop and baseline is None:
        raise UsageError("--max-drop goes with --baseline METRICS.JSON")
    if downstream is None and (model or labels or classes):
        raise UsageError("--model, --labels and --class go with --downstream TASK")
    if downstream is not None and model is None:
        raise UsageError(f"--downstream {downstream}: name its model, too (--model FILE)")
    on_pairs = bool(chosen.rows or averages)
    have = ("target", "input") if on_pairs or rainy is not None else ("target",)
    measures, skipped = evaluation.ready(metrics or (), weights_dir=weights_dir, have=have)
    scoring: dict[str, Any] = {
        "protocols": tuple(dict.fromkeys(map(evaluation.protocol, protocols or ["prenet"]))),
        "limit": limit,
        "metrics": measures,
        "exact": exact,
    }
    sources: tuple[Source, ...]
    if on_pairs:
        if rainy is not None:
            raise UsageError(
                "--input goes without --method: a dataset holds its own rainy pictures"
            )
        if save is not None and len(chosen.rows) > 1:
            raise UsageError("--save goes with one method; with --output, pictures are kept there")
        scoring |= {"datasets": tuple(paths), "reading": reading}
        scored = functools.partial(
            evaluation.MethodRequest,
            save=save,
            overwrite=overwrite,
            parts=parts,
            **running,
            **scoring,
        )
        sources = (
            *eval_sources.averages(averages or (), **scoring),
            *eval_sources.methods(chosen.rows, scored, folder),
        )
    else:
        of_pairs = {"--layout": layout, "--rainy-side": rainy_side}
        restored, target = eval_sources.folders(paths)
        eval_sources.refuse(of_pairs, "needs --method", "need --method")
        sources = (
            evaluation.FoldersRequest(
                restored=restored,
                target=target,
                rainy=rainy,
                crop_to_common=crop_to_common,
                **scoring,
            ),
        )
    names = [row.method for row in chosen.rows]
    whole = evaluation.EvalRequest(
        sources=sources,
        output=folder,
        overwrite=overwrite,
        bars=tuple(fail_below or ()),
        baseline=None if baseline is None else earlier.load(baseline, max_drop or ()),
        report=report,
        published=eval_sources.published_figures(names) if published else (),
        by=tuple(dict.fromkeys(by or ())),
        downstream=None
        if downstream is None or model is None
        else DownstreamRequest(
            task=downstream,
            model=model,
            labels=labels,
            classes=tuple(classes or ()),
            device=device,
        ),
        notices=(*skipped, *chosen.notices),
    )
    with eval_results.scoring(quiet=quiet) as advance:
        result = evaluation.run(whole, advance)
    eval_results.show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)
