"""How much of an anytime network runs: all of it, some blocks, or until little changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rainkit.api import Method
from rainkit.errors import UsageError

__all__ = ["STOP_BELOW", "Effort", "choose"]

STOP_BELOW = 4.0
"""Change in levels of 255 below which no further block runs; see docs/benchmarks/anytime.md."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to run.

    Attributes:
        blocks: blocks to run at most; None = the whole network, with what follows its blocks.
        stop_below: stop after the block that changes the picture by less than this: the root mean
            square over all pixels and channels, in levels of 255, of the difference from the block
            before it (of the first block, from the rainy picture). None = never.
    """

    blocks: int | None = None
    stop_below: float | None = None

    @property
    def whole(self) -> bool:
        """Everything runs, in one pass."""
        return self.blocks is None and self.stop_below is None


def choose(
    method: Method, network: Any, blocks: int | None, effort: str, stop_below: float | None
) -> Effort:
    """Check what a user asks for against what a method can do.

    Args:
        method: an installed method.
        network: its network hyperparameters.
        blocks: at most; None = all.
        effort: ``full``, or ``auto`` to stop early.
        stop_below: for ``auto``, in levels of 255; None = :data:`STOP_BELOW`.

    Raises:
        UsageError: the method is not an anytime one, or an unknown or contradictory value.
    """
    if effort not in ("full", "auto"):
        raise UsageError(f"--effort {effort}: choose full or auto")
    if stop_below is not None and effort != "auto":
        raise UsageError("--stop-below goes with --effort auto: add it")
    if stop_below is not None and not (math.isfinite(stop_below) and stop_below >= 0):
        raise UsageError(f"--stop-below {stop_below}: give levels of 255, such as {STOP_BELOW}")
    if blocks is None and effort == "full":
        return Effort()
    if method.blocks is None:
        option = "--effort auto" if blocks is None else "--blocks"
        raise UsageError(
            f"{option}: {method.name} always runs as a whole; leave it out, or take an anytime "
            "method (`rainkit methods show` tells)"
        )
    most = method.blocks(network)
    if blocks is not None and not 1 <= blocks <= most:
        raise UsageError(f"--blocks {blocks}: the network of these weights has 1 to {most}")
    if effort == "full":
        return Effort(blocks)
    return Effort(blocks, STOP_BELOW if stop_below is None else stop_below)
