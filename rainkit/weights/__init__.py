"""Trained weights: files whose header says which network they fit, and tools for them.

``store`` finds, inspects, loads and writes them; ``fetching`` brings them from the network when a
user asks for it; ``listing`` says which there are; ``importing`` fills a network for finetuning and
makes weights files of foreign checkpoints; ``packing`` makes the files that a plugin ships out of a
run; ``verifying`` says whether weights are good.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rainkit.weights.importing import Imported, Initialised, import_checkpoint, initialise
    from rainkit.weights.listing import Got, ListedWeights, get, list_weights
    from rainkit.weights.packing import Packed, pack
    from rainkit.weights.store import (
        Inspection,
        TensorInfo,
        WeightsFile,
        find,
        inspect,
        load,
        local_file,
        open_file,
        save,
    )
    from rainkit.weights.verifying import Verification, verify

__all__ = [
    "Got",
    "Imported",
    "Initialised",
    "Inspection",
    "ListedWeights",
    "Packed",
    "TensorInfo",
    "Verification",
    "WeightsFile",
    "find",
    "get",
    "import_checkpoint",
    "initialise",
    "inspect",
    "list_weights",
    "load",
    "local_file",
    "open_file",
    "pack",
    "save",
    "verify",
]

_HOMES = {
    "Got": "listing",
    "Imported": "importing",
    "Initialised": "importing",
    "ListedWeights": "listing",
    "Packed": "packing",
    "Verification": "verifying",
    "get": "listing",
    "import_checkpoint": "importing",
    "initialise": "importing",
    "list_weights": "listing",
    "pack": "packing",
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use (PEP 562), so that inspecting a file does not import torch."""
    if name in __all__:
        home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'store')}")
        return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
