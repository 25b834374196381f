"""Drawing with matplotlib, without its global state: SVG elements for pages, and files."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rainkit.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "GREY",
    "INK",
    "Series",
    "element",
    "legend",
    "palette",
    "plain_ticks",
    "save",
    "shown_name",
]

GREY = "#8a9196"
"""Of the input and of helping lines; seen on white and on black."""

INK = "#010203"
"""Becomes the colour of the page's text."""

_COLOURS = ("#2f7fae", "#c98a2b", "#3f8f6b", "#b5432f", "#7d6bb3", "#b45f8f", "#6b8e23", "#4aa3a2")
_MARKERS = "o^DvsP*X"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Points of one colour, [N,2]."""

    name: str
    colour: str
    marker: str
    points: np.ndarray


def palette(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each name; after eight, colours repeat with new markers."""
    n = len(_COLOURS)
    return {
        name: (_COLOURS[i % n], _MARKERS[(i + i // n) % len(_MARKERS)])
        for i, name in enumerate(dict.fromkeys(methods))
    }


def element(draw: Callable[[Axes], None]) -> str:
    """Return a plot as an SVG element without background, in the colour of surrounding text."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_style(INK)), _quiet():
        figure = Figure(figsize=(4.8, 3.2), layout="constrained", dpi=144)
        draw(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    # All plots of a page share its names.
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    return re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{own}-", text)


def save(
    rows: Sequence[tuple[str, Sequence[Callable[[Axes], None]]]], path: Path, *, overwrite: bool
) -> None:
    """Write a figure on white: a titled row of axes after the other.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    columns = max(len(drawers) for _, drawers in rows)
    with rc_context(_style("black")), _quiet():
        figure: Figure = Figure(
            figsize=(4.8 * columns, 3.4 * len(rows)), layout="constrained", dpi=200
        )
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, (title, drawers) in zip(parts, rows, strict=True):
            part.suptitle(shown_name(title), fontsize=10, x=0.01, ha="left")
            for column, draw in enumerate(drawers):
                draw(part.add_subplot(1, columns, column + 1))
        form = path.suffix.removeprefix(".")
        undated = {} if form == "png" else {"CreationDate" if form == "pdf" else "Date": None}
        with atomic_path(path, overwrite=overwrite) as temporary:
            figure.savefig(temporary, format=form, metadata=undated)


def legend(axes: Axes, entries: int) -> None:
    """Above the axes, where there is more than one thing to tell apart."""
    if entries > 1:
        axes.legend(
            ncols=min(entries, 3),
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            frameon=False,
            fontsize=8,
            handletextpad=0.1,
            columnspacing=0.8,
            borderaxespad=0.1,
        )


def plain_ticks(axes: Axes) -> None:
    """Plain numbers on a logarithmic x axis, at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def shown_name(name: str) -> str:
    """Return a name in a form that matplotlib can draw."""
    # A dollar sign would begin a formula, and bytes that are no UTF-8 have no glyph.
    return name.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")


@contextmanager
def _quiet() -> Iterator[None]:
    """Letters that the font lacks are boxes in a file, and text in a page: no reason to warn."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def _style(ink: str) -> dict[Any, Any]:
    return {
        "font.family": "sans-serif",
        "font.size": 9,
        "svg.fonttype": "none",
        "svg.hashsalt": "rainkit",
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
