"""``rainkit weights``: what a file holds, whether it is good, and what a plugin ships of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from rainkit.cli.commands import CommandLine
from rainkit.cli.console import errors, print_json, print_table, tell, warn
from rainkit.files import counted

if TYPE_CHECKING:
    from rainkit.weights import Inspection, Packed, Verification

__all__ = ["app", "inspect", "pack", "verify"]

app = CommandLine(
    name="weights", help="Show what weights files hold, verify them, and pack those of a run."
)

_Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A .safetensors file.", metavar="FILE")],
    tensors: Annotated[
        bool, typer.Option("--tensors", help="List names, shapes and types of all tensors.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show what a weights file says of itself: network, training, scores.

    Neither the method nor torch is needed.

    For example:

      rainkit weights inspect runs/mine/best.safetensors
    """
    from rainkit import weights

    found = weights.inspect(file)
    if as_json:
        print_json(found.to_data())
        return
    _print_inspection(found)
    if tensors:
        print_table(
            ("tensor", "shape", "type"),
            ((t.name, "x".join(map(str, t.shape)) or "1", t.dtype) for t in found.tensors),
            folded={"tensor"},
            figures={"shape"},
            title="Tensors",
        )


@app.command()
def verify(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, METHOD.TAG, or methods. Without: all that installed methods ship.",
            metavar="WHICH...",
            show_default=False,
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Find out whether weights are whole, fit their network, and give a picture.

    Of what a plugin ships the hash is compared too.

    Exit codes: 0 all are good, 1 some are not, 2 wrong use.

    For example:

      rainkit weights verify

      rainkit weights verify runs/mine/last.safetensors
    """
    from rainkit import plugins, weights

    with errors.status("verifying"):
        found = weights.verify(*(which or ()))
    if as_json:
        print_json([each.to_data() for each in found])
    elif found:
        _print_verifications(found)
    else:
        line = "no installed method ships weights"
        _say(line if plugins.installed() else plugins.none_installed())
    if any(each.problem for each in found):
        raise typer.Exit(1)


@app.command()
def pack(
    run: Annotated[Path, typer.Argument(help="Folder of a rainkit train run.", metavar="RUN")],
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write to (default: RUN/packed)."),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            help="Second half of their name, METHOD.TAG.", show_default="rain-vN, a new N"
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(help="Of the weights, an SPDX name.", show_default="that of the code"),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Take the last weights, not those that validated best.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier pack of this tag.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Make what a plugin ships of a run: weights, their card, their declaration.

    Writes OUTPUT/TAG.safetensors and OUTPUT/TAG.md, and prints the lines to
    paste into the plugin.

    For example:

      rainkit weights pack runs/mine --tag rain-v2
    """
    from rainkit import weights

    packed = weights.pack(run, out, tag, licence, "last" if last else None, overwrite=overwrite)
    if as_json:
        print_json(packed.to_data())
        return
    _print_packed(packed)


def _print_inspection(found: Inspection) -> None:
    named = found.method or "none named: not a file of rainkit"
    _print(f"{found.path}: {found.size:,} bytes, sha256 {found.sha256}")
    _print(f"method {named}" + (f", variant {found.variant}" if found.variant else ""))
    _print(f"{found.parameters:,} parameters in {counted(len(found.tensors), 'tensor')}")
    rows = [(key, _told(text)) for key, text in sorted(found.header.items())]
    rows = [row for row in rows if row[0] not in ("method", "variant")]
    if rows:
        print_table(("entry", "what it says"), rows, folded={"what it says"}, title="Header")


def _told(text: str) -> str:
    """A JSON object line by line; anything else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if not isinstance(value, dict):
        return text
    return "\n".join(
        f"{name} = {inner if isinstance(inner, str) else json.dumps(inner)}"
        for name, inner in value.items()
    )


def _print_verifications(found: tuple[Verification, ...]) -> None:
    print_table(
        ("weights", "checks passed", "result"),
        ((each.name, ", ".join(each.held), "BAD" if each.problem else "good") for each in found),
        folded={"weights", "checks passed"},
    )
    for each in found:
        if each.problem:
            text = each.problem if each.name in each.problem else f"{each.name}: {each.problem}"
            warn(text, label="bad:", style="bold red")


def _print_packed(packed: Packed) -> None:
    # The declaration alone goes to standard output, so that it can be sent into a file.
    _say(f"{packed.weights}")
    _say(f"{packed.card}")
    for note in packed.notes:
        _say(f"note: {note}")
    _say("copy the weights into weights/ of the plugin's package and declare them:")
    _print(packed.snippet)


def _print(text: str) -> None:
    tell(text)


def _say(text: str) -> None:
    warn(text)
