"""One result under several protocols, side by side, with the differences from the first.

rainkit eval -m METHOD PAIRS -o scores --protocol prenet --protocol restormer --protocol rgb
python examples/benchmarks/protocols.py scores/metrics.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rainkit.errors import exiting
from rainkit.evaluation import Summary
from rainkit.evaluation.result_files import StoredResult, read
from rainkit.render.text_tables import markdown


def rows(results: list[StoredResult]) -> list[list[str]]:
    """The rainy pictures themselves, then the result; differences are of means."""
    made = []
    for name, prefix in (("input", "input_"), (results[0].restored, "")):
        means = [
            tuple(
                Summary.of([v for row in each.rows.values() if (v := row.value(what)) is not None])
                for what in (f"{prefix}psnr", f"{prefix}ssim")
            )
            for each in results
        ]
        (psnr, ssim), *_ = means
        for each, (p, s) in zip(results, means, strict=True):
            made.append(
                [
                    results[0].dataset,
                    name,
                    each.protocol,
                    f"{p.mean:.4f}",
                    f"{p.mean - psnr.mean:+.4f}",
                    f"{s.mean:.4f}",
                    f"{s.mean - ssim.mean:+.4f}",
                ]
            )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="One result under several protocols.")
    parser.add_argument("metrics", type=Path, help="a metrics.json of rainkit eval")
    stored = read(parser.parse_args().metrics)
    found: dict[tuple[str, str], list[StoredResult]] = {}
    for each in stored:
        found.setdefault((each.dataset, each.restored), []).append(each)
    columns = ("dataset", "result", "protocol", "PSNR dB", "differs", "SSIM", "differs by")
    table = [row for results in found.values() for row in rows(results)]
    print("\n".join(markdown(columns, table, 3)))


if __name__ == "__main__":
    with exiting():
        main()
