"""``rainkit data``: audit, merge, average, cut frames, rebuild and verify datasets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from rainkit import choices
from rainkit.cli.commands import CommandLine
from rainkit.cli.console import print_json, print_table, tell, warn
from rainkit.cli.options import Json, Quiet, choice, local_workers
from rainkit.cli.synth import progress, show_dataset, write_page
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.datasets.duplicates import AuditResult, Overlap
    from rainkit.synthesis.verify import VerifyResult

__all__ = ["app", "audit", "average", "frames", "merge", "rebuild", "verify"]

app = CommandLine(
    name="data", help="Check datasets against each other, merge, average, rebuild and verify them."
)

_MOST_LEAKS = 40
"""Number of leaks that are printed."""

_MOST_FINDINGS = 20
"""Number of findings of a verification that are printed."""

_Limit: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Bits of 64 in which perceptual hashes of one scene may differ. Other scenes differ "
        "in 14 and more.",
    ),
]
_Workers: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", help="Processes. Default: as many as pay.", min=1)
]


@app.command()
def audit(
    sets: Annotated[
        list[Path],
        typer.Argument(help="Folders of pairs or of photographs.", metavar="SET..."),
    ],
    limit: _Limit = 8,
    photos: Annotated[
        bool, typer.Option("--photos", help="Take all folders as photographs, not as pairs.")
    ] = False,
    write_clean: Annotated[
        Path | None,
        typer.Option(
            metavar="LIST",
            help="Write the files of the first SET that may be used: those that show no scene of "
            "the other sets, or in a single set one file of each scene. Of pairs, each line holds "
            "the rainy and the clean file with a tab between them.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing LIST.")
    ] = False,
    workers: _Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find scenes that sets share, such as a training set and a test set.

    Of pairs the clean pictures are compared. A single set is searched for
    scenes that it holds twice. Every file of a scene is listed.

    Exit codes: 0 if no scene is shared, 1 if some are or pictures cannot be
    read, 2 for wrong use.

    For example:

      rainkit data audit pairs/train pairs/test

      rainkit data audit Rain800/train Rain100H/test --write-clean usable.txt
    """
    from rainkit.datasets.duplicates import AuditRequest, write_clean_list
    from rainkit.datasets.duplicates import audit as run

    request = AuditRequest(
        sets=tuple(sets),
        limit=limit,
        photos=photos,
        clean_list=write_clean,
        overwrite=overwrite,
        workers=local_workers(workers),
    )
    with progress(quiet) as advance:
        result = run(request, lambda done, total: advance("hashing", done, total))
    if write_clean is not None:
        write_clean_list(result, write_clean, overwrite=overwrite)
    _warn_of(result.failures)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        _print_audit(result)
        if write_clean is not None:
            first = next(iter(result.pictures))
            tell(f"{counted(len(result.usable), 'line')} of {first} in {write_clean}")
    if result.leaks or result.failures:
        raise typer.Exit(1)


@app.command()
def merge(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Datasets of pairs, or a split of one (pairs/train), and how many pairs to take "
            "of each. Default: all.",
            metavar="SET:COUNT...",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the dataset.", metavar="DIR")
    ],
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of pairs.", min=0)] = 0,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="A set whose scenes are left out, such as a test set. May be repeated.",
            metavar="SET",
        ),
    ] = None,
    limit: _Limit = 8,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy files instead of making hard links.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over an earlier merge.")
    ] = False,
    workers: _Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make one dataset of pairs from several.

    Writes OUTPUT/input, OUTPUT/target (equal names) and OUTPUT/mix.json, which
    says where each pair comes from. The same seed takes the same pairs.

    For example:

      rainkit data merge rain1/train:4000 rain2/train:4000 -o merged/

      rainkit data merge a:4000 b:4000 -o merged/ --against Rain100H/test
    """
    from rainkit.datasets.merge import MergeRequest, MergeSource
    from rainkit.datasets.merge import merge_datasets as run

    request = MergeRequest(
        sources=tuple(map(MergeSource.parse, sources)),
        out=out,
        seed=seed,
        against=tuple(against or ()),
        limit=limit,
        copy=copy,
        overwrite=overwrite,
        workers=local_workers(workers),
    )
    with progress(quiet) as advance:
        result = run(request, advance)
    _warn_of(result.failures)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        print_table(
            ("source", "pairs", "left out", "taken"),
            (
                (one.name, str(one.pairs), str(one.left_out), str(one.taken))
                for one in result.sources
            ),
            folded={"source"},
            figures={"pairs", "left out", "taken"},
        )
        tell(f"{counted(result.pairs, 'pair')} in {result.out}")
    if result.failures:
        raise typer.Exit(1)


@app.command()
def average(
    scenes: Annotated[
        Path,
        typer.Argument(
            help="Folder of scenes: a folder for each, with frames from one standpoint.",
            metavar="SCENES",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the averages.", metavar="DIR")
    ],
    by: Annotated[
        choices.Average, choice(choices.Average, "--by", help="How frames are averaged.")
    ] = choices.Average.MEAN,
    frames: Annotated[
        int | None,
        typer.Option(metavar="N", help="Frames of each scene to take. Default: all.", min=1),
    ] = None,
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help="Make training pairs instead: each frame, and the average of as many others.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over earlier averages.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Derain static scenes by the mean or the median of their frames.

    Writes OUTPUT/average and, where it is known, the scene without rain to
    OUTPUT/clean and its first frame to OUTPUT/rainy, under equal names.

    For example:

      rainkit data average scenes/ -o still/ --by median --frames 10

      rainkit score still/average still/clean

      rainkit data average scenes/ -o pairs/ --pairs
    """
    from rainkit.datasets.sequences import AverageRequest
    from rainkit.datasets.sequences import average_scenes as run

    request = AverageRequest(
        scenes=scenes,
        out=out,
        by=by,
        frames=frames,
        pairs=pairs,
        overwrite=overwrite,
    )
    with progress(quiet) as advance:
        result = run(request, lambda done, total: advance("averaging", done, total))
    _warn_of(result.failures)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        least, most = result.frames
        number = f"{least}" if least == most else f"{least} to {most}"
        tell(
            f"{counted(result.pictures, 'average')} of {number} frames, "
            f"{counted(result.scenes, 'scene')}, in {result.out}"
        )
    if result.failures:
        raise typer.Exit(1)


@app.command()
def frames(
    video: Annotated[Path, typer.Argument(help="Video of rain from a tripod.", metavar="VIDEO")],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the scenes.", metavar="DIR")
    ],
    most: Annotated[
        int | None,
        typer.Option("--frames", help="Frames of the scene to take. Default: 30.", metavar="N"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace scenes of the same name.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut static, registered time-lapse frames out of a video of rain.

    Takes the longest stretch in which the camera stood still, writes frames of
    it to DIR/seq/VIDEO-1 and says how far the camera drifted.

    For example:

      rainkit data frames tripod.mp4 -o scenes/
    """
    from rainkit.synthesis.from_video import VideoRequest, cut_clips

    number = VideoRequest.frames if most is None else most
    request = VideoRequest(video=video, out=out, frames=number, overwrite=overwrite)
    with progress(quiet) as advance:
        result = cut_clips(request, lambda what, done: advance(what, done, None))
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        tell(result.summary())
        tell(f"{counted(len(result.scenes), 'scene')} in {result.out} ({result.seconds:.1f} s)")


_Manifest: TypeAlias = Annotated[
    Path,
    typer.Argument(
        help="Manifest of a dataset that rainkit synth made, or the folder that holds it.",
        metavar="MANIFEST",
    ),
]


@app.command()
def rebuild(
    manifest: _Manifest,
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            help="The photographs the dataset was made from. Default: its own clean pictures.",
            metavar="PHOTOS",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="Empty folder to write to.", metavar="DIR")
    ] = None,
    layout: Annotated[
        choices.WrittenLayout | None,
        choice(
            choices.WrittenLayout,
            "--layout",
            help="Names of files and folders. Default: as before.",
        ),
    ] = None,
    file_format: Annotated[
        choices.FileFormat | None,
        choice(choices.FileFormat, "--format", help="Format of the pictures. Default: as before."),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option(
            help="Where to take depth from that does not lie beside the manifest, as in synth.",
            metavar="auto|DIR|MODEL",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="depth_format or depth_camera, as in synth. May be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Make a page of samples and checks, DIR/report.html.")
    ] = False,
    workers: _Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a dataset again from its manifest, perhaps in another layout.

    The pictures get the same pixels. Scenes that come out differently are left
    out and named.

    For example:

      rainkit data rebuild pairs/manifest.jsonl -o again/

      rainkit data rebuild manifest.jsonl photos/ -o again/ --layout wds
    """
    from rainkit.errors import UsageError
    from rainkit.synthesis.rebuild import RebuildRequest
    from rainkit.synthesis.rebuild import rebuild as run
    from rainkit.synthesis.request import DepthChoice, read_settings

    if out is None:
        raise UsageError("no folder for the dataset: add -o DIR")
    about = read_settings(settings or (), ("depth_format", "depth_camera"))
    request = RebuildRequest(
        manifest=manifest,
        out=out,
        photos=tuple(photos or ()),
        depth=DepthChoice(
            name=depth, form=about.get("depth_format"), camera=about.get("depth_camera")
        ),
        layout=layout,
        format=file_format,
        workers=local_workers(workers),
    )
    with progress(quiet) as advance:
        result = run(request, advance)
    page = write_page(result, local_workers(workers), quiet=quiet) if report else None
    show_dataset(result, page, as_json=as_json, quiet=quiet)


@app.command()
def verify(
    manifest: _Manifest,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the dataset, if the manifest does not lie in it.", metavar="DIR"
        ),
    ] = None,
    workers: _Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw every picture of a dataset again and compare it with the files.

    Writes nothing. Files that are missing or changed are named, and so are
    pictures that come out differently.

    Exit codes: 0 if all is as the manifest says, 1 if not, 2 for wrong use.

    For example:

      rainkit data verify pairs/manifest.jsonl
    """
    from rainkit.synthesis.verify import verify as run

    with progress(quiet) as advance:
        result = run(
            manifest,
            folder,
            workers=local_workers(workers),
            on_progress=lambda n, of: advance("verifying", n, of),
        )
    for note in result.notes:
        warn(note, label="note:", style="yellow")
    for finding in result.findings[:_MOST_FINDINGS]:
        warn(f"{finding.id}: {finding.what}", label=f"{finding.kind}:", style="bold red")
    if len(result.findings) > _MOST_FINDINGS:
        warn(f"and {len(result.findings) - _MOST_FINDINGS} more; --json lists all")
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        tell(_verdict(result))
    if result.findings:
        raise typer.Exit(1)


def _verdict(result: VerifyResult) -> str:
    wrong = len({finding.id for finding in result.findings})
    said = f"{wrong} differ" if wrong else "all as the manifest says"
    return (
        f"{counted(result.pairs, 'pair')}, {result.rendered} drawn again with equal pixels: "
        f"{said} ({result.seconds:.1f} s, {result.pictures_per_second:.0f} pictures/s)"
    )


def _print_audit(result: AuditResult) -> None:
    for overlap in result.overlaps:
        tell(_said(overlap))
    leaks = [leak for overlap in result.overlaps for leak in overlap.leaks]
    if not leaks:
        return
    tell("")
    print_table(
        ("file", "like", "bits apart"),
        ((leak.a, leak.b, str(leak.distance)) for leak in leaks[:_MOST_LEAKS]),
        folded={"file", "like"},
        figures={"bits apart"},
    )
    if len(leaks) > _MOST_LEAKS:
        tell(f"and {len(leaks) - _MOST_LEAKS} more; --json lists all")


def _said(overlap: Overlap) -> str:
    if overlap.a == overlap.b:
        number = counted(overlap.pictures_a, "different picture")
        if not overlap.leaks:
            return f"{overlap.a}: {number}, no scene twice"
        return f"{overlap.a}: {overlap.shared_a} of {number} show a scene that is there twice"
    if not overlap.leaks:
        return (
            f"{overlap.a} ({overlap.pictures_a}) and {overlap.b} ({overlap.pictures_b}): "
            "no scene in both"
        )
    return (
        f"{overlap.a} and {overlap.b}: {overlap.shared_a} of {overlap.pictures_a} and "
        f"{overlap.shared_b} of {overlap.pictures_b} clean pictures show the same scenes"
    )


def _warn_of(failures: Iterable[tuple[str, str]]) -> None:
    for name, reason in failures:
        text = reason if name in reason else f"{name}: {reason}"
        warn(text, label="left out:", style="bold red")
