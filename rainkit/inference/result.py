"""What became of a run over pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["InferResult", "Outcome"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one picture.

    Attributes:
        input: the rainy file.
        output: the file that was, or would have been, written.
        error: why it failed, in one line; None = done.
        seconds: time in the network, transfers included; 0 for pictures that never got there.
        size: width and height in pixels, as far as it is known.
    """

    input: Path
    output: Path
    error: str | None = None
    seconds: float = 0.0
    size: tuple[int, int] | None = None

    @property
    def status(self) -> str:
        """``done`` or ``failed``."""
        return "done" if self.error is None else "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResult:
    """What became of all pictures.

    Attributes:
        outcomes: one for each picture, in the order of the inputs.
        method: the method's name.
        weights: the name of the weights.
        device: where it ran.
        precision: in which number format.
        output: the folder that holds the results, or the one file.
        seconds: wall time of the whole run after loading.
        report: the page, if one was asked for.
    """

    outcomes: tuple[Outcome, ...]
    method: str
    weights: str
    device: str
    precision: str
    output: Path
    seconds: float
    report: Path | None = None

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Pictures whose result was written."""
        return tuple(each for each in self.outcomes if each.error is None)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Pictures without a result."""
        return tuple(each for each in self.outcomes if each.error is not None)

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed."""
        return 1 if self.failed else 0

    def to_data(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "method": self.method,
            "weights": self.weights,
            "device": self.device,
            "precision": self.precision,
            "output": str(self.output),
            "report": None if self.report is None else str(self.report),
            "seconds": self.seconds,
            "done": len(self.done),
            "failed": len(self.failed),
            "pictures": [
                {
                    "input": str(each.input),
                    "output": str(each.output),
                    "status": each.status,
                    "seconds": each.seconds,
                    "width": each.size[0] if each.size else None,
                    "height": each.size[1] if each.size else None,
                    "error": each.error,
                }
                for each in self.outcomes
            ],
        }
