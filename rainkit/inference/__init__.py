"""Taking rain out of pictures: one at a time in Python, or whole folders."""

from __future__ import annotations

from rainkit.inference.derainer import Derainer
from rainkit.inference.loading import derain, load, only_method
from rainkit.inference.page import blocks_used, tally
from rainkit.inference.pipeline import infer
from rainkit.inference.progress import Progress
from rainkit.inference.request import InferRequest
from rainkit.inference.result import InferResult, Outcome

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
    "tally",
]
