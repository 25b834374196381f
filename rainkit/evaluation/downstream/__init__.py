"""Measure whether deraining helps a detector or a segmenter: ``rainkit downstream``."""

from __future__ import annotations

from rainkit.evaluation.downstream.benefit import (
    COLUMNS,
    FILES,
    PAGE,
    Downstream,
    DownstreamRequest,
    Row,
    check,
    latex,
    markdown,
    measure,
    write,
)
from rainkit.evaluation.downstream.photographs import (
    PhotographsRequest,
    are_photographs,
    measure_photographs,
    run_photographs,
)

__all__ = [
    "COLUMNS",
    "FILES",
    "PAGE",
    "Downstream",
    "DownstreamRequest",
    "PhotographsRequest",
    "Row",
    "are_photographs",
    "check",
    "latex",
    "markdown",
    "measure",
    "measure_photographs",
    "run_photographs",
    "write",
]
