"""rainkit takes rain out of photographs.

>>> import rainkit
>>> derainer = rainkit.load("graspp-gan")  # doctest: +SKIP
>>> clean = derainer.derain("rainy.jpg")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rainkit.inference import Derainer, derain, load
    from rainkit.rain.transform import RainTransform

__all__ = ["Derainer", "RainTransform", "__version__", "derain", "load"]

__version__ = "0.1.0"

_HOMES = {"RainTransform": "rainkit.rain.transform"}


def __getattr__(name: str) -> Any:
    """Load the public API on first use (PEP 562): ``import rainkit`` stays free of torch."""
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "rainkit.inference")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
