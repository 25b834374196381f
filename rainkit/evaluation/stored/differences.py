"""What comparing stored results found, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit.evaluation.stored.paired import CONFIDENCE, RESAMPLES, PairedDifference
from rainkit.evaluation.texts import finite

__all__ = ["METHOD", "Compared", "Difference"]

METHOD = (
    f"Differences are the result's figure minus the reference's. Interval: {CONFIDENCE:.0%} "
    f"bootstrap (BCa, {RESAMPLES} resamples of the pictures) of the mean difference. "
    "p: Wilcoxon's signed-rank test, two-sided, ties left out, adjusted by Holm over the rows "
    "of a table"
)
"""How the figures come about, for those who read them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One result against the reference: one quantity on one dataset.

    Attributes:
        dataset: its name.
        label: the protocol's name and version, or the metric's for further ones.
        restored: the result's name.
        quantity: such as ``psnr``.
        title: of the quantity, for tables.
        higher_is_better: which way is better; None = neither.
        found: over all pictures that both have.
        p_holm: its p, adjusted over all differences of this quantity and label.
        pictures: name, the reference's figure and the result's.
    """

    dataset: str
    label: str
    restored: str
    quantity: str
    title: str
    higher_is_better: bool | None
    found: PairedDifference
    p_holm: float | None = None
    pictures: tuple[tuple[str, float, float], ...] = ()

    def to_data(self) -> dict[str, Any]:
        """For JSON: what is undefined becomes null."""
        found, better = self.found, self.higher_is_better
        gained, lost = (found.higher, found.lower) if better else (found.lower, found.higher)
        return {
            "dataset": self.dataset,
            "label": self.label,
            "result": self.restored,
            "quantity": self.quantity,
            "higher_is_better": better,
            "pictures": found.count,
            "excluded": found.excluded,
            "reference_mean": finite(found.reference),
            "result_mean": finite(found.other),
            "mean_difference": finite(found.mean),
            "interval": None if math.isnan(found.low) else [found.low, found.high],
            "better": None if better is None else gained,
            "same": found.ties,
            "worse": None if better is None else lost,
            "higher": found.higher,
            "lower": found.lower,
            "p": found.p,
            "p_holm": self.p_holm,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What was found.

    Attributes:
        reference: name of the result that the others are compared with.
        files: of every result, by its name.
        differences: datasets and quantities in order.
        notices: what a reader of the figures must know.
        written: files written.
    """

    reference: str
    files: dict[str, Path]
    differences: tuple[Difference, ...]
    notices: tuple[str, ...] = ()
    written: tuple[Path, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
        return {
            "reference": self.reference,
            "results": {name: str(file) for name, file in self.files.items()},
            "method": METHOD,
            "confidence": CONFIDENCE,
            "notices": list(self.notices),
            "differences": [each.to_data() for each in self.differences],
        }
