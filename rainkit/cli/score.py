"""``rainkit score``: how well pictures that were restored elsewhere match their targets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rainkit.cli import scoring as o
from rainkit.cli.options import CropToCommon, Json, Overwrite, Quiet
from rainkit.errors import UsageError
from rainkit.files import counted

__all__ = ["score"]


def score(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESTORED... TARGET",
            help="Folders of restored pictures, or one picture; the last path is their target.",
            show_default=False,
        ),
    ],
    rainy: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="DIR",
            help="The pictures before deraining, for the input's row and the gains.",
        ),
    ] = None,
    limit: o.Limit = None,
    crop_to_common: CropToCommon = False,
    protocols: o.Protocols = None,
    metrics: o.Metrics = None,
    by: o.By = None,
    folder: o.Output = None,
    report: o.Report = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    fail_below: o.FailBelow = None,
) -> None:
    """Score restored pictures against their targets, which are matched by name.

    For example:

      rainkit score ours/ theirs/ clean/ --input rainy/ --metric gmsd

    Exit codes: 0 all scored, 1 a picture cannot be read, 2 wrong use or files
    that do not pair up, 3 a bar missed.
    """
    from rainkit import evaluation
    from rainkit.evaluation.folders import folder_labels
    from rainkit.evaluation.metrics.protocols import chosen_protocols

    if len(paths) < 2:
        raise UsageError(
            f"{counted(len(paths), 'path')}: give RESTORED and TARGET; rainkit eval PAIRS"
            " --method NAME scores methods"
        )
    chosen, exact = chosen_protocols(protocols or ["prenet"])
    *restored, target = paths
    request = evaluation.EvalRequest(
        sources=tuple(
            evaluation.FoldersRequest(
                restored=each,
                target=target,
                rainy=rainy,
                crop_to_common=crop_to_common,
                label=label,
                protocols=chosen,
                limit=limit,
                exact=exact,
            )
            for each, label in zip(restored, folder_labels(restored), strict=True)
        ),
        metrics=tuple(metrics or ()),
        output=folder,
        overwrite=overwrite,
        bars=tuple(fail_below or ()),
        report=report,
        by=tuple(dict.fromkeys(by or ())),
    )
    with o.progress(quiet=quiet) as advance:
        result = evaluation.run(request, advance)
    o.show(result, as_json=as_json, quiet=quiet)
    raise typer.Exit(result.exit_code)
