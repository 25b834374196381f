"""Photographs of real rain through every method: a page to look at, and tables of what is left.

python examples/benchmarks/photographs.py PHOTOS -o FOLDER [-m NAME[=WEIGHTS][@LABEL]]...
    [--side 480] [--limit N]

Shrinks the photographs to --side pixels, derains them by the named methods (by all installed ones
with weights if none is named), and writes into FOLDER

- no_target.html, a page with each photograph beside all results,
- photographs.md, a table of the share of the streak energy that each method leaves, and of the
  pixels that it darkens, photograph by photograph,
- no_target.json and the other files of ``rainkit no-target``.

It prints the means, and the lines of a plugin's card that say them, which ``--method auto`` weighs.
Derained pictures stay in FOLDER, so that a run that was stopped goes on, and so that another method
can be added to the page by naming all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rainkit import images, networks, plugins
from rainkit import weights as weight_files
from rainkit.errors import exiting
from rainkit.render.text_tables import markdown

FIGURES = {"streak_energy": "left", "rain_removed": "darkened"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photographs of rain")
    parser.add_argument("-m", "--method", action="append", help="NAME[=WEIGHTS][@LABEL]")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of results")
    parser.add_argument("--side", type=int, default=480, help="longest side in pixels")
    parser.add_argument("--limit", type=int, help="only the first photographs")
    given = parser.parse_args()
    small = given.output / f"shrunk-{given.side}"
    for each in images.find([given.photos])[: given.limit]:
        path = small / each.relative.with_suffix(".png")
        if not path.exists():
            rgb = images.shrink(images.read(each.path).rgb, given.side)
            images.write(path, images.Picture(images.to_uint8(rgb)))
    names = given.method or _shipping()
    results = _measured(small, names, given.output, given.limit)
    (given.output / "photographs.md").write_text(table(results), encoding="utf-8")
    for name, result in zip(names, results, strict=True):
        left, darkened = (result["summary"][figure]["mean"] for figure in FIGURES)
        print(
            f"{result['result']}: {result['images']} photographs, {left:.3f} of the streak energy "
            f"left, {darkened:.3f} of the pixels darkened\n"
            f"        photographs=MeasuredPhotographs(images={result['images']}, "
            f"longest_side={given.side}, streaks_left={left:.3f}),\n"
            f"        gflop={_gflop(name.partition('@')[0]):.1f},"
        )
    print(f"{given.output / 'no_target.html'} shows them side by side")


def table(results: list[dict[str, Any]]) -> str:
    """Return what ``rainkit no-target --json`` says of results, a line for each photograph."""
    labels = [result["result"] for result in results]
    columns = [f"{label}: {word}" for word in FIGURES.values() for label in labels]
    rows = []
    means = [result["summary"][figure]["mean"] for figure in FIGURES for result in results]
    by_name = [{row["name"]: row for row in result["rows"]} for result in results]
    for name, first in by_name[0].items():
        found = [each.get(name, {}).get(figure) for figure in FIGURES for each in by_name]
        size = f"{first['width']} x {first['height']}"
        rows.append([name, size, *("-" if value is None else f"{value:.2f}" for value in found)])
    rows.append(["mean", "", *(f"{value:.3f}" for value in means)])
    return "\n".join([*markdown(("photograph", "px", *columns), rows), ""])


def _shipping() -> list[str]:
    names = [found.name for found in plugins.installed() if found.problem is None]
    return [name for name in names if plugins.get(name).weights]


def _measured(photos: Path, names: list[str], output: Path, limit: int | None) -> list[Any]:
    """Return what ``rainkit no-target`` says of each method."""
    command = ["no-target", str(photos), "-o", str(output), "--report", "--overwrite", "--json"]
    command += [part for name in names for part in ("-m", name)]
    if limit is not None:
        command += ["--limit", str(limit)]
    done = subprocess.run(
        [sys.executable, "-m", "rainkit", *command], check=False, stdout=subprocess.PIPE
    )
    if done.returncode:
        sys.exit(f"rainkit no-target ended with {done.returncode}")
    results: list[Any] = json.loads(done.stdout)["results"]
    return results


def _gflop(name: str) -> float:
    """Return the work of a picture of 512 x 512 pixels."""
    method, _, weights = name.partition("=")
    chosen = plugins.get(method)
    file = weight_files.find(chosen, weights or None)
    return networks.gflop(networks.build(chosen, file.network), side=512)


if __name__ == "__main__":
    with exiting():
        main()
