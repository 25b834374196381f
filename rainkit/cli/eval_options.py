"""The options of ``rainkit eval``, in the panels of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = [
    "AsJson",
    "Averages",
    "Baseline",
    "By",
    "Exact",
    "FailBelow",
    "Limit",
    "MaxDrop",
    "Methods",
    "Metrics",
    "Output",
    "Overwrite",
    "Parts",
    "Protocols",
    "Published",
    "Quiet",
    "Report",
    "Save",
    "Tile",
    "WeightsDir",
]

_WHAT = "What is scored"
_HOW = "How it is scored"
_OUT = "What comes out"
_GATE = "Bars for CI"

Methods: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-m",
        metavar="NAME[=WEIGHTS][@LABEL]",
        help="Derain with this method; WEIGHTS is a tag, a file, or a folder with weights of"
        " several variants. NAME may be all. Repeatable.",
        rich_help_panel=_WHAT,
    ),
]
Averages: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--average",
        metavar="BY[=FRAMES]",
        help="Score the mean or median of the frames of static scenes, too; repeatable.",
        rich_help_panel=_WHAT,
    ),
]
Parts: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--parts",
        help="Score what the methods make on the way, too: blocks, coarse pictures, masks.",
        rich_help_panel=_WHAT,
    ),
]
Limit: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="Score this many pictures per dataset.", rich_help_panel=_WHAT),
]
Protocols: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        help="prenet, restormer, basicsr, restormer-py, rgb or spanet; repeatable.",
        show_default="prenet",
        rich_help_panel=_HOW,
    ),
]
Metrics: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="Measure this besides, such as gmsd or mae; repeatable.",
        rich_help_panel=_HOW,
    ),
]
WeightsDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Folder of weights that lpips, dists and brisque need.",
        metavar="DIR",
        rich_help_panel=_HOW,
    ),
]
Exact: TypeAlias = Annotated[
    bool, typer.Option("--exact", help="Compute scores in float64.", rich_help_panel=_HOW)
]
By: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="CONDITION",
        help="Means by rate, preset, depth, veil or wind, of datasets that rainkit synth made;"
        " repeatable.",
        rich_help_panel=_HOW,
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write per_image.csv, metrics.json and table.md to this folder.",
        rich_help_panel=_OUT,
    ),
]
Report: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Write index.html, table.tex and plots to --output, too.",
        rich_help_panel=_OUT,
    ),
]
Published: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--published",
        help="With --report: set the papers' own figures beside.",
        rich_help_panel=_OUT,
    ),
]
Save: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Write the derained pictures to this folder, as PNG.", rich_help_panel=_OUT),
]
Overwrite: TypeAlias = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that are there.", rich_help_panel=_OUT),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print everything as JSON.", rich_help_panel=_OUT)
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print nothing but what failed or missed a bar.",
        rich_help_panel=_OUT,
    ),
]
FailBelow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="QUANTITY=NUMBER",
        help="Exit with 3 if a dataset's mean psnr, ssim, psnr_gain or ssim_gain is lower.",
        rich_help_panel=_GATE,
    ),
]
Baseline: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="METRICS.JSON",
        help="Exit with 3 if a mean fell below that of this earlier evaluation.",
        rich_help_panel=_GATE,
    ),
]
MaxDrop: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="QUANTITY=NUMBER",
        help="With --baseline: how far it may fall.",
        show_default="psnr=0.05, ssim=0.001",
        rich_help_panel=_GATE,
    ),
]
Tile: TypeAlias = Annotated[
    str, typer.Option(help="Side of the tiles of large pictures in pixels; 0 = whole pictures.")
]
