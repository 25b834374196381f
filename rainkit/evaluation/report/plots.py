"""Plots of an evaluation: for a page as SVG elements, and as files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rainkit.errors import UsageError
from rainkit.evaluation.report.data import EvalResult
from rainkit.evaluation.report.means import mean
from rainkit.evaluation.scores import Score
from rainkit.render.svg import GREY, Series, element, legend, palette, plain_ticks, save, shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "PARTS_FILE",
    "EvalPlot",
    "averages_plot",
    "box_plot",
    "cost_plot",
    "eval_plots",
    "gain_plot",
    "parts_plots",
    "rate_plot",
    "write_parts",
    "write_plots",
]


_RASTER = 1500  # points; more make an SVG slow to draw
_TITLES = {"psnr": "PSNR, dB", "ssim": "SSIM"}
_FORMATS = (".svg", ".png", ".pdf")


@dataclass(frozen=True, slots=True)
class EvalPlot:
    """A plot.

    Attributes:
        name: its kind: boxes-psnr, boxes-ssim, gain, rate-psnr, averages-psnr, averages-ssim,
            cost-parameters, cost-milliseconds, parts-psnr or parts-ssim.
        title: what it shows, under which protocol.
        svg: an SVG element in the colour of the text around it.
        text: the same in words, for those who cannot see it.
    """

    name: str
    title: str
    svg: str
    text: str


def eval_plots(results: Sequence[EvalResult], methods: Sequence[str]) -> list[EvalPlot]:
    """Return the plots of one dataset, without empty ones.

    Args:
        results: of one dataset under one protocol.
        methods: of the whole page, which fixes their colours.
    """
    found = (
        box_plot(results, "psnr", methods),
        box_plot(results, "ssim", methods),
        gain_plot(results, methods),
        rate_plot(results, methods),
        averages_plot(results, "psnr", methods),
        averages_plot(results, "ssim", methods),
        cost_plot(results, "parameters", methods),
        cost_plot(results, "milliseconds", methods),
    )
    return [plot for plot in found if plot is not None]


def write_plots(
    results: Sequence[EvalResult],
    folder: Path,
    *,
    suffix: str = ".svg",
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write ``boxplot``, ``gain``, ``rain_rate``, ``averages`` and ``cost``, a row per dataset.

    Empty plots are not written.

    Args:
        results: of several datasets and protocols; the protocol of the first is shown, and parts
            are not.
        folder: is made if it is missing.
        suffix: ``.svg``, ``.png`` or ``.pdf``.
        overwrite: replace existing files.

    Raises:
        UsageError: another suffix.
        FileError: a file exists, or the system refuses to write.
    """
    if suffix not in _FORMATS:
        raise UsageError(f"plots as {suffix}: choose from {', '.join(_FORMATS)}")
    if not results:
        return ()
    protocol = results[0].protocol
    leading = [each for each in results if each.protocol == protocol and each.part_of is None]
    methods = tuple(dict.fromkeys(each.method for each in leading))
    datasets: dict[str, list[EvalResult]] = {}
    for each in leading:
        datasets.setdefault(each.dataset, []).append(each)
    kinds: dict[str, list[_Drawer]] = {
        "boxplot": [_boxes("psnr"), _boxes("ssim")],
        "gain": [_gains],
        "rain_rate": [_rates],
        "averages": [_averages("psnr"), _averages("ssim")],
        "cost": [_costs("parameters"), _costs("milliseconds")],
    }
    written = []
    for name, drawers in kinds.items():
        rows = []
        for dataset, own in datasets.items():
            row = [draw for drawer in drawers if (draw := drawer(own, methods)) is not None]
            if row:
                rows.append((dataset, row))
        if rows:
            path = folder / f"{name}{suffix}"
            save(rows, path, overwrite=overwrite)
            written.append(path)
    return tuple(written)


def box_plot(
    results: Sequence[EvalResult], quantity: str, methods: Sequence[str]
) -> EvalPlot | None:
    """Return a box plot with a box per method, the input first; None if it would be empty.

    Args:
        results: of one dataset under one protocol.
        quantity: psnr or ssim.
        methods: of the whole page.
    """
    draw = _boxes(quantity)(results, methods)
    if draw is None:
        return None
    title = f"{_TITLES[quantity].split(',')[0]} ({results[0].protocol})"
    medians = "; ".join(
        f"{name} {np.median(values):{'.2f' if quantity == 'psnr' else '.4f'}}"
        for name, values, _ in _box_values(results, quantity, methods)
    )
    return EvalPlot(
        f"boxes-{quantity}", title, element(draw), f"Box plot of {title}. Medians: {medians}."
    )


def gain_plot(results: Sequence[EvalResult], methods: Sequence[str]) -> EvalPlot | None:
    """Return a plot of the gain in PSNR against the input's PSNR; None if it would be empty.

    It shows whether a method helps where there is little rain.

    Args:
        results: of one dataset under one protocol.
        methods: of the whole page.
    """
    draw = _gains(results, methods)
    if draw is None:
        return None
    words = []
    for each in results:
        points = _gain_points(each)
        if len(points):
            worse = int((points[:, 1] < 0).sum())
            words.append(f"{each.method}: {worse} of {len(points)} pictures became worse")
    return EvalPlot(
        "gain",
        f"Gain against input PSNR ({results[0].protocol})",
        element(draw),
        f"Gain in PSNR against the input's PSNR. {'; '.join(words)}.",
    )


def rate_plot(results: Sequence[EvalResult], methods: Sequence[str]) -> EvalPlot | None:
    """Return a plot of PSNR against rain rate, with a line of medians; None without rates.

    Args:
        results: of one dataset under one protocol.
        methods: of the whole page.
    """
    draw = _rates(results, methods)
    if draw is None:
        return None
    return EvalPlot(
        "rate-psnr",
        f"PSNR against rain rate ({results[0].protocol})",
        element(draw),
        "PSNR of every picture against its rain rate in mm/h, with medians of neighbours.",
    )


def averages_plot(
    results: Sequence[EvalResult], quantity: str, methods: Sequence[str]
) -> EvalPlot | None:
    """Return mean scores of averages of frames against their number; None if none were scored.

    The curves begin with the input, one frame; methods, which need one frame, are level lines.

    Args:
        results: of one dataset under one protocol.
        quantity: psnr or ssim.
        methods: of the whole page.
    """
    draw = _averages(quantity)(results, methods)
    if draw is None:
        return None
    form = _FORMS[quantity]
    words = [
        f"{by}: " + ", ".join(f"{value:{form}} of {frames:g}" for frames, value in points)
        for by, points in _curves(results, quantity).items()
    ]
    words += [f"{each.method}: {_mean(each, quantity):{form}}" for each in _of_one_frame(results)]
    title = f"{quantity.upper()} of averages of frames ({results[0].protocol})"
    return EvalPlot(f"averages-{quantity}", title, element(draw), f"{title}. {'; '.join(words)}.")


def cost_plot(results: Sequence[EvalResult], cost: str, methods: Sequence[str]) -> EvalPlot | None:
    """Return mean PSNR against what it costs; None for fewer than two networks.

    Args:
        results: of one dataset under one protocol.
        cost: parameters, or milliseconds per picture.
        methods: of the whole page.
    """
    draw = _costs(cost)(results, methods)
    if draw is None:
        return None
    words = [
        f"{each.method}: {_mean(each, 'psnr'):.2f} dB at {value:,.{0 if value >= 10 else 1}f}"
        for each, value in _priced(results, cost)
    ]
    title = f"PSNR against {_COSTS[cost]} ({results[0].protocol})"
    return EvalPlot(f"cost-{cost}", title, element(draw), f"{title}. {'; '.join(words)}.")


_Draw = Callable[["Axes"], None]
_Drawer = Callable[[Sequence[EvalResult], Sequence[str]], _Draw | None]


def _boxes(quantity: str) -> _Drawer:
    def drawer(results: Sequence[EvalResult], methods: Sequence[str]) -> _Draw | None:
        boxes = _box_values(results, quantity, methods)
        if not boxes:
            return None

        def draw(axes: Axes) -> None:
            # From the top down, as in the tables; long names have room at the side.
            places = list(range(len(boxes), 0, -1))
            drawn = axes.boxplot(
                [values for _, values, _ in boxes],
                positions=places,
                orientation="horizontal",
                widths=0.55,
                patch_artist=True,
                medianprops={"color": "#d4372b", "linewidth": 1.6},
                flierprops={"marker": "o", "markersize": 2.5, "markeredgewidth": 0.6},
            )
            for i, (_, _, colour) in enumerate(boxes):
                drawn["boxes"][i].set(facecolor=(colour, 0.35), edgecolor=colour)
                drawn["fliers"][i].set(markeredgecolor=colour)
                for part in ("whiskers", "caps"):
                    for line in drawn[part][2 * i : 2 * i + 2]:
                        line.set_color(colour)
            axes.set_yticks(places, [_short(name) for name, _, _ in boxes])
            axes.set_xlabel(_title(_TITLES[quantity], results))
            axes.grid(axis="x", color=GREY, alpha=0.25, lw=0.6)

        return draw

    return drawer


def _gains(results: Sequence[EvalResult], methods: Sequence[str]) -> _Draw | None:
    series = _series(results, methods, _gain_points)
    if not series:
        return None

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=GREY, lw=1)
        for each in series:
            _scatter(axes, each, sum(len(s.points) for s in series))
        axes.set_xlabel(_title("PSNR of the input, dB", results))
        axes.set_ylabel(_title("gain in PSNR, dB", results))
        legend(axes, len(series))

    return draw


def _rates(results: Sequence[EvalResult], methods: Sequence[str]) -> _Draw | None:
    series = _series(results, methods, lambda result: _rate_points(result, lambda s: s.psnr))
    if not series:
        return None
    inputs = max((_rate_points(r, lambda s: s.input_psnr) for r in results), key=len)
    if len(inputs):
        series = [Series("input", GREY, "s", inputs), *series]

    def draw(axes: Axes) -> None:
        for each in series:
            _scatter(axes, each, sum(len(s.points) for s in series))
            # A line of medians of neighbours, where there are enough of them.
            ordered = each.points[np.argsort(each.points[:, 0], kind="stable")]
            bins = min(8, len(ordered) // 3)
            if bins > 1:
                middles = [np.median(part, axis=0) for part in np.array_split(ordered, bins)]
                x, y = np.array(middles).T
                axes.plot(x, y, color=each.colour, lw=1.5)
        axes.set_xscale("log")
        plain_ticks(axes)
        axes.set_xlabel("rain rate, mm/h; lines are medians of neighbours")
        axes.set_ylabel(_title(_TITLES["psnr"], results))
        legend(axes, len(series))

    return draw


_COSTS = {"parameters": "number of parameters", "milliseconds": "time per picture, ms"}


def _averages(quantity: str) -> _Drawer:
    def drawer(results: Sequence[EvalResult], methods: Sequence[str]) -> _Draw | None:
        curves = _curves(results, quantity)
        if not curves:
            return None
        colours = palette(methods)
        level = _of_one_frame(results)

        def draw(axes: Axes) -> None:
            from matplotlib.ticker import MaxNLocator

            for number, (by, points) in enumerate(curves.items()):
                x, y = np.array(points).T
                form = "s-" if number == 0 else "o--"
                axes.plot(x, y, form, color=GREY, lw=1.5, markersize=4, label=f"{by} of frames")
            for each in level:
                colour, _ = colours[each.method]
                height = _mean(each, quantity)
                axes.axhline(height, color=colour, lw=1.5, label=_short(each.method))
            axes.set_xlabel("number of frames")
            axes.set_ylabel(_title(_TITLES[quantity], results))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)
            legend(axes, len(curves) + len(level))

        return draw

    return drawer


def _costs(cost: str) -> _Drawer:
    def drawer(results: Sequence[EvalResult], methods: Sequence[str]) -> _Draw | None:
        priced = _priced(results, cost)
        if len(priced) < 2:
            return None
        colours = palette(methods)

        def draw(axes: Axes) -> None:
            for each, value in priced:
                colour, marker = colours[each.method]
                axes.scatter(
                    [value],
                    [_mean(each, "psnr")],
                    s=36,
                    marker=marker,
                    color=colour,
                    label=_short(each.method),
                )
            axes.set_xscale("log")
            plain_ticks(axes)
            if cost == "parameters":
                axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.set_xlabel(_COSTS[cost])
            axes.set_ylabel(_title(_TITLES["psnr"], results))
            axes.grid(color=GREY, alpha=0.25, lw=0.6)
            legend(axes, len(priced))

        return draw

    return drawer


def _of_one_frame(results: Sequence[EvalResult]) -> list[EvalResult]:
    return [each for each in results if each.average is None and math.isfinite(_mean(each, "psnr"))]


def _curves(results: Sequence[EvalResult], quantity: str) -> dict[str, list[tuple[int, float]]]:
    """Return by kind of average the number of frames and the mean score, from one frame on."""
    found: dict[str, dict[int, float]] = {}
    for each in results:
        value = _mean(each, quantity)
        if each.average is not None and math.isfinite(value):
            by, frames = each.average
            own = found.setdefault(by, {})
            own[frames] = value
            if (one := mean(getattr(s, f"input_{quantity}") for s in each.pictures)) is not None:
                own[1] = one
    return {by: sorted(own.items()) for by, own in found.items()}


def _priced(results: Sequence[EvalResult], cost: str) -> list[tuple[EvalResult, float]]:
    """Return the results of networks with what they cost."""
    found = []
    for each in results:
        value: float | None = each.parameters
        if cost == "milliseconds":
            value = mean(score.milliseconds for score in each.pictures)
        if value is not None and value > 0 and math.isfinite(_mean(each, "psnr")):
            found.append((each, float(value)))
    return found


def _box_values(
    results: Sequence[EvalResult], quantity: str, methods: Sequence[str]
) -> list[tuple[str, list[float], str]]:
    """Return the name, finite values and colour of each box."""
    colours = palette(methods)
    boxes = []
    inputs = max(
        (_finite(getattr(s, f"input_{quantity}") for s in each.pictures) for each in results),
        key=len,
        default=[],
    )
    if inputs:
        boxes.append(("input", inputs, GREY))
    for each in results:
        values = _finite(getattr(score, quantity) for score in each.pictures)
        if values:
            boxes.append((each.method, values, colours[each.method][0]))
    return boxes


def _series(
    results: Sequence[EvalResult],
    methods: Sequence[str],
    points: Callable[[EvalResult], np.ndarray],
) -> list[Series]:
    colours: Mapping[str, tuple[str, str]] = palette(methods)
    found = [Series(r.method, *colours[r.method], points(r)) for r in results]
    return [each for each in found if len(each.points)]


def _gain_points(result: EvalResult) -> np.ndarray:
    pairs = [(s.input_psnr, s.psnr_gain) for s in result.pictures]
    return _points(pairs)


def _rate_points(result: EvalResult, value: Callable[[Score], float | None]) -> np.ndarray:
    # A logarithmic axis has no place for no rain.
    return _points([(s.rate_mm_h or None, value(s)) for s in result.pictures])


def _points(pairs: Sequence[tuple[float | None, float | None]]) -> np.ndarray:
    finite = [
        (x, y)
        for x, y in pairs
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    ]
    return np.array(finite, dtype=float).reshape(-1, 2)


def _finite(values: object) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]  # type: ignore[attr-defined]


def _scatter(axes: Axes, series: Series, total: int) -> None:
    axes.scatter(
        series.points[:, 0],
        series.points[:, 1],
        s=14,
        marker=series.marker,
        color=series.colour,
        alpha=0.7 if total < _RASTER else 0.4,
        linewidths=0,
        label=_short(series.name),
        rasterized=total >= _RASTER,
    )


def _title(quantity: str, results: Sequence[EvalResult]) -> str:
    return f"{quantity} ({shown_name(results[0].protocol)})"


def _short(name: str) -> str:
    return shown_name(name if len(name) <= 26 else name[:12] + "…" + name[-13:])


PARTS_FILE = "parts.svg"
"""The file that :func:`write_parts` makes."""

_FORMS = {"psnr": ".2f", "ssim": ".4f"}
_LEAST_SPAN = {"psnr": 1.0, "ssim": 0.02}


def parts_plots(results: Sequence[EvalResult]) -> list[EvalPlot]:
    """Return plots of PSNR and SSIM over the parts of each method that was scored with them.

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
    """Write ``parts.svg`` with a row for each method; nothing if no parts were scored.

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
