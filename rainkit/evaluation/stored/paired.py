"""Two results on the same pictures: how far apart they are, and whether chance could do that."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CONFIDENCE", "RESAMPLES", "PairedDifference", "holm", "paired"]

CONFIDENCE = 0.95
"""Of the intervals."""

RESAMPLES = 9999
"""Bootstrap samples behind an interval."""

_SEED = 0
_BATCH = 4_000_000  # figures drawn at a time: about 64 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """What is found of the differences, picture by picture.

    Attributes:
        count: pictures where both figures are finite; all else is of these.
        excluded: pictures where one is infinite or undefined.
        reference: mean of the reference; NaN of no picture.
        other: mean of the other.
        mean: mean difference, other minus reference.
        low: lower end of the mean's 95 % bootstrap interval; NaN of less than two pictures.
        high: its upper end.
        higher: pictures where the other's figure is higher.
        ties: pictures where both are equal within the tolerance.
        lower: pictures where it is lower.
        p: two-sided p of Wilcoxon's signed-rank test; 1 if all are ties, None of less than two
            pictures.
    """

    count: int
    excluded: int
    reference: float
    other: float
    mean: float
    low: float
    high: float
    higher: int
    ties: int
    lower: int
    p: float | None


def paired(
    reference: Sequence[float], other: Sequence[float], *, tolerance: float = 0.0
) -> PairedDifference:
    """Compare two results on the same pictures; the same figures always give the same answer.

    The interval is a bias-corrected and accelerated bootstrap of the mean over pictures, or of
    plain percentiles where that correction is undefined. Ties are left out of the test
    (Wilcoxon's own way, and that of most programs): they say nothing about the direction.

    Args:
        reference: a figure per picture, infinite and NaN among them.
        other: of the same pictures in the same order.
        tolerance: differences up to this are no differences, neither in the mean nor in the test.
    """
    before, after = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    finite = np.isfinite(before) & np.isfinite(after)
    before, after = before[finite], after[finite]
    differences = after - before
    differences[np.abs(differences) <= tolerance] = 0
    some = bool(differences.size)
    low, high = _interval(differences)
    return PairedDifference(
        count=int(finite.sum()),
        excluded=int((~finite).sum()),
        reference=float(before.mean()) if some else math.nan,
        other=float(after.mean()) if some else math.nan,
        mean=float(differences.mean()) if some else math.nan,
        low=low,
        high=high,
        higher=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        lower=int((differences < 0).sum()),
        p=_signed_rank(differences),
    )


def holm(ps: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust the p of several tests so that the least one means as much as that of a single test.

    Holm's step-down: the smallest of m is multiplied by m, the next by m - 1, and none becomes
    smaller than one before it, nor larger than 1.

    Args:
        ps: None for what could not be tested; it stays None and does not count.
    """
    tested = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    least = 0.0
    for rank, (p, place) in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = least
    return tuple(adjusted)


def _interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    from scipy import stats

    if differences.size < 2:
        return math.nan, math.nan
    if np.ptp(differences) == 0:
        same = float(differences[0])
        return same, same
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # What it warns of is a NaN, seen below.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            found = stats.bootstrap(
                (differences,),
                np.mean,
                n_resamples=RESAMPLES,
                batch=max(1, _BATCH // differences.size),
                confidence_level=CONFIDENCE,
                method=method,
                rng=np.random.default_rng(_SEED),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def _signed_rank(differences: npt.NDArray[np.float64]) -> float | None:
    from scipy import stats

    if differences.size < 2:
        return None
    # Taken out here, and not by zero_method="wilcox", which is the same but for the exact
    # distribution: with zeros among the figures, scipy approximates it from 14 on instead of 51.
    moved = differences[differences != 0]
    return float(stats.wilcoxon(moved).pvalue) if moved.size else 1.0
