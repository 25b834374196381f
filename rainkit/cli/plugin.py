"""``rainkit plugin``: start a plugin for a new method, and check what it promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from rainkit.cli import completion
from rainkit.cli.commands import CommandLine
from rainkit.cli.console import print_json, print_table, tell
from rainkit.cli.options import Json

if TYPE_CHECKING:
    from rainkit.plugin_kit import Checked

__all__ = ["app", "check", "new"]

app = CommandLine(name="plugin", help="Start a plugin for a new method, and check its promises.")

_STYLES = {"kept": "green", "broken": "bold red", "not made": "dim"}


@app.command()
def new(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Name of the method: lower case, digits, hyphens."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the project, new or empty.",
            show_default="rainkit-NAME",
        ),
    ] = None,
) -> None:
    """Write a complete plugin that passes its tests, for you to put a method into.

    For example:

      rainkit plugin new my-method

      pip install -e rainkit-my-method

      rainkit plugin check my-method
    """
    from rainkit.plugin_kit import create

    written = create(name, output)
    project = output or Path(f"rainkit-{name}")
    for path in written:
        tell(str(path))
    tell(f"next: pip install -e {project}, then rainkit plugin check {name}")


@app.command()
def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="An installed method, or PACKAGE:METHOD.",
            autocompletion=completion.methods,
        ),
    ],
    large: Annotated[
        list[str] | None,
        typer.Option(
            "--large",
            metavar="VARIANT",
            help="Check only the shapes of this variant, whose network would take minutes. "
            "Repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Test whether a method keeps what rainkit relies on; say what to change where it does not.

    Exit codes: 0 all promises are kept, 1 some are broken, 2 wrong use.
    """
    from rainkit.plugin_kit import check as run

    results = run(name, large=large or ())
    counts = Counter(result.state for result in results)
    if as_json:
        print_json({"method": name, "results": [asdict(result) for result in results]})
    else:
        _print(results)
        others = f", {counts['not made']} not made" if counts["not made"] else ""
        tell(f"{counts['kept']} promises kept, {counts['broken']} broken{others}")
    if counts["broken"]:
        raise typer.Exit(1)


def _print(results: list[Checked]) -> None:
    print_table(
        ("promise", "variant", "state", "what to change"),
        (
            (each.promise, each.variant, Text(each.state, _STYLES[each.state]), each.reason)
            for each in results
        ),
        folded={"promise", "what to change"},
    )
