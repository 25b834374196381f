"""What every installed method costs and gives, beside what its paper printed.

python examples/benchmarks/methods.py PAIRS... [--size 512x512] [--runs 10] [-o TABLES.md]

Cost is measured by ``rainkit bench``: parameters, arithmetic and time of the default variant.
Quality is scored by ``rainkit eval`` with the weights that each method ships, under the protocol
"prenet", beside the scores of the rainy pictures themselves. Published figures stand in a table of
their own: other data, other machines, other weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rainkit import plugins
from rainkit.api import Method
from rainkit.published import paper_tables

PRECISIONS = ("fp32", "bf16")
PROTOCOL = "prenet"


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost and quality of the installed methods.")
    parser.add_argument("pairs", type=Path, nargs="+", help="folders of pairs to score on")
    parser.add_argument("--size", default="512x512", metavar="HxW", help="of the timed picture")
    parser.add_argument("--runs", default="10", help="timed passes (default: 10)")
    parser.add_argument("-o", "--output", type=Path, help="write here instead of printing")
    given = parser.parse_args()
    methods = [plugins.get(row.name) for row in plugins.installed() if not row.problem]
    text = "\n\n".join(
        (
            cost(methods, given.size, given.runs),
            quality([method for method in methods if method.weights], given.pairs),
            published(methods),
        )
    )
    if given.output:
        given.output.write_text(f"{text}\n", encoding="utf-8")
    else:
        print(text)


def cost(methods: list[Method], size: str, runs: str) -> str:
    """Parameters, arithmetic and milliseconds for one picture, from ``rainkit bench``."""
    chosen = [part for method in methods for part in ("--method", method.name)]
    dtypes = [part for name in PRECISIONS for part in ("--precision", name)]
    measured = rainkit("bench", *chosen, *dtypes, "--size", size, "--runs", runs, "--json")
    rows = []
    for method in methods:
        own = [row["timing"] for row in measured["rows"] if row["job"]["method"] == method.name]
        times = {timing["precision"]: timing["median_ms"] for timing in own}
        rows.append(
            (
                f"`{method.name}`",
                f"{own[0]['parameters']:,}",
                f"{own[0]['gflop']:.1f}",
                *(f"{times[name]:.0f}" if name in times else "-" for name in PRECISIONS),
            )
        )
    run, torch = measured["rows"][0]["timing"], measured["machine"]["torch"]
    title = (
        f"### Cost of a {size} picture\n\n"
        f"{run['device']}, {run['threads']} threads, torch {torch}; median of {runs} passes."
    )
    headings = ("method", "parameters", "GFLOP", *(f"ms {name}" for name in PRECISIONS))
    return f"{title}\n\n{table(headings, rows)}"


def quality(methods: list[Method], folders: list[Path]) -> str:
    """Mean PSNR and SSIM of each method's shipped weights, from ``rainkit eval``."""
    names: list[str] = []
    cells: dict[str, list[str]] = {"input": []}
    for method in methods:
        scored = rainkit(
            "eval", *folders, "--method", method.name, "--protocol", PROTOCOL, "--json", "--quiet"
        )
        names = [f"{result['dataset']} ({result['images']})" for result in scored["results"]]
        means = [
            {name: score["mean"] for name, score in result["summary"].items()}
            for result in scored["results"]
        ]
        cells["input"] = [f"{mean['input_psnr']:.2f} / {mean['input_ssim']:.4f}" for mean in means]
        cells[f"`{scored['weights']['name']}`"] = [
            f"{mean['psnr']:.2f} / {mean['ssim']:.4f}" for mean in means
        ]
    rows = [(name, *values) for name, values in cells.items()]
    return (
        "### Quality of the shipped weights\n\n"
        f"PSNR in dB / SSIM, protocol `{PROTOCOL}`; how many pictures in brackets.\n\n"
        f"{table(('weights', *names), rows)}"
    )


def published(methods: list[Method]) -> str:
    """The tables of all papers, with the rivals in them."""
    lines = ["### Published in the papers, not measured by us", "", "Figures as printed."]
    for method in methods:
        lines += ["", f"#### {method.title}", "", f"{method.paper.title}."]
        for each in paper_tables(method, rivals=True):
            lines += ["", f"*{each.table.title}*", "", table(each.table.columns, each.table.rows)]
            lines += [f"\nNote: {note}." for note in each.notes]
    return "\n".join(lines)


def rainkit(*arguments: object) -> Any:
    """The JSON that a command prints; exits if it fails."""
    command = [sys.executable, "-m", "rainkit", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"rainkit {arguments[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Markdown; a column whose cells are figures is aligned to the right."""
    columns = list(zip(*rows, strict=True))
    marks = [
        "--:" if all(not cell or cell[0].isdigit() or cell == "-" for cell in column) else "---"
        for column in columns
    ]
    lines = (headings, tuple(marks), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
