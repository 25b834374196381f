"""``rainkit data``: what sets share, one set made of several, averages of frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.markup import escape

from rainkit.cli.console import errors, output, print_json, print_table
from rainkit.cli.synth_results import progress
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.datasets.duplicates import AuditResult, Overlap

__all__ = ["app", "audit", "average", "mix"]

app = typer.Typer(help="Look into sets of pairs, mix them, average frames.", no_args_is_help=True)

_LISTED = 40
"""Leaks that are printed before it is said how many more there are."""

_Limit: TypeAlias = Annotated[
    int,
    typer.Option(
        help="Bits of 64 in which perceptual hashes of one scene may differ; other scenes differ "
        "in 14 and more."
    ),
]
_Workers: TypeAlias = Annotated[
    int | None, typer.Option(help="Processes. Default: as many as pay.", min=1)
]
_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but what went wrong.")
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
    workers: _Workers = None,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Find scenes that sets share, such as those trained on and tested on.

    Of pairs the clean pictures are compared. A single set is searched for
    scenes that it has twice.

    Exit codes: 0 none found, 1 some found or pictures that cannot be read,
    2 wrong use.

    For example:

      rainkit data audit pairs/train pairs/test

      rainkit data audit photos/ Rain100H/test Rain100L/test
    """
    from rainkit.datasets.duplicates import AuditRequest
    from rainkit.datasets.duplicates import audit as run

    request = AuditRequest(sets=tuple(sets), limit=limit, photos=photos, workers=workers)
    with progress(quiet) as tell:
        result = run(request, lambda done, total: tell("looking", done, total))
    for name, reason in result.failures:
        _complain(name, reason)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        _print_audit(result)
    if result.leaks or result.failures:
        raise typer.Exit(1)


@app.command()
def mix(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Datasets of pairs, or a split of one (pairs/train), and how many pairs to take. "
            "Without a number: all.",
            metavar="SET:COUNT...",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the dataset.", metavar="DIR")
    ],
    seed: Annotated[int, typer.Option(help="Decides which pairs are taken.", min=0)] = 0,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="A set whose scenes are left out, such as one to test on; may be repeated.",
            metavar="SET",
        ),
    ] = None,
    limit: _Limit = 8,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy files; the default is to make hard links.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over an earlier mix.")
    ] = False,
    workers: _Workers = None,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Make one dataset of pairs from several.

    Writes OUTPUT/input, OUTPUT/target (equal names) and OUTPUT/mix.json, which
    says where each pair comes from. The same seed takes the same pairs.

    For example:

      rainkit data mix rain1/train:4000 rain2/train:4000 -o mixed/

      rainkit data mix a:4000 b:4000 -o mixed/ --against Rain100H/test
    """
    from rainkit.datasets.merge import MixRequest, MixSource
    from rainkit.datasets.merge import mix as run

    request = MixRequest(
        sources=tuple(map(MixSource.parse, sources)),
        out=out,
        seed=seed,
        against=tuple(against or ()),
        limit=limit,
        copy=copy,
        overwrite=overwrite,
        workers=workers,
    )
    with progress(quiet) as tell:
        result = run(request, tell)
    for name, reason in result.failures:
        _complain(name, reason)
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
        _print(f"{counted(result.pairs, 'pair')} in {result.out}")
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
    by: Annotated[str, typer.Option(help="mean or median.")] = "mean",
    frames: Annotated[
        int | None, typer.Option(help="Frames of each scene to take. Default: all.", min=1)
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
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> None:
    """Derain static scenes by the mean or the median of their frames.

    Writes OUTPUT/average and, where it is known, the scene without rain to
    OUTPUT/clean and its first frame to OUTPUT/rainy, under equal names.

    For example:

      rainkit data average scenes/ -o still/ --by median --frames 10

      rainkit eval still/average still/clean

      rainkit data average scenes/ -o pairs/ --pairs
    """
    from rainkit.datasets.sequences import AverageRequest
    from rainkit.datasets.sequences import average as run

    request = AverageRequest(
        scenes=scenes,
        out=out,
        by=by,
        frames=frames,
        pairs=pairs,
        overwrite=overwrite,
    )
    with progress(quiet) as tell:
        result = run(request, lambda done, total: tell("averaging", done, total))
    for name, reason in result.failures:
        _complain(name, reason)
    if as_json:
        print_json(result.to_data())
    elif not quiet:
        least, most = result.frames
        number = f"{least}" if least == most else f"{least} to {most}"
        _print(
            f"{counted(result.pictures, 'average')} of {number} frames, "
            f"{counted(result.scenes, 'scene')}, in {result.out}"
        )
    if result.failures:
        raise typer.Exit(1)


def _print_audit(result: AuditResult) -> None:
    for overlap in result.overlaps:
        _print(_said(overlap))
    leaks = [leak for overlap in result.overlaps for leak in overlap.leaks]
    if not leaks:
        return
    output.print()
    print_table(
        ("file", "like", "bits apart"),
        ((leak.a, leak.b, str(leak.distance)) for leak in leaks[:_LISTED]),
        folded={"file", "like"},
        figures={"bits apart"},
    )
    if len(leaks) > _LISTED:
        _print(f"and {len(leaks) - _LISTED} more; --json lists all")


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


def _print(text: str) -> None:
    output.print(escape(text), highlight=False, soft_wrap=True)


def _complain(name: str, reason: str) -> None:
    text = reason if name in reason else f"{name}: {reason}"
    errors.print(f"[bold red]left out:[/] {escape(text)}", highlight=False, soft_wrap=True)
