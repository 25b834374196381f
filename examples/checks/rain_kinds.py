"""What kinds of rain pictures have, by the rule of ``rainkit infer --method auto``.

python examples/checks/rain_kinds.py FOLDER...

For each folder of pictures, such as the rainy side of a set of pairs: how many are of each kind,
and the medians of the two measures that decide. Then the measured gains of the installed weights on
each kind, and which of them the choice takes. docs/benchmarks/choice.md shows both tables.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from statistics import median

from rainkit import images, plugins
from rainkit.errors import RainkitError, exiting
from rainkit.inference.choice import SETS, choose, gain, kind_of, measure
from rainkit.inference.setup import set_up
from rainkit.runtime_options import RuntimeOptions


def main() -> None:
    parser = argparse.ArgumentParser(description="Kinds of rain, and who does best on them.")
    parser.add_argument("folders", nargs="*", type=Path)
    print("| pictures | number |", " | ".join(SETS), "| streaks | levels |")
    for folder in parser.parse_args().folders:
        measures = [measure(images.read(found.path).rgb) for found in images.find([folder])]
        kinds = Counter(map(kind_of, measures))
        counts = " | ".join(str(kinds[kind]) for kind in SETS)
        density, light = (median(each) for each in zip(*measures, strict=True))
        print(f"| {folder} | {len(measures)} | {counts} | {density:.1f} | {light:.1f} |")
    for found in plugins.installed():
        try:
            weights = set_up(plugins.get(found.name), RuntimeOptions()).weights
        except RainkitError as error:
            print(f"{found.name}: {error}")
            continue
        gains = [gain(weights.results, kind) for kind in SETS]
        told = " | ".join("" if each is None else f"{each:.2f}" for each in gains)
        print(f"| {weights.name} | {told} |")
    print(choose(RuntimeOptions()).why())


if __name__ == "__main__":
    with exiting():
        main()
