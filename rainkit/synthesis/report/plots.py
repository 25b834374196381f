"""Plots of a synthesised dataset as SVG elements for a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rainkit.datasets.manifest import Record
from rainkit.rain import LEVELS
from rainkit.rain.realism import coverage_slope
from rainkit.render.svg import INK, element
from rainkit.synthesis.report.checks import Sample, expected_strength, tilt_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Plot", "plots"]

_COLOURS = dict(zip(LEVELS, ("#8fb7cf", "#4f9bc4", "#2f7fae", "#c98a2b", "#b5432f"), strict=True))
_LINE = "#b5432f"


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot.

    Attributes:
        title: title of the plot.
        svg: an SVG element.
        text: the same in words, for people who cannot see it.
    """

    title: str
    svg: str
    text: str


def plots(records: Sequence[Record], samples: Sequence[Sample], protocol: str) -> list[Plot]:
    """Return all plots that have something to show.

    Args:
        records: records of the whole dataset.
        samples: pictures of it that were measured.
        protocol: label of the protocol of PSNR and SSIM.
    """
    found = (
        _rates(records),
        _strengths(samples, protocol),
        _coverage(samples),
        _tilts(samples),
        _extents(samples),
        _fogs(samples),
    )
    return [plot for plot in found if plot is not None]


def _rates(records: Sequence[Record]) -> Plot | None:
    rates = [record.rate_mm_h for record in records if record.degradation == "rain"]
    if not rates:
        return None

    def draw(axes: Axes) -> None:
        low, high = math.log10(min(rates)), math.log10(max(rates))
        axes.hist(
            rates, np.logspace(low - 0.05, high + 0.05, 30).tolist(), color=_COLOURS["moderate"]
        )
        axes.set_xscale("log")
        _name(axes, "rain rate, mm/h", "pictures")

    return Plot(
        f"Rain rates of all {len(rates)} pictures",
        _svg(draw),
        f"Histogram: rates from {min(rates):.2g} to {max(rates):.2g} mm/h, "
        f"median {np.median(rates):.2g}.",
    )


def _strengths(samples: Sequence[Sample], protocol: str) -> Plot | None:
    some = [s for s in samples if math.isfinite(s.psnr) and s.record.degradation == "rain"]
    if not some:
        return None

    def draw(axes: Axes) -> None:
        _scatter(axes, some, lambda s: (s.record.rate_mm_h, s.psnr))
        line = [(s.record.rate_mm_h, e[0]) for s in some if (e := expected_strength(s))]
        if line:
            rate, psnr = np.array(line).T
            axes.fill_between(rate, psnr - 0.7, psnr + 0.7, color=_LINE, alpha=0.14, lw=0)
            axes.plot(rate, psnr, color=_LINE, lw=1)
        axes.set_xscale("log")
        _name(axes, "rain rate, mm/h", f"PSNR on Y, dB ({protocol})")

    psnr = [s.psnr for s in some]
    return Plot(
        f"How much the rain takes away, {len(some)} pictures",
        _svg(draw),
        f"PSNR against rain rate: {min(psnr):.1f} to {max(psnr):.1f} dB, mean {np.mean(psnr):.1f}.",
    )


def _coverage(samples: Sequence[Sample]) -> Plot | None:
    some = [s for s in samples if s.streaks is not None and s.streaks.brighter > 0]
    points = [(s.record.rate_mm_h, s.streaks.brighter) for s in some if s.streaks is not None]
    if not points:
        return None
    fit = coverage_slope([p[0] for p in points], [p[1] for p in points])

    def draw(axes: Axes) -> None:
        _scatter(axes, some, lambda s: (s.record.rate_mm_h, s.streaks.brighter if s.streaks else 0))
        if fit is not None:
            fair = np.array([p for p in points if 0.5 <= p[0] <= 8])
            rate = np.array([0.5, 8.0])
            middle = np.exp(np.log(fair[:, 1]).mean() - fit.slope * np.log(fair[:, 0]).mean())
            axes.plot(rate, middle * rate**fit.slope, color=_LINE, lw=1.2)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _name(axes, "rain rate, mm/h", "share of pixels above 8 levels")

    slope = "" if fit is None else f" Log-log slope from 0.5 to 8 mm/h: {fit.slope:.2f}."
    return Plot(
        f"Coverage by streaks, {len(points)} pictures"
        + (f": slope {fit.slope:.2f}" if fit else ""),
        _svg(draw),
        f"Coverage against rain rate: {min(points)[1]:.3f} at {min(points)[0]:.2g} mm/h to "
        f"{max(points)[1]:.3f} at {max(points)[0]:.2g} mm/h.{slope}",
    )


def _tilts(samples: Sequence[Sample]) -> Plot | None:
    some = [(s, pair) for s in samples if (pair := tilt_error(s)) is not None]
    if not some:
        return None
    tilts = {s.record.id: pair for s, pair in some}
    ends = np.array([pair for _, pair in some])
    span = np.array([ends.min() - 2, ends.max() + 2])

    def draw(axes: Axes) -> None:
        axes.fill_between(span, span - 2, span + 2, color=_LINE, alpha=0.14, lw=0)
        axes.plot(span, span, color=_LINE, lw=1)
        _scatter(axes, [s for s, _ in some], lambda s: tilts[s.record.id])
        _name(axes, "expected from the wind, degrees", "measured tilt, degrees")

    off = np.abs(ends[:, 1] - ends[:, 0])
    return Plot(
        f"Tilt of the streaks, {len(some)} pictures",
        _svg(draw),
        f"Measured against expected tilt: off by {np.median(off):.1f} degrees in the median, "
        f"{off.max():.1f} at most.",
    )


def _extents(samples: Sequence[Sample]) -> Plot | None:
    some = [s for s in samples if s.streaks is not None and math.isfinite(s.streaks.length_px)]
    sizes = {s.record.id: (s.streaks.length_px, s.streaks.width_px) for s in some if s.streaks}
    if not sizes:
        return None

    def draw(axes: Axes) -> None:
        _scatter(axes, some, lambda s: sizes[s.record.id])
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        _name(axes, "length, px", "width, px")

    length, width = np.median(list(sizes.values()), axis=0)
    return Plot(
        f"Length and width of streaks, {len(some)} pictures",
        _svg(draw),
        "Full widths at half maximum of the residual's autocorrelation: in the median "
        f"{length:.1f} px long and {width:.1f} px wide.",
    )


def _fogs(samples: Sequence[Sample]) -> Plot | None:
    some = [s for s in samples if s.fog is not None]
    if not some:
        return None

    def draw(axes: Axes) -> None:
        axes.axhspan(0.97, 1.03, color=_LINE, alpha=0.14, lw=0)
        axes.axhline(1, color=_LINE, lw=1)
        _scatter(axes, some, lambda s: (1000 * s.record.beta_per_m, s.fog.slope if s.fog else 0))
        axes.set_xscale("log")
        _name(axes, "extinction, 1/km", "fitted over true extinction")

    slopes = [s.fog.slope for s in some if s.fog is not None]
    return Plot(
        f"Fog against depth, {len(some)} pictures",
        _svg(draw),
        f"Fitted over true extinction: median {np.median(slopes):.3f}, from {min(slopes):.3f} to "
        f"{max(slopes):.3f}; faint fog is lost in rounding.",
    )


def _scatter(
    axes: Axes, samples: Sequence[Sample], point: Callable[[Sample], tuple[float, float]]
) -> None:
    """Draw points in the colour of the level that their rate belongs to."""
    for level, bounds in LEVELS.items():
        last = level == list(LEVELS)[-1]
        points = [
            point(s)
            for s in samples
            if s.record.rate_mm_h < bounds.high or last
            if s.record.rate_mm_h >= bounds.low or level == next(iter(LEVELS))
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=12, color=_COLOURS[level], alpha=0.75, lw=0, label=level)
    levels = axes.get_legend_handles_labels()[1]
    if len(levels) > 1:
        axes.legend(
            ncols=len(levels),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            frameon=False,
            fontsize=8,
            handletextpad=0.1,
            columnspacing=0.8,
            labelcolor=INK,
        )


def _ticks(axes: Axes) -> None:
    """Label logarithmic axes with plain numbers at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            low, high = axis.get_view_interval()
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())


def _name(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _svg(draw: Callable[[Axes], None]) -> str:
    """Return an SVG element of a plot whose logarithmic axes have plain numbers."""

    def whole(axes: Axes) -> None:
        draw(axes)
        _ticks(axes)

    return element(whole)
