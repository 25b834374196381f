"""rainkit takes rain out of photographs.

>>> import rainkit
>>> derainer = rainkit.load("graspp-gan")  # doctest: +SKIP
>>> clean = derainer.derain("rainy.jpg")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rainkit.inference import Derainer, derain, load

__all__ = ["Derainer", "__version__", "derain", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the public API on first use (PEP 562): ``import rainkit`` stays free of torch."""
    if name in __all__:
        from rainkit import inference

        return getattr(inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
