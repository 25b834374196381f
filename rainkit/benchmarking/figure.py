"""The figure of quality against time and parameters: measured methods, and what papers print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit import plugins
from rainkit.api import MeasuredResult
from rainkit.benchmarking.rows import Benchmark, Job, Row
from rainkit.errors import MethodError
from rainkit.published import PublishedRow, published_rows, same_dataset
from rainkit.render import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Point", "points", "write_figure"]

Colours = dict[str, tuple[str, str]]
"""Colour and marker of each name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A network of the figure.

    Attributes:
        name: its name in the legend.
        dataset: what was scored.
        protocol: name of the scoring protocol; empty for published figures.
        psnr: PSNR in dB.
        ms: time of a picture in milliseconds; None if it is unknown.
        parameters: number of parameters; None if it is unknown.
        published: whether the figures are those of a paper, and its time that of another machine.
    """

    name: str
    dataset: str
    protocol: str = ""
    psnr: float
    ms: float | None
    parameters: int | None
    published: bool = False


def points(benchmark: Benchmark) -> tuple[Point, ...]:
    """Return the points of the figure, all of the dataset that most methods were scored on.

    A measured point is the fastest row of a variant with one picture per pass, of the first size,
    with the score that the plugin states of the weights it ships for that variant; a row of weights
    that were named has their own score, and files, of which none is stated, have no point. If the
    benchmark
    has published rows, the papers' networks that have both a printed time and a printed PSNR on
    this dataset are points, too.
    """
    measured = [(row, result) for row in _fastest(benchmark) for result in _scores(row.job)]
    papers = _of_papers(benchmark)
    datasets = Counter(result.dataset for _, result in measured)
    if not datasets:
        return ()
    most = max(datasets.values())
    rivals = {
        name: len([*_pairs(papers, name)]) for name, count in datasets.items() if count == most
    }
    dataset = max(rivals, key=rivals.__getitem__)
    found = [
        Point(
            name=_name(row.job),
            dataset=dataset,
            protocol=result.protocol,
            psnr=result.psnr,
            ms=row.timing.median_ms,
            parameters=row.timing.parameters,
        )
        for row, result in measured
        if result.dataset == dataset and row.timing is not None
    ]
    return (*found, *_pairs(papers, dataset))


def _fastest(benchmark: Benchmark) -> Iterator[Row]:
    rows: dict[tuple[str, str, str | None], Row] = {}
    single = [row for row in benchmark.timed if row.job.source == "method" and row.job.batch == 1]
    for row in single:
        job = row.job
        if job.size != single[0].job.size or row.timing is None:
            continue
        key = job.method, job.variant, job.weights
        best = rows.get(key)
        if best is None or best.timing is None or row.timing.median_ms < best.timing.median_ms:
            rows[key] = row
    yield from rows.values()


def _name(job: Job) -> str:
    """Return the method with its variant or its weights, if they are not the default ones."""
    if job.weights is not None:
        return f"{job.method} {job.weights.removeprefix(f'{job.method}.')}"
    return job.method + ("" if job.variant == "default" else f" {job.variant}")


def _scores(job: Job) -> Iterable[MeasuredResult]:
    try:
        weights = plugins.get(job.method).weights
    except MethodError:
        return ()
    tag = None if job.weights is None else job.weights.removeprefix(f"{job.method}.")
    for each in weights:
        if each.variant == job.variant if tag is None else each.tag == tag:
            return each.results
    return ()


def _of_papers(benchmark: Benchmark) -> tuple[PublishedRow, ...]:
    sources = dict.fromkeys(row.source for row in benchmark.published)
    return published_rows(map(plugins.get, sources))


def _pairs(rows: Sequence[PublishedRow], dataset: str) -> Iterator[Point]:
    """Yield a point for each network of which a paper prints a time and a PSNR on a dataset."""
    scored = {
        (row.source, row.result.method, row.result.variant): row
        for row in rows
        if row.result.psnr and same_dataset(row.result.dataset, dataset)
    }
    for row in rows:
        result = row.result
        other = scored.get((row.source, result.method, result.variant))
        if result.seconds and other is not None:
            unnamed = result.device in ("", "not named")
            device = "device not named" if unnamed else result.device
            yield Point(
                name=f"{row.to_data()['method']} ({device}), {row.title}'s paper",
                dataset=dataset,
                psnr=float(other.result.psnr or 0),
                ms=float(result.seconds) * 1e3,
                parameters=result.parameters,
                published=True,
            )


def write_figure(benchmark: Benchmark, path: Path, *, overwrite: bool = False) -> bool:
    """Write the figure, if there are at least two points.

    Args:
        benchmark: the benchmark.
        path: the file, whose suffix is svg, pdf or png.
        overwrite: replace the file if it exists.

    Returns:
        Whether there was something to draw.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or it cannot be written.
    """
    drawn = points(benchmark)
    if len(drawn) < 2:
        return False
    colours = svg.palette([point.name for point in drawn])
    drawers = [
        _drawer(drawn, lambda point: point.ms, "ms per picture", colours),
        _drawer(drawn, lambda point: point.parameters, "parameters", colours),
        _names(drawn, colours),
    ]
    scored = next(point for point in drawn if not point.published)
    title = f"PSNR on {scored.dataset} ({scored.protocol})"
    if any(point.published for point in drawn):
        title += "; hollow: published, on the papers' machines and with their weights"
    svg.save([(title, drawers)], path, overwrite=overwrite)
    return True


def _drawer(
    drawn: Sequence[Point],
    cost: Callable[[Point], float | None],
    label: str,
    colours: Colours,
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for point in drawn:
            value = cost(point)
            if value is not None:
                _mark(axes, [value], [point.psnr], point, colours)
        axes.set_xscale("log")
        svg.plain_ticks(axes)
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.set_xlabel(label)
        axes.set_ylabel("PSNR in dB")
        axes.grid(color=svg.GREY, alpha=0.25, lw=0.6)

    return draw


def _names(drawn: Sequence[Point], colours: Colours) -> Callable[[Axes], None]:
    """Return what draws the names of all points beside the two plots."""

    def draw(axes: Axes) -> None:
        for point in drawn:
            _mark(axes, [], [], point, colours)
        axes.set_axis_off()
        axes.legend(loc="center left", frameon=False, fontsize=7)

    return draw


def _mark(axes: Axes, x: list[float], y: list[float], point: Point, colours: Colours) -> None:
    colour, marker = colours[point.name]
    axes.scatter(
        x,
        y,
        s=36,
        marker=marker,
        facecolors="none" if point.published else colour,
        edgecolors=colour,
        label=svg.shown_name(point.name),
    )


def _short(value: float) -> str:
    """Return a number of a logarithmic axis, such as ``0.5``, ``200``, ``50k`` or ``1M``."""
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * scale or (scale == 1e6 and value >= scale):
            return f"{value / scale:g}{letter}"
    return f"{value:,g}"
