"""Trained weights: files whose header says which network they fit, and tools for them.

``files`` finds, opens and writes them; ``importing`` fills a network for finetuning; ``packing``
makes what a plugin ships of a run; ``inspecting`` and ``verifying`` say what a file holds and
whether it is good.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rainkit.weights.header import Inspection, TensorInfo, inspect
    from rainkit.weights.importing import Initialised, initialise
    from rainkit.weights.packing import Packed, pack
    from rainkit.weights.store import WeightsFile, find, load, open_file, save
    from rainkit.weights.verifying import Verification, verify

__all__ = [
    "Initialised",
    "Inspection",
    "Packed",
    "TensorInfo",
    "Verification",
    "WeightsFile",
    "find",
    "initialise",
    "inspect",
    "load",
    "open_file",
    "pack",
    "save",
    "verify",
]

_HOMES = {
    "Initialised": "importing",
    "Inspection": "header",
    "Packed": "packing",
    "TensorInfo": "header",
    "Verification": "verifying",
    "initialise": "importing",
    "inspect": "header",
    "pack": "packing",
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for on first use (PEP 562): inspecting a file stays free of torch."""
    if name in __all__:
        home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'store')}")
        return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
