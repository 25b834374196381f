"""Plots of what a method's parts are worth: per dataset a line over pictures, points for rain."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit.reports.eval_data import EvalPlot, EvalResult
from rainkit.reports.eval_summary import mean
from rainkit.reports.svg import GREY, element, legend, palette, save, shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PARTS_FILE", "parts_plots", "write_parts"]

PARTS_FILE = "parts.svg"
"""What :func:`write_parts` makes."""

_TITLES = {"psnr": "PSNR, dB", "ssim": "SSIM"}
_FORMS = {"psnr": ".2f", "ssim": ".4f"}
_LEAST_SPAN = {"psnr": 1.0, "ssim": 0.02}
_Draw = Callable[["Axes"], None]


def parts_plots(results: Sequence[EvalResult]) -> list[EvalPlot]:
    """PSNR and SSIM over the parts of each method that was scored with them.

    Args:
        results: under one protocol.
    """
    return [
        EvalPlot(
            f"parts-{quantity}",
            f"{method}: {quantity.upper()} of its parts ({results[0].protocol})",
            element(_drawer(lines, quantity, results[0].protocol)),
            _words(method, lines, quantity),
        )
        for method, lines in _methods(results).items()
        for quantity in _TITLES
    ]


def write_parts(
    results: Sequence[EvalResult], folder: Path, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write ``parts.svg``, a row for each method; nothing where no parts were scored.

    Raises:
        FileError: the file exists and ``overwrite`` is off, or cannot be written.
    """
    leading = [each for each in results if each.protocol == results[0].protocol]
    rows = [
        (method, [_drawer(lines, quantity, leading[0].protocol) for quantity in _TITLES])
        for method, lines in _methods(leading).items()
    ]
    if not rows:
        return ()
    save(rows, folder / PARTS_FILE, overwrite=overwrite)
    return (folder / PARTS_FILE,)


_Lines = dict[str, list[tuple[str, EvalResult]]]
"""By dataset, a method's parts by their names, and its result."""


def _methods(results: Sequence[EvalResult]) -> dict[str, _Lines]:
    methods: dict[str, _Lines] = {}
    for method in dict.fromkeys(each.part_of for each in results if each.part_of is not None):
        lines = methods.setdefault(method, {})
        for each in results:
            if each.part_of == method:
                name = each.method.removeprefix(method).lstrip(": ")
                lines.setdefault(each.dataset, []).append((name, each))
        for each in results:
            if each.method == method and each.dataset in lines:
                lines[each.dataset].append(("result", each))
    return methods


def _mean(result: EvalResult, quantity: str) -> float:
    found = mean(getattr(score, quantity) for score in result.pictures)
    return math.nan if found is None else found


def _drawer(lines: _Lines, quantity: str, protocol: str) -> _Draw:
    def draw(axes: Axes) -> None:
        colours = palette(list(lines))
        names = list(dict.fromkeys(name for line in lines.values() for name, _ in line))
        for dataset, line in lines.items():
            colour, marker = colours[dataset]
            for of_rain in (False, True):
                # Rain is scored against rain: a line to pictures would compare what cannot be.
                own = [(name, result) for name, result in line if result.of_rain == of_rain]
                axes.plot(
                    [names.index(name) for name, _ in own],
                    [_mean(result, quantity) for _, result in own],
                    label="_" if of_rain else shown_name(dataset),
                    color=colour,
                    marker=marker,
                    markersize=4,
                    lw=1.5,
                    ls="none" if of_rain else "-",
                    mfc="none" if of_rain else colour,
                )
        low, high = axes.get_ylim()
        short = max(0.0, _LEAST_SPAN[quantity] - (high - low))
        axes.set_ylim(low - short / 2, high + short / 2)  # noise is no slope
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.set_xticks(range(len(names)), [shown_name(name) for name in names])
        if len(names) > 5:
            axes.tick_params(axis="x", labelrotation=30)
        axes.set_ylabel(shown_name(f"{_TITLES[quantity]} ({protocol})"))
        axes.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)
        legend(axes, len(lines))

    return draw


def _words(method: str, lines: _Lines, quantity: str) -> str:
    form = _FORMS[quantity]
    said = (
        f"{dataset}: "
        + ", ".join(f"{name} {_mean(result, quantity):{form}}" for name, result in line)
        for dataset, line in lines.items()
    )
    return f"Mean {quantity.upper()} of {method}'s parts. {'; '.join(said)}."
