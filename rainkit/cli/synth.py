"""``rainkit synth``: options to one synthesis request."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from rainkit.cli import synth_options as o
from rainkit.cli.synth_recipe import (
    RAIN,
    command_line,
    rain_settings,
    refuse_others,
    shard,
)
from rainkit.cli.synth_results import make_page, progress, tell_cut, tell_made, tell_verified
from rainkit.errors import UsageError

__all__ = ["synth"]

_TELLING = {"config", "as_json", "quiet"}
_VERIFYING = _TELLING | {"from_manifest", "verify", "photos", "workers"}
_CUTTING = _TELLING | {"from_video", "out", "sequence", "overwrite"}
_REBUILDING = _TELLING | {
    *("from_manifest", "photos", "out", "depth", "depth_format", "depth_camera"),
    *("layout", "file_format", "workers", "report"),
}
"""Parameters that mean something to what is not a synthesis."""


def synth(
    context: typer.Context,
    photos: o.Photos = None,
    out: o.Out = None,
    preset: o.Preset = "default",
    level: o.Level = None,
    rate: o.Rate = None,
    streak_gain: o.StreakGain = None,
    wind: o.Wind = None,
    dim: o.Dim = None,
    gamma: o.Gamma = None,
    light: o.Light = None,
    settings: o.Settings = None,
    noise: o.Noise = None,
    fog_gain: o.FogGain = None,
    depth: o.Depth = None,
    depth_format: o.DepthFormat = None,
    depth_camera: o.DepthCamera = None,
    distance: o.Distance = None,
    variants: o.Variants = 1,
    test_scenes: o.TestScenes = None,
    group_by: o.GroupBy = None,
    split_seed: o.SplitSeed = 0,
    sequence: o.Sequence = None,
    fps: o.Fps = None,
    from_video: o.FromVideo = None,
    layout: o.Layout = None,
    file_format: o.FileFormat = None,
    manifest_format: o.ManifestFormat = "jsonl",
    save: o.Save = "",
    overwrite: o.Overwrite = False,
    report: o.Report = False,
    seed: o.Seed = 0,
    config: o.Config = None,
    workers: o.Workers = None,
    part: o.Part = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    from_manifest: o.FromManifest = None,
    verify: o.Verify = False,
) -> None:
    """Make rainy and clean pairs from clean photographs.

    Writes OUTPUT/input, OUTPUT/target (equal names) and OUTPUT/manifest.jsonl, which says how each
    picture was made. The same photographs, options and seed make the same pixels. A command that
    was stopped goes on when it is repeated.

    For example:

      rainkit synth photos/ -o pairs/

      rainkit synth photos/ -o pairs/ --preset rain100h --variants 5

      rainkit synth photos/ -o pairs/ --level light --level heavy --variants 12 --test-scenes 25

      rainkit synth --from pairs/manifest.jsonl --verify
    """
    if verify:
        refuse_others(context, "--verify", _VERIFYING)
        _verify(from_manifest, photos or [], workers, as_json=as_json, quiet=quiet)
        return
    if out is None:
        raise UsageError("no folder for the dataset: add -o DIR")
    if from_video is not None:
        refuse_others(context, "--from-video", _CUTTING)
        _cut(from_video, out, sequence, overwrite=overwrite, as_json=as_json, quiet=quiet)
        return
    from rainkit.synthesis.run import DepthChoice, SynthRequest, synthesise

    source = DepthChoice(name=depth, form=depth_format, camera=depth_camera)
    if from_manifest is not None:
        from rainkit.synthesis.rebuild import RebuildRequest, rebuild

        refuse_others(context, "--from", _REBUILDING)

        again = RebuildRequest(
            manifest=from_manifest,
            out=out,
            photos=tuple(photos or ()),
            depth=source,
            layout=layout,
            format=file_format,
            workers=workers,
        )
        with progress(quiet) as tell:
            made = rebuild(again, tell)
        page = make_page(made, workers, quiet=quiet) if report else None
        tell_made(made, page, as_json=as_json, quiet=quiet)
        return
    if not photos:
        raise UsageError("no photographs: name files, folders or patterns")
    given = {
        "streak_gain": streak_gain,
        "fog_gain": fog_gain,
        "wind_m_s": wind,
        "dim": dim,
        "gamma": gamma,
        "light": light,
    }
    recipe = context.meta.get(RAIN, {})
    if noise is not None and (recipe or settings or level or rate or any(given.values())):
        raise UsageError("--noise: takes no options of rain; leave them out")
    request = SynthRequest(
        inputs=tuple(photos),
        out=out,
        settings=rain_settings(preset, recipe, given, settings or ()),
        preset=preset,
        levels=tuple(level or ()),
        rates=tuple(rate or ()),
        noise=noise,
        distance=distance,
        depth=source,
        variants=variants,
        sequence=sequence,
        fps=fps,
        test_scenes=test_scenes,
        group_by=group_by,
        split_seed=split_seed,
        layout=layout or "restormer",
        save=tuple(name.strip() for name in save.split(",") if name.strip()),
        seed=seed,
        format=file_format or "png",
        manifest_format=manifest_format,
        overwrite=overwrite,
        workers=workers,
        shard=shard(part),
        command=command_line(sys.argv[1:]),
    )
    if fog_gain and distance is None and request.depth_name == "none":
        raise UsageError(
            "--fog-gain: fog needs to know how far away things are: add --depth auto or "
            "--distance METRES"
        )
    with progress(quiet) as tell:
        result = synthesise(request, tell)
    page = make_page(result, workers, quiet=quiet) if report else None
    tell_made(result, page, as_json=as_json, quiet=quiet)


def _verify(
    path: Path | None, roots: list[str], workers: int | None, *, as_json: bool, quiet: bool
) -> None:
    from rainkit.synthesis.verify import verify

    if path is None:
        raise UsageError("--verify: name the dataset's manifest with --from MANIFEST")
    if len(roots) > 1:
        raise UsageError("--verify: give one folder, the dataset's")
    root = Path(roots[0]) if roots else None
    with progress(quiet) as tell:
        result = verify(
            path, root, workers=workers, on_progress=lambda n, of: tell("verifying", n, of)
        )
    tell_verified(result, as_json=as_json, quiet=quiet)


def _cut(
    video: Path, out: Path, frames: int | None, *, overwrite: bool, as_json: bool, quiet: bool
) -> None:
    from rainkit.synthesis.from_video import VideoRequest, cut_scenes

    most = VideoRequest.frames if frames is None else frames
    request = VideoRequest(video=video, out=out, frames=most, overwrite=overwrite)
    with progress(quiet) as tell:
        result = cut_scenes(request, lambda what, done: tell(what, done, None))
    tell_cut(result, as_json=as_json, quiet=quiet)
