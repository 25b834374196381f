"""The runtime table as cells, Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.benchmarking.figure import write_figure
from rainkit.benchmarking.rows import Benchmark, Job, Row, short
from rainkit.files import counted, write_text
from rainkit.render import text_tables

__all__ = [
    "FILES",
    "PUBLISHED",
    "Column",
    "cells",
    "columns",
    "comma_separated",
    "latex",
    "markdown",
    "notices",
    "published",
    "title",
    "write",
    "write_all",
]

FILES = ("bench.json", "bench.md", "bench.csv", "bench.tex", "bench.svg")
"""Names of the files that :func:`write_all` writes."""

PUBLISHED = ("method", "picture", "device", "seconds")
"""The headings of :func:`published`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        heading: short, so that the table fits a terminal.
        cell: the text of a row that did not fail.
        meaning: half a sentence that explains the heading; empty if it needs none.
        optional: whether the column is left out if no row has a text.
        in_terminal: whether the terminal shows it, and not files alone.
    """

    heading: str
    cell: Callable[[Row], str]
    meaning: str = ""
    optional: bool = False
    in_terminal: bool = True


def _number(field: str, form: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = getattr(row.timing, field)
        return "" if value is None else format(value, form)

    return cell


def _short(field: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = getattr(row.timing, field)
        return "" if value is None else short(value)

    return cell


def _variant(job: Job) -> str:
    """Return the variant, the file of weights, or where the network of someone else comes from."""
    if job.source != "method":
        return job.source
    return job.variant if job.weights is None else Path(job.weights).name


def _precision(row: Row) -> str:
    job, timing = row.job, row.timing
    by = "" if job.backend == "eager" else f" {job.backend}"
    return f"{timing.precision if timing else job.precision}{by}"


_TEXTS = (
    Column("method", lambda row: row.job.method),
    Column("variant", lambda row: _variant(row.job)),
    Column("size", lambda row: row.job.size),
    Column("dtype", _precision),
)

_FIGURES = (
    Column(
        "ms",
        _short("median_ms"),
        "ms is the median wall time of a pass, the wait for the device included",
    ),
    Column("p5", _short("p5_ms"), "5 % of the passes stay below p5"),
    Column("p95", _short("p95_ms"), "and 95 % below p95"),
    Column(
        "pictures/s",
        lambda row: f"{row.per_second:.3g}" if row.job.batch > 1 else "",
        "pictures/s is the throughput",
        optional=True,
    ),
    Column(
        "speed-up",
        _number("speed_up", ".2f"),
        "speed-up is that over the first row of the same network, size and batch, the median of"
        " the rounds",
        optional=True,
    ),
    Column(
        "CPU s",
        _number("cpu_s", ".3f"),
        "CPU s is processor time per picture over all threads",
        in_terminal=False,
    ),
    Column("params", _number("parameters", ",")),
    Column(
        "GFLOP",
        _short("gflop"),
        "GFLOP counts, per picture, two operations for each multiply-add of convolutions, matrix"
        " products and attention",
    ),
    Column(
        "MiB",
        _number("peak_memory_mib", ".0f"),
        "MiB is peak memory: on CUDA what tensors held, weights included; on a CPU how far resident"
        " memory rose above that of the loaded network",
    ),
    Column(
        "roof",
        lambda row: "" if row.timing is None or row.timing.share is None
        else f"{row.timing.share:.0%}",
        "roof is the share of the device's measured limit: the sum over layers of operations at the"
        " pace of a large matrix product, or bytes at that of a large copy, whichever takes longer,"
        " over the time",
        optional=True,
    ),
    Column(
        "J",
        _number("energy_j", ".3g"),
        "J is joule per picture of the whole GPU, by NVML",
        optional=True,
    ),
    Column(
        "file ms",
        _short("file_ms"),
        "file ms is the median time from the bytes of a JPEG file to those of the derained one",
        optional=True,
    ),
)  # fmt: skip


def columns(benchmark: Benchmark, *, in_terminal: bool = False) -> tuple[Column, ...]:
    """Return the columns that rows have something to say in; the first four are text."""
    return _TEXTS + tuple(
        column
        for column in _FIGURES
        if (column.in_terminal or not in_terminal)
        and (not column.optional or any(column.cell(row) for row in benchmark.timed))
    )


def cells(row: Row, shown: Sequence[Column]) -> tuple[str, ...]:
    """Return a row's cells; a row that failed has the reason after the precision."""
    if row.timing is None:
        told = tuple(column.cell(row) for column in _TEXTS)
        return (*told, f"failed: {row.problem}")
    return tuple(column.cell(row) for column in shown)


def published(benchmark: Benchmark) -> tuple[tuple[str, ...], ...]:
    """Return the times that papers print under :data:`PUBLISHED`, in seconds and as printed."""
    return tuple(
        (row.name, row.result.dataset, row.result.device, str(row.result.seconds or ""))
        for row in benchmark.published
    )


def title(benchmark: Benchmark) -> str:
    """Return the machine in one line: device, threads, versions, passes."""
    timed = [row.timing for row in benchmark.rows if row.timing is not None]
    devices = dict.fromkeys(
        f"{each.device}, {counted(each.threads, 'thread')}"
        + (f" on CPU {', '.join(map(str, each.cpus))}" if each.cpus else "")
        for each in timed
    )
    passes = sorted({each.passes for each in timed})
    said = [
        "; ".join(devices) or str(benchmark.machine["system"]),
        ", ".join(dict.fromkeys(each.torch for each in timed))
        or f"torch {benchmark.machine['torch']}",
    ]
    if passes:
        several = f"{passes[0]} to {passes[-1]}" if len(passes) > 1 else f"{passes[0]}"
        said.append(f"median of {several} run{'' if passes == [1] else 's'}")
    if benchmark.rounds > 1:
        said.append(f"in {benchmark.rounds} rounds of all rows in turns")
    return "; ".join(said)


def notices(benchmark: Benchmark) -> tuple[str, ...]:
    """Return what a reader must know of the measurement: the limits of the device, and noise."""
    told = []
    for roof in benchmark.roofs:
        told.append(
            f"{roof.precision} limit: {roof.gflop_s:,.0f} GFLOP/s in a matrix product,"
            f" {roof.gb_s:,.0f} GB/s in a copy ({counted(roof.threads, 'thread')})"
        )
    above = sum((row.timing.share or 0) > 1 for row in benchmark.timed if row.timing)
    if above:
        told.append(
            f"{counted(above, 'row')} above 100 % of the limit: it was measured while other work"
            " ran, or the pictures are so small that they stay in caches"
        )
    again = sum(row.timing.measurements > benchmark.rounds for row in benchmark.timed if row.timing)
    if again:
        told.append(
            f"{counted(again, 'row')} measured again because times scattered by more than 10 %"
            " (interquartile range over median); the quietest measurements count"
        )
    if benchmark.noisy:
        told.append(
            f"the machine is noisy: {counted(benchmark.noisy, 'row')} still scattered by more than"
            " 10 %; measure again when it is quiet, or compare rows by --rounds"
        )
    load, cores = benchmark.machine.get("load"), benchmark.machine.get("cores")
    if load and cores and load > cores / 2 + 0.5:
        told.append(f"other work was running: a load of {load} on {cores} cores at the start")
    return tuple(told)


def markdown(benchmark: Benchmark, command: str | None = None) -> str:
    """Return the table in Markdown, with the machine, the columns' meaning and the command."""
    lines = [f"Measured on {title(benchmark)}.", ""]
    if command:
        lines += ["```", command, "```", ""]
    lines += _table(benchmark, text_tables.markdown)
    if benchmark.published:
        lines += ["", "Published in the papers, not measured here:", ""]
        lines += text_tables.markdown(PUBLISHED, published(benchmark), texts=3)
    meanings = "; ".join(column.meaning for column in columns(benchmark) if column.meaning)
    lines += ["", f"{meanings}.", ""]
    lines += [f"- {notice}." for notice in notices(benchmark)]
    about = ", ".join(f"{name} {value}" for name, value in benchmark.machine.items())
    lines += ["", f"Versions: {about}."]
    return "\n".join(lines) + "\n"


def latex(benchmark: Benchmark) -> str:
    """Return the table as LaTeX with booktabs; the machine and its notices are comments."""
    told = [f"Measured on {title(benchmark)}.", *notices(benchmark)]
    lines = [*map(text_tables.latex_comment, told), *_table(benchmark, text_tables.latex)]
    if benchmark.published:
        lines += ["", text_tables.latex_comment("Published in the papers, not measured here:")]
        lines += text_tables.latex(PUBLISHED, published(benchmark), texts=3)
    return "\n".join(lines) + "\n"


def _table(benchmark: Benchmark, write_table: Callable[..., list[str]]) -> list[str]:
    shown = columns(benchmark)
    rows = []
    for row in benchmark.rows:
        filled = cells(row, shown)
        rows.append((*filled, *[""] * (len(shown) - len(filled))))
    return write_table([column.heading for column in shown], rows, texts=len(_TEXTS))


_CSV_JOB = (
    "method", "variant", "weights", "source", "target", "height", "width", "batch", "backend",
)  # fmt: skip
_CSV_TIMING = (
    "precision", "device", "threads", "median_ms", "p5_ms", "p95_ms", "iqr_ms", "fastest_ms",
    "passes", "measurements", "noisy", "pictures_per_s", "speed_up", "cpu_s", "parameters",
    "gflop", "peak_memory_mib", "roof_ms", "roofline_share", "energy_j", "file_ms", "decode_ms",
    "encode_ms", "torch",
)  # fmt: skip


def comma_separated(benchmark: Benchmark) -> str:
    """Return all rows as CSV with unrounded figures; ``kind`` is measured, failed or published."""
    file = io.StringIO()
    names = ("kind", *_CSV_JOB, *_CSV_TIMING, "problem")
    table = csv.DictWriter(file, names, lineterminator="\n")
    table.writeheader()
    for row in benchmark.rows:
        data = row.to_data()
        timing = data["timing"] or {"precision": row.job.precision}
        told = {name: data["job"][name] for name in _CSV_JOB}
        told |= {name: timing.get(name) for name in _CSV_TIMING}
        kind = "measured" if row.timing else "failed"
        table.writerow({"kind": kind, **told, "problem": row.problem})
    for each in benchmark.published:
        result = each.result
        # As printed: the paper's digits, in ms, and its own words for device and picture.
        told = {"kind": "published", "method": each.name, "variant": result.dataset}
        printed = float(result.seconds or 0) * 1e3
        table.writerow(
            told
            | {"device": result.device, "median_ms": f"{printed:g}"}
            | {"parameters": result.parameters}
        )
    return file.getvalue()


def write(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write the text of a table.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or it cannot be written.
    """
    write_text(path, text, overwrite=overwrite)


def write_all(
    benchmark: Benchmark, folder: Path, command: str | None = None, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write the benchmark to a folder as JSON, Markdown, CSV, LaTeX and a figure.

    The figure needs methods whose weights were scored.

    Returns:
        The files.

    Raises:
        UsageError: a file exists and ``overwrite`` is False, or the folder cannot be made.
        FileError: a file cannot be written.
    """
    texts = {
        "bench.json": text_tables.json_text(benchmark.to_data()),
        "bench.md": markdown(benchmark, command),
        "bench.csv": comma_separated(benchmark),
        "bench.tex": latex(benchmark),
    }
    written = text_tables.write_texts(folder, texts, overwrite=overwrite)
    figure = folder / "bench.svg"
    if write_figure(benchmark, figure, overwrite=overwrite):
        written = (*written, figure)
    return written
