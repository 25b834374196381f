"""Measure whether deraining helps a detector or a segmenter: ``rainkit downstream``."""

from __future__ import annotations

from rainkit.evaluation.downstream.benefit import (
    COLUMNS,
    FILES,
    Downstream,
    DownstreamRequest,
    Row,
    check,
    latex,
    markdown,
    measure,
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
