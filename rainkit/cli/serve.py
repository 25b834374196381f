"""``rainkit serve``: a page and an HTTP interface that take rain out of photographs and clips."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from rainkit import choices
from rainkit.cli import completion
from rainkit.cli.console import tell, warn
from rainkit.cli.options import INPUT, RUNNING, Device, Precision, Quiet, Tile, WorkSize
from rainkit.errors import UsageError
from rainkit.runtime_options import RuntimeOptions

__all__ = ["serve"]

_ACCESS = "Who may use it"
_LIMITS = "Limits"
_CLIPS = "Limits of clips"

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[=WEIGHTS][@LABEL]",
            help="Offer this method; the first is the default. NAME may be auto: for each picture "
            "the method that suits its rain. Without it, auto and all methods that ship weights. "
            "Repeatable.",
            autocompletion=completion.methods_with_weights("auto"),
            rich_help_panel=INPUT,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen at; 0.0.0.0 for all of this machine.",
            metavar="ADDRESS",
            rich_help_panel=_ACCESS,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen at; 0 for a free one.",
            metavar="N",
            rich_help_panel=_ACCESS,
        ),
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="RAINKIT_TOKEN",
            help="Secret that clients must send. At another address than this machine's own, one "
            "is made up and printed if none is given.",
            metavar="SECRET",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    max_upload: Annotated[
        float,
        typer.Option(min=0.001, help="Largest file in MB.", metavar="MB", rich_help_panel=_LIMITS),
    ] = 64,
    max_pixels: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=268,
            help="Largest picture in megapixels.",
            metavar="MP",
            rich_help_panel=_LIMITS,
        ),
    ] = 64,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=86_400,
            help="Longest time of a picture in seconds.",
            metavar="SECONDS",
            rich_help_panel=_LIMITS,
        ),
    ] = 300,
    queue: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of pictures, and of clips, that may wait; more are refused for now.",
            metavar="N",
            rich_help_panel=_LIMITS,
        ),
    ] = 64,
    memory: Annotated[
        float,
        typer.Option(
            min=0.001,
            help="Size in MB of all files that may be held at a time.",
            metavar="MB",
            rich_help_panel=_LIMITS,
        ),
    ] = 1000,
    keep: Annotated[
        float,
        typer.Option(
            min=0.01,
            help="Minutes after which results that nobody asks for are forgotten.",
            metavar="MINUTES",
            rich_help_panel=_LIMITS,
        ),
    ] = 30,
    clip_size: Annotated[
        float,
        typer.Option(
            min=0.001, help="Largest file of a clip in MB.", metavar="MB", rich_help_panel=_CLIPS
        ),
    ] = 500,
    clip_length: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Longest playing time of a clip in seconds.",
            metavar="SECONDS",
            rich_help_panel=_CLIPS,
        ),
    ] = 120,
    clip_pixels: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=268,
            help="Largest frame of a clip in megapixels.",
            metavar="MP",
            rich_help_panel=_CLIPS,
        ),
    ] = 9,
    clip_timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=86_400,
            help="Longest time in seconds that a clip may take.",
            metavar="SECONDS",
            rich_help_panel=_CLIPS,
        ),
    ] = 3600,
    disk: Annotated[
        float,
        typer.Option(
            min=0.001,
            help="Size in MB of all files of clips, which are in a folder for temporary files.",
            metavar="MB",
            rich_help_panel=_CLIPS,
        ),
    ] = 4000,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="Number of worker processes, each with its networks; they share out the GPUs.",
            metavar="N",
            rich_help_panel=RUNNING,
        ),
    ] = 1,
    device: Device = "auto",
    precision: Precision = choices.Precision.AUTO,
    tile: Tile = "auto",
    work_size: WorkSize = "auto",
    quiet: Quiet = False,
) -> None:
    """Open a page that takes rain out of photographs and clips, with an HTTP interface.

    It is for this machine alone, unless --host says otherwise. Photographs stay in memory and are
    never written to the disk. Clips, which need PyAV, are in a folder for temporary files until
    their results were fetched. Ctrl-C ends it once what is being answered is done.

    Exit codes: 0 ended by Ctrl-C or SIGTERM, 1 failed, 2 wrong use.

    For example:

      rainkit serve

      rainkit serve -m granet --host 0.0.0.0 --port 8080
    """
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"rainkit serve needs packages that are not installed ({', '.join(missing)}): "
            "pip install fastapi prometheus-client python-multipart uvicorn"
        )
    options = RuntimeOptions.parse(
        device=device, precision=precision, tile=tile, work_size=work_size
    )
    from rainkit.serving.server import ServeRequest, serve

    request = ServeRequest(
        methods=tuple(methods or ()),
        host=host,
        port=port,
        token=token,
        workers=workers,
        options=options,
        upload_bytes=int(max_upload * 1e6),
        pixels=int(max_pixels * 1e6),
        seconds=timeout,
        places=queue,
        memory_bytes=int(memory * 1e6),
        keep_seconds=keep * 60,
        clip_bytes=int(clip_size * 1e6),
        clip_length=clip_length,
        clip_pixels=int(clip_pixels * 1e6),
        clip_seconds=clip_timeout,
        disk_bytes=int(disk * 1e6),
    )

    def started(address: str) -> None:
        tell(f"serving at {address}")
        if not quiet:
            warn("Ctrl-C ends it")

    if not quiet:
        warn("loading the network")
    done = serve(request, started)
    if not quiet:
        warn(f"ended: {done}")
