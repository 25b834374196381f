"""Whether deraining helps what comes after it: a detector or a segmenter, before and after."""

from __future__ import annotations

from rainkit.evaluation.downstream.benefit import DownstreamRequest, check, measure
from rainkit.evaluation.downstream.results import (
    COLUMNS,
    FILES,
    Downstream,
    Row,
    latex,
    markdown,
    write,
)

__all__ = [
    "COLUMNS",
    "FILES",
    "Downstream",
    "DownstreamRequest",
    "Row",
    "check",
    "latex",
    "markdown",
    "measure",
    "write",
]
