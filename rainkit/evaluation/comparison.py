"""The result that the command line, ``--json`` and the written files all read."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import PIL

import rainkit
from rainkit.datasets.stored import Stored
from rainkit.errors import UsageError
from rainkit.evaluation.measures import Ready
from rainkit.evaluation.scores import Failure, Scores, Summary

__all__ = [
    "Advance",
    "Comparison",
    "SourceFile",
    "about_metrics",
    "excluded_notices",
    "parse_bar",
    "versions",
]

Advance = Callable[[int, int], None]
"""Told after every picture how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file behind the figures of one ``picture``. ``role`` is rainy, restored or target."""

    dataset: str
    role: str
    stored: Stored
    picture: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What an evaluation found.

    Attributes:
        restored: its row's name in tables: the method with its weights, or the folder.
        scores: one per dataset and protocol; datasets in order, protocols within.
        about: method, weights, device and versions, for metrics.json.
        notices: what a reader of the figures must know.
        files: the files behind the figures.
        part_of: the row of the method that this is a part of, whose name this one begins with.
        parts: those of the method, each an evaluation of its own.
    """

    restored: str
    scores: tuple[Scores, ...]
    about: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()
    part_of: str | None = None
    parts: tuple[Comparison, ...] = ()

    @property
    def failures(self) -> tuple[tuple[str, Failure], ...]:
        """Pictures that could not be scored, each once, with the name of their dataset."""
        pairs = ((scores.dataset, failure) for scores in self.scores for failure in scores.failures)
        return tuple(dict.fromkeys(pairs))

    def below(self, bars: Iterable[str]) -> tuple[str, ...]:
        """The bars missed, in words; a bar is ``psnr=30`` and holds for every dataset's mean.

        A quantity that could not be computed misses its bar. Quantities: psnr, ssim, psnr_gain,
        ssim_gain.

        Raises:
            UsageError: a bar that is not ``quantity=number``.
        """
        missed = []
        for quantity, bar in map(parse_bar, bars):
            for scores in self.scores:
                mean = scores.summary(quantity).mean
                if not mean >= bar:  # also true for NaN
                    label = scores.protocol.label
                    shown = "n/a" if math.isnan(mean) else f"{mean:.4f}"
                    missed.append(f"{scores.dataset}: {quantity} {shown} < {bar:g} ({label})")
        return tuple(missed)

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
        return {
            "restored": self.restored,
            **({"part_of": self.part_of} if self.part_of else {}),
            **self.about,
            "notices": list(self.notices),
            "results": [scores.to_data() for scores in self.scores],
        }


def parse_bar(text: str) -> tuple[str, float]:
    """``psnr=30`` as a quantity and a number.

    Raises:
        UsageError: it is not one, or the number is not finite.
    """
    quantity, _, number = text.partition("=")
    try:
        if quantity in ("psnr", "ssim", "psnr_gain", "ssim_gain"):
            bar = float(number)
            if math.isfinite(bar):  # nothing reaches nan, and everything or nothing inf
                return quantity, bar
    except ValueError:
        pass
    raise UsageError(f"--fail-below {text}: write psnr=30, ssim=0.9, psnr_gain=5 or ssim_gain=0.05")


def excluded_notices(scores: Iterable[Scores]) -> tuple[str, ...]:
    """Say which pictures the means leave out, and where that leaves none."""
    scores = tuple(scores)
    several = len({each.dataset for each in scores}) > 1
    notices = []
    for each in scores:
        where = f"{each.dataset} ({each.protocol.label})"
        for role, psnr in (("restored", each.psnr), ("rainy", each.input_psnr)):
            if psnr.excluded:
                notices.append(f"{where}: {_equal(psnr, role, several)}")
        if each.ssim.excluded:
            count, side = each.ssim.excluded, each.protocol.window.side
            are = "picture is" if count == 1 else "pictures are"
            notices.append(
                f"{where}: {count} {are} smaller than SSIM's {side} x {side} window and left out"
                " of its mean"
            )
        for name, _ in each.rows[0].extras if each.rows else ():
            if count := each.summary(name).excluded:
                are = "picture is" if count == 1 else "pictures are"
                notices.append(
                    f"{each.dataset}: {count} {are} without {name}, and left out of its mean"
                )
    return tuple(dict.fromkeys(notices))


def _equal(psnr: Summary, role: str, several: bool) -> str:
    """What the table shows for pictures that equal their target: inf only if all do."""
    count = psnr.excluded
    if not psnr.count:
        all_ = f"the only {role} picture equals its target"
        if count > 1:
            all_ = f"all {count} {role} pictures equal their targets"
        return f"{all_}: PSNR is infinite" + ", and left out of the last row" * several
    equal = "picture equals its target" if count == 1 else "pictures equal their targets"
    return f"{count} {role} {equal}; infinite PSNR and gains are left out of the means"


def about_metrics(metrics: Iterable[Ready]) -> dict[str, Any]:
    """What defines the further metrics of an evaluation, if it has any, for its ``about``."""
    told = [each.to_data() for each in metrics]
    return {"metrics": told} if told else {}


def versions() -> dict[str, str]:
    """Of everything that decodes or computes."""
    return {
        "rainkit": rainkit.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
