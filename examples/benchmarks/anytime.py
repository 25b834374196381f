"""What an anytime method gives for its time: quality and milliseconds by blocks and by threshold.

python examples/benchmarks/anytime.py PAIRS... [--method resguidenet] [--weights W]
    [--plot CURVES.png] [--markdown TABLES.md]

For each folder of pairs: the rainy pictures as they are, the first 1, 2, ... blocks, the whole
network, and --effort auto at several thresholds. PSNR and SSIM follow the protocol "prenet"; the
time is that of the network on one picture at a time, pictures of all rows taking turns, so that all
rows see the same machine. Blocks are means over pictures.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rainkit import inference
from rainkit.datasets.pairs import named_datasets
from rainkit.errors import exiting
from rainkit.evaluation import PairArrays, protocol, read_pair
from rainkit.images import Picture
from rainkit.inference import Derainer
from rainkit.runtime_options import STOP_BELOW

THRESHOLDS = (1.0, 2.0, 3.0, STOP_BELOW, 6.0)


@dataclass
class Row:
    """A way to run the network, and what it gave for each picture."""

    name: str
    derainer: Derainer | None
    blocks: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)

    def run(self, pair: PairArrays) -> None:
        """Derain and score one picture."""
        result, began = pair.rainy, time.perf_counter()
        if self.derainer is not None:
            done = self.derainer.derain_picture(Picture(pair.rainy))
            self.milliseconds.append((time.perf_counter() - began) * 1e3)
            self.blocks.append(float(done.blocks or 0))
            result = np.asarray(done.picture.rgb, np.uint8)
        psnr, ssim = protocol("prenet").scores(result, pair.clean)
        self.psnr.append(psnr)
        self.ssim.append(ssim)


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality for time of an anytime method.")
    parser.add_argument("pairs", type=Path, nargs="+", help="folders of pairs")
    parser.add_argument("--method", default="resguidenet")
    parser.add_argument("--weights", help="a tag or a file (default: what the method ships)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--limit", type=int, help="pictures of each folder at most")
    parser.add_argument("--markdown", type=Path, help="write the tables into this file too")
    parser.add_argument("--plot", type=Path, help="draw PSNR over time into this PNG file")
    given = parser.parse_args()
    console = Console()

    def load(**options: object) -> Derainer:
        common = {"weights": given.weights, "device": given.device, "precision": given.precision}
        return inference.load(given.method, **common, **options)  # type: ignore[arg-type]

    whole = load()
    if whole.blocks is None:
        parser.error(f"{given.method} always runs as a whole")
    counts = range(1, whole.blocks + 1)
    fixed = [(f"--effort {k}", load(effort=k)) for k in counts]
    early = [(f"--effort auto:{t:g}", load(effort=f"auto:{t:g}")) for t in THRESHOLDS]
    whole.derain(np.zeros((64, 64, 3), np.uint8))
    console.print(f"{given.method}, {whole.weights.name}, {whole.runtime.describe()}")
    drawn: dict[str, list[Row]] = {}
    for dataset in named_datasets(given.pairs, prefer=("test",)):
        rows = [Row("input", None), *(Row(*each) for each in (*fixed, ("whole", whole), *early))]
        for files in track(dataset.pairs[: given.limit], dataset.name, console=console):
            pair = read_pair(files)
            for row in rows:
                row.run(pair)
        drawn[f"{dataset.name}, {len(rows[0].psnr)} pictures"] = rows
        console.print(table(f"{dataset.name}, {len(rows[0].psnr)} pictures", rows))
    if given.markdown:
        title = f"{given.method}, `{whole.weights.name}`, {whole.runtime.describe()}."
        texts = [title, *(markdown(name, rows) for name, rows in drawn.items())]
        given.markdown.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    if given.plot:
        plot(drawn, given.plot)


COLUMNS = ("blocks", "ms", "PSNR dB", "SSIM")


def cells(row: Row) -> tuple[str, ...]:
    """Name and figures of a row, under :data:`COLUMNS`."""
    ran = row.derainer is not None
    return (
        row.name,
        f"{fmean(row.blocks):.2f}" if ran else "",
        f"{fmean(row.milliseconds):.0f}" if ran else "",
        f"{fmean(row.psnr):.2f}",
        f"{fmean(row.ssim):.4f}",
    )


def table(title: str, rows: list[Row]) -> Table:
    """One line per row."""
    shown = Table("run", title=title)
    for heading in COLUMNS:
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(*cells(row))
    return shown


def markdown(title: str, rows: list[Row]) -> str:
    """The same for a file."""
    lines = [("run", *COLUMNS), ("---", *["--:"] * len(COLUMNS)), *map(cells, rows)]
    return "\n".join([f"### {title}\n", *(f"| {' | '.join(line)} |" for line in lines)])


def plot(drawn: dict[str, list[Row]], path: Path) -> None:
    """PSNR over time: fixed numbers of blocks as a line, thresholds as points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(drawn), 3.4), layout="constrained")
    for place, (name, rows) in enumerate(drawn.items(), 1):
        axes = figure.add_subplot(1, len(drawn), place)
        ran = [row for row in rows if row.derainer is not None]
        for rows_of, style, label in (
            ([r for r in ran if "auto" not in r.name], "o-", "blocks 1, 2, ... and all"),
            ([r for r in ran if "auto" in r.name], "x", "--effort auto"),
        ):
            times = [fmean(row.milliseconds) for row in rows_of]
            axes.plot(times, [fmean(row.psnr) for row in rows_of], style, label=label)
        axes.set(title=name, xlabel="ms per picture", ylabel="PSNR dB" if place == 1 else "")
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    with exiting():
        main()
