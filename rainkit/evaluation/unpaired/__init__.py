"""Photographs without ground truth: what can be measured of results all the same."""

from __future__ import annotations

from rainkit.evaluation.unpaired.measuring import (
    DEFAULT_METRICS,
    UnpairedRequest,
    evaluate_unpaired,
    metrics_without_target,
    run_unpaired,
)
from rainkit.evaluation.unpaired.scores import Unpaired
from rainkit.evaluation.unpaired.tables import unpaired_table

__all__ = [
    "DEFAULT_METRICS",
    "Unpaired",
    "UnpairedRequest",
    "evaluate_unpaired",
    "metrics_without_target",
    "run_unpaired",
    "unpaired_table",
]
