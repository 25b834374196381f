"""Mix the weights of two trainings, one of which began with the other's: often better than either.

python examples/recipes/mix_weights.py FIRST.safetensors SECOND.safetensors 0.7 MIX.safetensors

0.7 is the share of the second. The header is the second's, with what was mixed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rainkit import plugins, weights
from rainkit.errors import exiting
from rainkit.weights.store import read

KEPT = ("method", "variant", "api", "network")


def main() -> None:
    parser = argparse.ArgumentParser(description="Mix the weights of two trainings.")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("share", type=float, help="of the second, 0 to 1")
    parser.add_argument("mix", type=Path)
    given = parser.parse_args()
    method = plugins.get(weights.inspect(given.second).method or "")
    first, second = (weights.open_file(method, path) for path in (given.first, given.second))
    if first.network != second.network:
        raise SystemExit(f"{given.first} and {given.second} are of different networks")
    states = read(given.first), read(given.second)
    mixed = {
        name: tensor
        if not tensor.is_floating_point()
        else states[0][name].lerp(tensor, given.share)
        for name, tensor in states[1].items()
    }
    about = {key: value for key, value in second.header.items() if key not in KEPT}
    about["mixed"] = f"{1 - given.share:g} {given.first.name}, {given.share:g} {given.second.name}"
    weights.save(
        given.mix,
        mixed,
        method=method,
        variant=second.variant,
        network=second.network,
        about=about,
        overwrite=False,
    )


if __name__ == "__main__":
    with exiting():
        main()
