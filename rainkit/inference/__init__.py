"""Taking rain out of pictures: one at a time in Python, or whole folders.

``setup`` finds method and weights, ``inputs`` the pictures, and ``outputs`` decides where results
go; ``derainer`` runs a network on a picture, tile by tile (``tiles``), ``pipeline`` runs it over
many pictures, and ``record`` knows how results were made. ``batch`` is a whole run with its
``outcomes``, ``watching`` one that takes what arrives, and ``report`` makes the page that shows the
pictures side by side.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rainkit.inference.batch import infer, infer_methods
from rainkit.inference.outcomes import (
    InferRequest,
    InferResult,
    MethodsResult,
    MethodToRun,
    Outcome,
    Progress,
)
from rainkit.inference.report import blocks_used, tally
from rainkit.inference.setup import AUTO, default_method
from rainkit.inference.video import VideoResult
from rainkit.inference.watching import watch

if TYPE_CHECKING:
    from rainkit.inference.derainer import DerainedItem, Derainer
    from rainkit.inference.loading import derain, load, open_derainer

__all__ = [
    "AUTO",
    "DerainedItem",
    "Derainer",
    "InferRequest",
    "InferResult",
    "MethodToRun",
    "MethodsResult",
    "Outcome",
    "Progress",
    "VideoResult",
    "blocks_used",
    "default_method",
    "derain",
    "infer",
    "infer_methods",
    "load",
    "open_derainer",
    "tally",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Load a name that needs torch on first use (PEP 562)."""
    if name in __all__:
        home = "derainer" if name in ("DerainedItem", "Derainer") else "loading"
        return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
