"""The options of ``rainkit synth``, in the panels of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from rainkit.cli.synth_recipe import read_recipe

__all__ = [
    "AsJson",
    "Config",
    "Depth",
    "DepthCamera",
    "DepthFormat",
    "Dim",
    "Distance",
    "FileFormat",
    "FogGain",
    "Fps",
    "FromManifest",
    "FromVideo",
    "Gamma",
    "GroupBy",
    "Layout",
    "Level",
    "Light",
    "ManifestFormat",
    "Noise",
    "Out",
    "Overwrite",
    "Part",
    "Photos",
    "Preset",
    "Quiet",
    "Rate",
    "Report",
    "Save",
    "Seed",
    "Sequence",
    "Settings",
    "SplitSeed",
    "StreakGain",
    "TestScenes",
    "Variants",
    "Verify",
    "Wind",
    "Workers",
]

_RAIN = "Rain"
_DEPTH = "Depth and fog"
_SCENES = "Scenes and splits"
_FILES = "Files"
_RUN = "How it runs"
_AGAIN = "Made before"

Photos: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PHOTOS",
        help="Clean photographs: files, folders or patterns. With --verify: the dataset's "
        "folder, if not the manifest's.",
        show_default=False,
    ),
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for the dataset.", metavar="DIR")
]
Preset: TypeAlias = Annotated[
    str,
    typer.Option(
        help="default, spa, rain12, rain100l, rain100h, wide, short, physical or misty.",
        rich_help_panel=_RAIN,
    ),
]
Level: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="drizzle, light, moderate, heavy or violent: draw rates in its bounds; may be "
        "repeated, then variants take turns.",
        rich_help_panel=_RAIN,
    ),
]
Rate: TypeAlias = Annotated[
    list[float] | None,
    typer.Option(
        help="Rain rate in mm/h; may be repeated, then variants take turns.",
        rich_help_panel=_RAIN,
    ),
]
StreakGain: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Optical thickness of streaks; 1 is physical.", rich_help_panel=_RAIN),
]
Wind: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Mean wind to the right of the picture in m/s.", rich_help_panel=_RAIN),
]
Dim: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Factor on the scene's brightness behind the rain.", rich_help_panel=_RAIN),
]
Gamma: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Tone of the scene behind the rain; above 1 is darker.", rich_help_panel=_RAIN
    ),
]
Light: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Blend in srgb (default) or linear light.", rich_help_panel=_RAIN),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting of the rain, such as fov_deg=45; may be repeated.",
        rich_help_panel=_RAIN,
    ),
]
Noise: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SIGMA",
        help="Instead of rain add Gaussian noise, of so many levels.",
        rich_help_panel=_RAIN,
    ),
]
FogGain: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Extinction by distant rain; 1 is physical.", rich_help_panel=_DEPTH),
]
Depth: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="auto|none|DIR|MODEL",
        help="Depth maps beside the photographs or else a guess; none; a folder of maps; or a "
        "network (a folder, or a Hugging Face name in the cache). Default: auto, but none for "
        "presets that imitate sets without depth.",
        rich_help_panel=_DEPTH,
    ),
]
DepthFormat: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="What maps hold: metres, kitti, nyu, mm, cityscapes, relative or disparity.",
        rich_help_panel=_DEPTH,
    ),
]
DepthCamera: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Camera file for cityscapes disparity maps.",
        rich_help_panel=_DEPTH,
    ),
]
Distance: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="METRES",
        help="Instead of depth: take scenes as flat, so far away.",
        rich_help_panel=_DEPTH,
    ),
]
Variants: TypeAlias = Annotated[
    int, typer.Option(help="Rains per photograph.", min=1, rich_help_panel=_SCENES)
]
TestScenes: TypeAlias = Annotated[
    int | None,
    typer.Option(
        help="Split into train and test, with so many scenes in test; photographs that look "
        "alike stay together.",
        min=1,
        rich_help_panel=_SCENES,
    ),
]
GroupBy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Also keep together the photographs in whose names its first (...) is the same.",
        rich_help_panel=_SCENES,
    ),
]
SplitSeed: TypeAlias = Annotated[
    int, typer.Option(help="Seed of the split.", min=0, rich_help_panel=_SCENES)
]
Sequence: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="FRAMES",
        help="Static time-lapse scenes: so many frames of each rain.",
        min=1,
        rich_help_panel=_SCENES,
    ),
]
Fps: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Frames a second of moving rain (default: frames without a common time).",
        rich_help_panel=_SCENES,
    ),
]
FromVideo: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Instead of drawing rain: cut time-lapse frames out of a video of it.",
        rich_help_panel=_SCENES,
    ),
]
Layout: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="restormer (default), rain100, ddn, did, spa, hf or wds.", rich_help_panel=_FILES
    ),
]
FileFormat: TypeAlias = Annotated[
    str | None,
    typer.Option("--format", help="png (default), or jpg (quality 95).", rich_help_panel=_FILES),
]
ManifestFormat: TypeAlias = Annotated[
    str,
    typer.Option(
        help="jsonl, or parquet as well; Hugging Face's table then is Parquet too.",
        rich_help_panel=_FILES,
    ),
]
Save: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="mask,trans",
        help="Side outputs: opacity of the streaks, transmission of the fog.",
        rich_help_panel=_FILES,
    ),
]
Overwrite: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Write into a folder that is not empty; the files that its manifest lists are "
        "deleted, and no other file is.",
        rich_help_panel=_FILES,
    ),
]
Report: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Make a page of samples and checks, OUTPUT/report.html.",
        rich_help_panel=_FILES,
    ),
]
Seed: TypeAlias = Annotated[
    int, typer.Option(help="Seed of the dataset.", min=0, rich_help_panel=_RUN)
]
Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="RECIPE.toml",
        help="Take options from its table synth and settings of the rain from its table rain; "
        "options given here win.",
        callback=read_recipe,
        is_eager=True,
        rich_help_panel=_RUN,
    ),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(help="Processes (default: as many as pay).", min=1, rich_help_panel=_RUN),
]
Part: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Make the I-th of N parts; the last one to end joins them.",
        rich_help_panel=_RUN,
    ),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_RUN)
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing but what failed.", rich_help_panel=_RUN),
]
FromManifest: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="MANIFEST",
        help="Make this dataset again in OUTPUT, from its own clean pictures or from PHOTOS.",
        rich_help_panel=_AGAIN,
    ),
]
Verify: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="With --from: write nothing; draw every picture again and compare.",
        rich_help_panel=_AGAIN,
    ),
]
