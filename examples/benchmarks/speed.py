"""How much faster rainkit runs its methods than plain PyTorch does, and how nearly equal.

python examples/benchmarks/speed.py [--method NAME] [--size 512] [--rounds 5] [--threads N]
    [--clock wall|cpu] [--check] [--write docs/benchmarks/speed.md]

Each side is a process of its own, since rainkit tells the C library to keep large arrays: plain
PyTorch (eager, float32, NCHW, the C library's own allocator), the same with rainkit's allocator,
rainkit on torch, and rainkit on each other backend that is installed. They take turns, pass by
pass, on a photograph with synthetic rain; figures are the shortest pass of each, of processor time
with ``--clock cpu``, so that other work on the machine counts little. Agreement is the PSNR between
a side's picture and that of plain PyTorch. ``--check`` exits 3 if the geometric mean of the ratios
is below 6, one of them below 3.5, or an agreement below 50 dB.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
import skimage.data
import torch
from rich.console import Console
from rich.table import Table

from rainkit import backends, images, networks, plugins
from rainkit import weights as weight_files
from rainkit.environment import calm_openmp, keep_large_blocks
from rainkit.errors import RainkitError, exiting, one_line
from rainkit.precision import choose_runtime
from rainkit.rain import PRESETS, render

PLAIN, KEPT, EAGER = "plain", "plain, our allocator", "eager"
MEAN, LEAST, EQUAL = 6.0, 3.5, 50.0


@dataclass
class Row:
    """A method's shortest pass on each side in seconds, and the agreement with plain in dB."""

    method: str
    seconds: dict[str, float] = field(default_factory=dict)
    db: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The fastest side of rainkit that gives the same pictures."""
        ours = [side for side in self.seconds if side not in (PLAIN, KEPT)]
        return min((s for s in ours if self.db[s] >= EQUAL), key=self.seconds.__getitem__)

    def ratio(self, side: str, against: str = PLAIN) -> float:
        """How many times as fast a side is."""
        return self.seconds[against] / self.seconds[side]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", action="append", help="a method; repeatable; all by default")
    parser.add_argument("--size", type=int, default=512, help="side of the picture in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--check", action="store_true", help="exit 3 if a bar is missed")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a Markdown file to write")
    options = parser.parse_args(arguments)
    calm_openmp()
    names = options.method or [each.name for each in plugins.installed() if each.problem is None]
    command = " ".join(["python examples/benchmarks/speed.py", *(arguments or sys.argv[1:])])
    rows: list[Row] = []
    for row in measure(names, options.size, options.rounds, options.threads, options.clock):
        rows.append(row)
        if options.write is not None:  # a run that is stopped leaves what it has measured
            options.write.write_text(page(rows, options, command), encoding="utf-8")
    if not rows:
        return 1
    console = Console()
    console = console if console.width >= 120 else Console(width=120)
    console.print(table(rows))
    console.print(summary(rows))
    return 3 if options.check and not passed(rows) else 0


def measure(
    names: Sequence[str], size: int, rounds: int, threads: int, clock: str
) -> Iterator[Row]:
    """Let all sides take turns; a side that cannot run a method is left out of its row."""
    rainy = photograph(size)
    sides = (PLAIN, KEPT, EAGER, *backends.installed())
    context = multiprocessing.get_context("spawn")
    workers = {}
    for side in sides:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there, side, threads, clock), daemon=True)
        process.start()
        workers[side] = here
    for name in names:
        row = Row(name)
        plain = None
        for side, worker in workers.items():
            worker.send(("load", name, rainy))
            answer = worker.recv()
            if isinstance(answer, str):
                row.problems[side] = answer
                if side == PLAIN:
                    break
                continue
            plain = answer if side == PLAIN else plain
            wanted = torch.from_numpy(plain)
            row.db[side] = backends.decibels(torch.from_numpy(answer), wanted)
            row.seconds[side] = math.inf
        for _ in range(rounds):
            for side in row.seconds:
                workers[side].send(("run",))
                row.seconds[side] = min(row.seconds[side], workers[side].recv())
        if plain is None:
            Console(stderr=True).print(f"{name} is left out: {row.problems[PLAIN]}")
        else:
            yield row
    for worker in workers.values():
        worker.send(("end",))


def work(pipe: Connection, side: str, threads: int, clock: str) -> None:
    """Load methods and run them as told, in a process of its own."""
    torch.set_num_threads(threads)
    now = time.perf_counter if clock == "wall" else time.process_time
    if side == KEPT:
        keep_large_blocks()
    network: Any = None
    rainy = torch.empty(0)
    while True:
        order, *told = pipe.recv()
        if order == "end":
            return
        with torch.inference_mode():
            if order == "load":
                name, array = told
                rainy = torch.from_numpy(array)
                try:
                    network = build(name, side)
                    pipe.send(network(rainy).float().numpy())
                except (RainkitError, RuntimeError) as error:
                    pipe.send(one_line(error))
            else:
                start = now()
                network(rainy)
                pipe.send(now() - start)


def build(name: str, side: str) -> Any:
    """Return a method's network with its default weights as one side runs it."""
    method = plugins.get(name)
    file = weight_files.find(method, None)
    spec = method.image(file.network)
    network = weight_files.load(networks.build(method, file.network), file)
    if side in (PLAIN, KEPT):
        return lambda rainy: network(rainy).image  # sides of the picture suit every method
    precision = "auto" if side == EAGER else "fp32"
    ready = networks.prepare(network, spec, choose_runtime("cpu", precision, spec), folded=True)
    return backends.attach(ready, side, backends.identity(method, file.network))


def photograph(size: int) -> np.ndarray[Any, Any]:
    """A photograph with rain, [1,3,size,size] in [0,1]."""
    clean = np.ascontiguousarray(skimage.data.astronaut()[:size, :size])
    return images.to_tensor(render(clean, PRESETS["default"], (0, 0)).rainy).float().numpy()


def headings(rows: Sequence[Row]) -> list[str]:
    """The sides of rainkit that at least one method ran on."""
    return list(dict.fromkeys(s for row in rows for s in row.seconds if s not in (PLAIN, KEPT)))


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """The table: a line for each method, and the geometric means."""
    sides = headings(rows)
    lines = []
    for row in rows:
        line = [row.method, f"{row.seconds[PLAIN] * 1e3:.0f}", f"{row.ratio(KEPT):.2f}"]
        for side in sides:
            if side in row.seconds:
                line += [f"{row.ratio(side):.2f}", f"{min(row.db[side], 200):.0f}"]
            else:
                line += ["-", "-"]
        best = row.best
        lines.append([*line, best, f"{row.ratio(best):.2f}", f"{row.ratio(best, KEPT):.2f}"])
    return lines


def columns(rows: Sequence[Row]) -> list[str]:
    """The headings of :func:`cells`."""
    names = ["method", "plain ms", "our allocator"]
    for side in headings(rows):
        names += [side, "dB"]
    return [*names, "fastest", "ratio", "same allocator"]


def table(rows: Sequence[Row]) -> Table:
    """The table for a terminal."""
    shown = Table(title="times as fast as plain PyTorch")
    for number, name in enumerate(columns(rows)):
        shown.add_column(name, justify="left" if number == 0 else "right")
    for line in cells(rows):
        shown.add_row(*line)
    return shown


def passed(rows: Sequence[Row]) -> bool:
    """Whether all bars are reached."""
    ratios = [row.ratio(row.best) for row in rows]
    return geometric_mean(ratios) >= MEAN and min(ratios) >= LEAST


def summary(rows: Sequence[Row]) -> str:
    """The means beside the bars, and what could not run."""
    whole = geometric_mean(row.ratio(row.best) for row in rows)
    same = geometric_mean(row.ratio(row.best, KEPT) for row in rows)
    least = min(row.ratio(row.best) for row in rows)
    lines = [
        f"Geometric mean {whole:.2f} (bar: {MEAN:g}), least {least:.2f} (bar: {LEAST:g}); "
        f"{same:.2f} with rainkit's allocator in both."
    ]
    for row in rows:
        lines += [f"{row.method} on {side}: {why}" for side, why in row.problems.items()]
    return "\n".join(lines)


def page(rows: Sequence[Row], options: argparse.Namespace, command: str) -> str:
    """The page in Markdown."""
    names = columns(rows)
    lines = [
        "# The speed of inference",
        "",
        f"`{command}` on {processor()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{options.threads} threads, torch {torch.__version__}: times as fast as plain PyTorch "
        f"(eager, float32, NCHW, the C library's own allocator) at {options.size}x{options.size}. "
        f"Sides took turns; figures are the shortest of {options.rounds} passes of "
        f"{'processor' if options.clock == 'cpu' else 'wall'} time. `eager` is rainkit on torch in "
        "its default precision, `dB` the agreement with plain PyTorch on a rainy photograph, "
        "`same allocator` the last ratio with rainkit's allocator in both.",
        "",
        "| " + " | ".join(names) + " |",
        "|---|" + "--:|" * (len(names) - 1),
    ]
    lines += ["| " + " | ".join([f"`{first}`", *rest]) + " |" for first, *rest in cells(rows)]
    return "\n".join([*lines, "", *summary(rows).splitlines(), ""])


def processor() -> str:
    """The processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
