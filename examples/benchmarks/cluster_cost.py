"""The cost of a million pictures from a measured throughput and the price of an hour.

    python examples/benchmarks/cluster_cost.py --machine NAME PICTURES_PER_S PRICE_PER_HOUR ...

    python examples/benchmarks/cluster_cost.py --machine "8 cores" 2.5 0.40 --machine GPU 31 2.00 \
        --pictures 1e9 --days 7 --lost 0.05

Both numbers are yours: pictures a second are what "rainkit infer --json" measured on such a machine
with your pictures and your method (done / seconds), and the price is what you pay for it. --lost is
the share of the time in which machines start, wait or repeat work. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

HEAD = ("machine", "pictures/s", "price/h", "cost of 10^6", "hours of 10^6")


@dataclass(frozen=True)
class Machine:
    """A kind of machine: pictures that it derains in a second, and the price of an hour of it."""

    name: str
    rate: float
    price: float

    def hours(self, pictures: float, lost: float) -> float:
        """Return for how long one such machine works on pictures."""
        return pictures / self.rate / 3600 / (1 - lost)


def table(machines: list[Machine], pictures: float, days: float | None, lost: float) -> str:
    """Return the table; with ``days``, also how many machines do all pictures in that time."""
    head = [*HEAD, f"cost of {pictures:.0e}"]
    rows = []
    for each in machines:
        million, whole = each.hours(1e6, lost), each.hours(pictures, lost)
        row = [each.name, f"{each.rate:g}", f"{each.price:g}"]
        row += [f"{million * each.price:,.2f}", f"{million:,.1f}", f"{whole * each.price:,.0f}"]
        if days is not None:
            row.append(f"{math.ceil(whole / 24 / days):,}")
        rows.append(row)
    if days is not None:
        head.append(f"machines for {days:g} days")
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--machine",
        nargs=3,
        action="append",
        required=True,
        metavar=("NAME", "PICTURES_PER_S", "PRICE_PER_HOUR"),
    )
    parser.add_argument("--pictures", type=float, default=1e9)
    parser.add_argument("--days", type=float)
    parser.add_argument("--lost", type=float, default=0.0)
    asked = parser.parse_args()
    try:
        machines = [Machine(name, float(rate), float(price)) for name, rate, price in asked.machine]
    except ValueError as error:
        parser.error(f"--machine: a rate or a price is no number ({error})")
    if any(each.rate <= 0 or each.price < 0 for each in machines) or not 0 <= asked.lost < 1:
        parser.error("pictures a second must be above 0, prices 0 or more, and --lost below 1")
    print(table(machines, asked.pictures, asked.days, asked.lost))


if __name__ == "__main__":
    main()
