"""Options that several commands share, panels of their help, and checks of what goes together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeAlias, TypeVar

import typer

from rainkit import choices, config
from rainkit.cli import completion
from rainkit.cli.completion import starting
from rainkit.errors import UsageError

__all__ = [
    "INPUT",
    "OUTPUT",
    "READING",
    "RUNNING",
    "Backend",
    "CropToCommon",
    "Device",
    "Effort",
    "EngineChoice",
    "Json",
    "Layout",
    "Overwrite",
    "Precision",
    "Quiet",
    "RainySide",
    "Strength",
    "Tile",
    "Variant",
    "Weights",
    "WorkSize",
    "choice",
    "local_workers",
    "refuse_together",
]

INPUT = "Input"
"""Panel of the options that say what a command works on."""
OUTPUT = "Output"
"""Panel of the options that say what a command writes and prints."""
RUNNING = "How networks run"
"""Panel of the options of :class:`rainkit.runtime_options.RuntimeOptions`."""
READING = "How pairs are read"
"""Panel of the options of :class:`rainkit.datasets.pairs.ReadOptions`."""

_Choice = TypeVar("_Choice", bound=StrEnum)
_WIDEST = 32


def choice(
    kind: type[_Choice],
    *names: str,
    help: str,
    panel: str | None = None,
    metavar: str | None = None,
    **more: Any,
) -> Any:
    """Return the ``typer.Option`` of a list of values, for use in ``Annotated``.

    Help and completion offer the values; an error names the nearest one and all of them.

    Args:
        kind: the values, from :mod:`rainkit.choices`.
        names: the option's names, such as ``--metric``; the long one comes first.
        help: the help text; if the values do not fit beside the option, they are added to it.
        panel: the panel of the help text.
        metavar: placeholder of the value; by default the values with bars between them, or the
            option's name.
        more: what else ``typer.Option`` takes.
    """
    values = "|".join(kind)
    if metavar is not None or len(values) > _WIDEST:
        metavar = metavar or names[0].removeprefix("--").upper()
        help = f"{help} One of {_listed(kind)}."
    return typer.Option(
        *names,
        help=help,
        rich_help_panel=panel,
        metavar=metavar or values,
        parser=partial(_chosen, kind, names[0]),
        autocompletion=starting(kind),
        **more,
    )


def _chosen(kind: type[_Choice], option: str, text: str) -> _Choice:
    return choices.choose(kind, text, option)


def _listed(kind: Iterable[str]) -> str:
    *most, last = map(str, kind)
    return f"{', '.join(most)} or {last}"


Device: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Device that the network runs on.",
        metavar="auto|cpu|cuda|cuda:N|mps",
        autocompletion=starting(("auto", "cpu", "cuda", "cuda:0", "mps")),
        rich_help_panel=RUNNING,
    ),
]
EngineChoice: TypeAlias = Annotated[
    choices.Engine,
    choice(
        choices.Engine,
        "--engine",
        help="Where the work runs: on this machine, or on a Ray cluster, see docs/cluster.md.",
        panel=RUNNING,
    ),
]
Precision: TypeAlias = Annotated[
    choices.Precision,
    choice(
        choices.Precision,
        "--precision",
        help="Number format that the network runs in.",
        panel=RUNNING,
    ),
]
Tile: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|PIXELS",
        help="Side of the tiles that large pictures are cut into; 0 for whole pictures.",
        autocompletion=starting(("auto", "0", "256", "512", "1024")),
        rich_help_panel=RUNNING,
    ),
]
WorkSize: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="auto|full|PIXELS|NUMBERx",
        help="Longest side of what the network sees of larger pictures. auto: such that streaks "
        "are as wide as those it knows. 2x: twice the size of each, for rain too fine for it. "
        "Results always have the full size.",
        autocompletion=starting(("auto", "full", "1024", "2x")),
        rich_help_panel=RUNNING,
    ),
]
Strength: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="0..1.5",
        help="Factor of the rain that is taken off: 1 for all that the network finds, 0 for none.",
        rich_help_panel=RUNNING,
    ),
]
Effort: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="full|auto|BLOCKS",
        help="How much of an anytime method runs: all of it; until a block changes the picture by "
        "less than 4 grey levels (auto:LEVELS for another number); or a number of blocks.",
        autocompletion=starting(("full", "auto", "auto:2")),
        rich_help_panel=RUNNING,
    ),
]
Backend: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="BACKEND",
        help="What executes the network: auto, the fastest that rainkit bench has measured here, "
        "or else eager; eager or compile (torch); openvino; onnx (ONNX Runtime); cudagraph; or a "
        "file of rainkit export.",
        autocompletion=starting(choices.Backend),
        rich_help_panel=RUNNING,
    ),
]
Weights: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TAG|FILE|hf://...",
        help="A weights tag of the method, a .safetensors file, or an address that rainkit weights "
        "get has fetched.",
        autocompletion=completion.weights,
        rich_help_panel=RUNNING,
    ),
]
Variant: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Use the method's weights of this variant.",
        autocompletion=completion.variants,
        rich_help_panel=RUNNING,
    ),
]
Layout: TypeAlias = Annotated[
    choices.Layout | None,
    choice(
        choices.Layout,
        "--layout",
        help="Layout of the folders of pairs, if it cannot be found out.",
        panel=READING,
    ),
]
RainySide: TypeAlias = Annotated[
    choices.RainySide | None,
    choice(
        choices.RainySide,
        "--rainy-side",
        help="Rainy half of side-by-side pictures.",
        panel=READING,
    ),
]
CropToCommon: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--crop-to-common",
        help="Crop the pictures of a pair that differ in size to their common size, from the top "
        "left, or from the centre if one lies in a folder hazy/ (RESIDE).",
        rich_help_panel=READING,
    ),
]
Overwrite: TypeAlias = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=OUTPUT),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=OUTPUT)
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print nothing but failures.", rich_help_panel=OUTPUT),
]


def refuse_together(option: str, others: Mapping[str, object], remedy: str = "") -> None:
    """Refuse options that have no meaning beside another one.

    Args:
        option: the option that was given, such as ``--resume``.
        others: the values of the options that it excludes, by name; None, False and empty lists
            count as not given.
        remedy: what the user may do; if empty, to leave the options out.

    Raises:
        UsageError: one of them was given, too.
    """
    given = [
        name
        for name, value in others.items()
        if value is not None and value is not False and value != [] and value != ()
    ]
    if given:
        remedy = remedy or f"leave {'it' if len(given) == 1 else 'them'} out"
        raise UsageError(f"{' and '.join(given)} cannot be used with {option}; {remedy}")


def local_workers(given: int | None, engine: choices.Engine = choices.Engine.LOCAL) -> int | None:
    """Return the number of workers: what the option says, or the setting if they run here.

    Raises:
        UsageError: the setting cannot be used.
    """
    if given is not None or engine != choices.Engine.LOCAL:
        return given
    found = config.value("workers")
    return None if found is None else int(found)
