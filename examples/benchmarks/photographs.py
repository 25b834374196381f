"""What weights do to photographs of real rain: the figures that `--method auto` weighs.

python examples/benchmarks/photographs.py PHOTOS -o FOLDER [-m NAME[=WEIGHTS]]... [--side 480]
    [--limit N]

Shrinks the photographs to --side pixels, derains them by the named methods (by all installed ones
with weights if none is named) and prints for each the mean share of the streak energy that is left,
the GFLOP of a picture of 512 x 512 pixels, and the two lines of the plugin's card that say so.
Results are kept in FOLDER, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rainkit import images, networks, plugins
from rainkit import weights as weight_files


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photographs of rain")
    parser.add_argument("-m", "--method", action="append", help="NAME or NAME=WEIGHTS; repeatable")
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
    for name in given.method or _shipping():
        count, left, darkened = _measured(small, name, given.output, given.limit)
        work = _gflop(name)
        print(
            f"{name}: {count} photographs, {left:.3f} of the streak energy left, {darkened:.3f} of "
            f"the pixels darkened, {work:.1f} GFLOP\n"
            f"        photographs=MeasuredPhotographs(images={count}, longest_side={given.side}, "
            f"streaks_left={left:.3f}),\n"
            f"        gflop={work:.1f},",
            flush=True,
        )


def _shipping() -> list[str]:
    names = [found.name for found in plugins.installed() if found.problem is None]
    return [name for name in names if plugins.get(name).weights]


def _measured(photos: Path, name: str, output: Path, limit: int | None) -> tuple[int, float, float]:
    """Return the number of photographs, and the means of streak energy left and pixels darkened."""
    folder = output / name.replace("/", "-")
    command = ["no-target", str(photos), "-m", name, "-o", str(folder), "--overwrite", "--json"]
    if limit is not None:
        command += ["--limit", str(limit)]
    done = subprocess.run(
        [sys.executable, "-m", "rainkit", *command], check=True, stdout=subprocess.PIPE
    )
    (result,) = json.loads(done.stdout)["results"]
    means = (result["summary"][name]["mean"] for name in ("streak_energy", "rain_removed"))
    return result["images"], *means


def _gflop(name: str) -> float:
    """Return the work of a picture of 512 x 512 pixels."""
    method, _, weights = name.partition("=")
    chosen = plugins.get(method)
    file = weight_files.find(chosen, weights or None)
    return networks.gflop(networks.build(chosen, file.network), side=256)


if __name__ == "__main__":
    main()
