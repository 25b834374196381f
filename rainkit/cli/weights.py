"""``rainkit weights``: list, get, inspect, verify, import and pack weights files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import TaskID

from rainkit.cli import completion
from rainkit.cli.commands import CommandLine
from rainkit.cli.console import print_json, print_table, progress_bars, status, tell, warn
from rainkit.cli.options import INPUT, OUTPUT, Json, Overwrite
from rainkit.files import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rainkit.weights import Got, Imported, Inspection, ListedWeights, Packed, Verification

__all__ = ["app", "get", "import_file", "inspect", "list_weights", "pack", "verify"]

app = CommandLine(
    name="weights",
    help="List and fetch weights, show what files hold, verify them, import those of other "
    "programs, and pack those of a run.",
)


@app.command("list")
def list_weights(
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            help="Methods; by default all that are installed, and what was fetched.",
            metavar="METHOD...",
            autocompletion=completion.methods,
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the weights that methods come with, and where they are.

    Exit codes: 0 all are good or can be fetched, 1 some are broken, 2 wrong use.

    For example:

      rainkit weights list
    """
    from rainkit import plugins, weights

    found = weights.list_weights(*(methods or ()))
    if as_json:
        print_json([each.to_data() for each in found])
    elif not found:
        warn("no weights" if plugins.installed() else plugins.none_installed())
    else:
        _print_listed(found)
    if any(each.problem for each in found):
        raise typer.Exit(1)


def _print_listed(found: Sequence[ListedWeights]) -> None:
    where = {
        "package": "in the plugin",
        "cache": "fetched",
        "missing": "to be fetched: rainkit weights get",
        "broken": "BROKEN",
    }
    # Many are of the same data, whose description would leave no room for the names.
    data = list(dict.fromkeys(each.trained_on for each in found if each.trained_on))
    print_table(
        ("weights", "variant", "where", "kB", "licence", "data"),
        (
            (
                f"{each.name} (default)" if each.default else each.name,
                each.variant or "not named",
                where[each.where],
                "" if each.size is None else f"{each.size / 1000:,.0f}",
                each.licence,
                str(data.index(each.trained_on) + 1) if each.trained_on else "",
            )
            for each in found
        ),
        folded={"weights"},
        figures={"kB"},
    )
    for number, trained_on in enumerate(data, 1):
        tell(f"{number}: trained on {trained_on}")
    for each in found:
        if each.problem:
            warn(each.problem, label="broken:", style="bold red")


@app.command()
def get(
    which: Annotated[
        list[str],
        typer.Argument(
            help="METHOD.TAG; a method, for all its weights; an address such as "
            "hf://OWNER/REPO/FILE.safetensors of the Hugging Face hub (@REVISION may follow REPO), "
            "or https://...; #sha256=HEX behind an address says which hash the file must have.",
            metavar="WHICH...",
            autocompletion=completion.weights_names,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Fetch weights that a plugin does not bring itself, once, and check their hash.

    No other command fetches weights, unless the setting offline is false. Files come into the
    cache; --weights takes the name or address that was given here.

    For example:

      rainkit weights get granet.rain-v1

      rainkit weights get hf://somebody/derain/net.safetensors
    """
    from rainkit import weights

    done: list[Got] = []
    with progress_bars() as bars:
        for each in which:
            task = bars.add_task(each, total=None)

            def advance(came: int, total: int | None, task: TaskID = task) -> None:
                bars.update(task, completed=came, total=total)

            done += weights.get(each, advance)
            bars.remove_task(task)
    if as_json:
        print_json([each.to_data() for each in done])
        return
    for got in done:
        tell(f"{got.name}: {'fetched' if got.fetched else 'is here'}, {got.path}")
        tell(f"  sha256 {got.sha256}, method {got.method or 'not named'}")
        if got.method is None:
            warn(
                "rainkit did not write this file; rainkit weights import makes weights of a method "
                "of it",
                label="note:",
                style="yellow",
            )


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A .safetensors file.", metavar="FILE")],
    tensors: Annotated[
        bool,
        typer.Option(
            "--tensors",
            help="List the names, shapes and types of all tensors.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the header of a weights file: network, training, scores.

    The method need not be installed.

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
            help="Files, METHOD.TAG, or methods; by default all weights that installed methods "
            "ship.",
            metavar="WHICH...",
            autocompletion=completion.weights_names,
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that weights are whole, fit their network, and give a picture.

    The hash is compared, too, if a plugin ships the weights.

    Exit codes: 0 all are good, 1 some are not, 2 wrong use.

    For example:

      rainkit weights verify

      rainkit weights verify runs/mine/last.safetensors
    """
    from rainkit import plugins, weights

    with status("verifying"):
        found = weights.verify(*(which or ()))
    if as_json:
        print_json([each.to_data() for each in found])
    elif found:
        _print_verifications(found)
    else:
        line = "no installed method ships weights"
        warn(line if plugins.installed() else plugins.none_installed())
    if any(each.problem for each in found):
        raise typer.Exit(1)


@app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint of PyTorch (.pth, .pt, .ckpt), or a .safetensors file that rainkit "
            "did not write.",
            metavar="FILE",
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="Method whose network the file fits.",
            autocompletion=completion.methods,
            rich_help_panel=INPUT,
        ),
    ],
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Variant of the method that the file is of.",
            autocompletion=completion.variants,
            show_default="the first whose network it fits",
            rich_help_panel=INPUT,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="network.NAME=VALUE",
            help="One setting of the network that differs from the variant.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The .safetensors file to write.",
            show_default="beside FILE",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a weights file of a checkpoint that the authors of a paper released.

    Every tensor must fit the network of the method, and only tensors are read:
    a file that holds code is refused.

    For example:

      rainkit weights import net_latest.pth -m prenet -o heavy.safetensors
    """
    from rainkit import plugins, weights

    done = weights.import_checkpoint(
        plugins.get(method),
        file,
        out,
        variant=variant,
        settings=tuple(settings or ()),
        overwrite=overwrite,
    )
    if as_json:
        print_json(done.to_data())
        return
    _print_imported(done)


@app.command()
def pack(
    run: Annotated[Path, typer.Argument(help="Run folder of rainkit train.", metavar="RUN")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder to write to (default: RUN/packed).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            help="Second half of the weights' name, METHOD.TAG.",
            show_default="rain-vN, a new N",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            metavar="SPDX",
            help="SPDX name of the weights' licence.",
            show_default="that of the method's code",
        ),
    ] = None,
    last: Annotated[
        bool,
        typer.Option("--last", help="Pack the last weights instead of those that validated best."),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace an earlier pack of this tag.", rich_help_panel=OUTPUT
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the files that a plugin ships out of a run: weights and model card.

    Writes OUTPUT/TAG.safetensors and OUTPUT/TAG.md, and prints the declaration
    to paste into the plugin.

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
    named = found.method or "not named: rainkit did not write this file"
    tell(f"{found.path}: {found.size:,} bytes, sha256 {found.sha256}")
    tell(f"method {named}" + (f", variant {found.variant}" if found.variant else ""))
    tell(f"{found.parameters:,} parameters in {counted(len(found.tensors), 'tensor')}")
    rows = [(key, _told(text)) for key, text in sorted(found.header.items())]
    rows = [row for row in rows if row[0] not in ("method", "variant")]
    if rows:
        print_table(("entry", "value"), rows, folded={"value"}, title="Header")


def _told(text: str) -> str:
    """Return a JSON object line by line, and any other text as it is."""
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


def _print_imported(done: Imported) -> None:
    tell(f"{done.path}: {done.method}, variant {done.variant}, {done.parameters:,} parameters")
    if done.inside not in ("", "module"):
        warn(f"these are the tensors of {done.inside} in {done.source}", label="note:")
    if done.left_out:
        warn(f"{counted(len(done.left_out), 'tensor')} of other networks left out", label="note:")
    if done.alike:
        kinds = "variant" if len(done.alike) == 1 else "variants"
        warn(
            f"its tensors fit the {kinds} {', '.join(done.alike)} as well: if the file is of such "
            "a network, name it with --variant",
            label="note:",
        )


def _print_packed(packed: Packed) -> None:
    # The declaration alone goes to standard output, so that it can be sent into a file.
    warn(str(packed.weights))
    warn(str(packed.card))
    for note in packed.notes:
        warn(f"note: {note}")
    warn("copy the weights into weights/ of the plugin's package and declare them:")
    tell(packed.snippet)
