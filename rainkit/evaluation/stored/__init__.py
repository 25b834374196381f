"""Scores that were written before: compared with one another, and as a baseline for new ones."""

from __future__ import annotations

from rainkit.evaluation.stored.baseline import Baseline
from rainkit.evaluation.stored.comparing import CompareRequest, compare
from rainkit.evaluation.stored.differences import Compared, Difference
from rainkit.evaluation.stored.files import tables
from rainkit.evaluation.stored.scores import StoredResult, read

__all__ = [
    "Baseline",
    "CompareRequest",
    "Compared",
    "Difference",
    "StoredResult",
    "compare",
    "read",
    "tables",
]
