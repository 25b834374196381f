"""Measure the strength of the rain of each preset beside the values that it was calibrated to.

python examples/checks/presets.py FOLDER [--only PRESET ...]

The script renders every photograph of FOLDER once per row, without fog, and scores the result
against the photograph with the protocol "prenet": mean PSNR and SSIM on Y. The targets were
measured on 40 test pictures of BSDS500 and hold for photographs like them. Rows that differ by
more than 0.7 dB or 0.03 are marked, and the exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rainkit import images
from rainkit.errors import exiting
from rainkit.evaluation.metrics.protocols import protocol
from rainkit.rain import PRESETS, RainSettings, render

DB, SIMILARITY = 0.7, 0.03


class Row(NamedTuple):
    """A preset at a rate in mm/h (None for its own rate), and what it should measure."""

    preset: str
    rate: float | None
    psnr: float | None
    ssim: float | None

    @property
    def settings(self) -> RainSettings:
        preset = PRESETS[self.preset]
        return preset if self.rate is None else preset.at_rate(self.rate)


ROWS = (
    Row("default", 2.0, 40.6, 0.982),
    Row("default", 7.0, 33.7, 0.941),
    Row("default", 25.0, 26.9, 0.849),
    Row("default", 80.0, 21.0, 0.719),
    Row("spa", None, 34.20, 0.946),
    Row("rain12", None, 30.17, 0.893),
    Row("rain100l", None, 26.94, 0.849),
    Row("rain100h", None, 13.41, 0.369),
    Row("wide", 7.0, 31.6, 0.935),
    Row("wide", 25.0, 24.5, 0.839),
    Row("short", None, 34.9, 0.945),
    Row("physical", 2.0, None, None),
    Row("physical", 7.0, None, None),
    Row("physical", 80.0, None, None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Strength of every preset beside its target.")
    parser.add_argument("folder", type=Path, help="folder of clean photographs")
    parser.add_argument("--only", nargs="+", choices=tuple(PRESETS), help="these presets")
    given = parser.parse_args()
    pictures = [
        images.to_uint8(images.read(found.path).rgb) for found in images.find([given.folder])
    ]
    print(f"{len(pictures)} pictures, streaks only, protocol {protocol('prenet').label}")
    print("preset     mm/h    PSNR  target  differs    SSIM  target  differs")
    off = 0
    for row in ROWS:
        if given.only and row.preset not in given.only:
            continue
        psnr, ssim = strength(pictures, row.settings)
        rate = row.settings.rate_mm_h
        line = f"{row.preset:10} {rate:4g}  {psnr:6.2f}"
        if row.psnr is None or row.ssim is None:
            print(f"{line}       -        -  {ssim:6.3f}       -        -")
            continue
        louder, like = psnr - row.psnr, ssim - row.ssim
        line += f"  {row.psnr:6.2f}  {louder:+7.2f}  {ssim:6.3f}  {row.ssim:6.3f}  {like:+7.3f}"
        outside = [
            name
            for name, is_off in (("PSNR", abs(louder) > DB), ("SSIM", abs(like) > SIMILARITY))
            if is_off
        ]
        off += bool(outside)
        print(f"{line}  {'<- ' + ' and '.join(outside) if outside else ''}".rstrip())
    sys.exit(bool(off))


def strength(pictures: list[np.ndarray], settings: RainSettings) -> tuple[float, float]:
    """Return mean PSNR and SSIM on Y of rainy pictures against the clean ones."""
    by = protocol("prenet")
    scores = [
        by.scores(render(clean, settings, (0, index)).rainy, clean)
        for index, clean in enumerate(pictures)
    ]
    psnr, ssim = np.mean(scores, axis=0)
    return float(psnr), float(ssim)


if __name__ == "__main__":
    with exiting():
        main()
