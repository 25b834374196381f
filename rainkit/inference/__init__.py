"""Taking rain out of pictures: one at a time in Python, or whole folders."""

from __future__ import annotations

from rainkit.inference.batch import InferRequest, InferResult, Outcome, Progress, infer
from rainkit.inference.derainer import Derainer, derain, load, only_method, open_derainer
from rainkit.inference.report import blocks_used, tally

__all__ = [
    "Derainer",
    "InferRequest",
    "InferResult",
    "Outcome",
    "Progress",
    "blocks_used",
    "derain",
    "infer",
    "load",
    "only_method",
    "open_derainer",
    "tally",
]
