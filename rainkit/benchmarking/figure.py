"""The figure of quality against time and parameters: measured methods, and what papers print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rainkit import plugins
from rainkit.api import MeasuredResult
from rainkit.benchmarking.rows import Benchmark, Row
from rainkit.errors import MethodError
from rainkit.published import PublishedRow, published_rows, same_dataset
from rainkit.render import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Point", "points", "write_figure"]


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
    with the score that the plugin states of the weights it ships for that variant. If the benchmark
    has published rows, the papers' networks that have both a printed time and a printed PSNR on
    this dataset are points, too.
    """
    measured = [
        (row, result)
        for row in _fastest(benchmark)
        for result in _scores(row.job.method, row.job.variant)
    ]
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
            name=row.job.method + ("" if row.job.variant == "default" else f" {row.job.variant}"),
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
    rows: dict[tuple[str, str], Row] = {}
    single = [row for row in benchmark.timed if row.job.source == "method" and row.job.batch == 1]
    for row in single:
        job = row.job
        if job.size != single[0].job.size or row.timing is None:
            continue
        best = rows.get((job.method, job.variant))
        if best is None or best.timing is None or row.timing.median_ms < best.timing.median_ms:
            rows[job.method, job.variant] = row
    yield from rows.values()


def _scores(method: str, variant: str) -> Iterable[MeasuredResult]:
    try:
        weights = plugins.get(method).weights
    except MethodError:
        return ()
    shipped = next((each for each in weights if each.variant == variant), None)
    return shipped.results if shipped else ()


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
    seen = set()
    for row in rows:
        key = row.source, row.result.method, row.result.variant
        if row.result.seconds and key in scored and key not in seen:
            seen.add(key)
            yield Point(
                name=f"{row.result.method}, in {row.title}" if row.result.method else row.title,
                dataset=dataset,
                psnr=float(scored[key].result.psnr or 0),
                ms=float(row.result.seconds) * 1e3,
                parameters=row.result.parameters,
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
    times = _drawer(drawn, lambda point: point.ms, "ms per picture", colours)
    sizes = _drawer(drawn, lambda point: point.parameters, "parameters", colours)
    scored = next(point for point in drawn if not point.published)
    title = f"PSNR on {scored.dataset} ({scored.protocol})"
    if any(point.published for point in drawn):
        title += "; hollow: published, on the papers' machines and with their weights"
    svg.save([(title, [times, sizes])], path, overwrite=overwrite)
    return True


def _drawer(
    drawn: Sequence[Point],
    cost: Callable[[Point], float | None],
    label: str,
    colours: dict[str, tuple[str, str]],
) -> Callable[[Axes], None]:
    known = [(point, value) for point in drawn if (value := cost(point)) is not None]

    def draw(axes: Axes) -> None:
        for point, value in known:
            colour, marker = colours[point.name]
            axes.scatter(
                [value],
                [point.psnr],
                s=36,
                marker=marker,
                facecolors="none" if point.published else colour,
                edgecolors=colour,
            )
            axes.annotate(
                svg.shown_name(point.name),
                (value, point.psnr),
                xytext=(5, 3),
                textcoords="offset points",
                fontsize=7,
                style="italic" if point.published else "normal",
            )
        axes.set_xscale("log")
        svg.plain_ticks(axes)
        axes.xaxis.set_major_formatter("{x:,g}" if label != "parameters" else "{x:,.0f}")
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.set_xlabel(label)
        axes.set_ylabel("PSNR in dB")
        axes.grid(color=svg.GREY, alpha=0.25, lw=0.6)
        axes.margins(0.18, 0.12)

    return draw
