"""What became of a run over pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

__all__ = ["InferResult", "Outcome", "Status"]

Status: TypeAlias = Literal["done", "skipped", "failed", "not attempted"]
"""``skipped``: the result was there already; ``not attempted``: after a full disk, for example."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one picture.

    Attributes:
        input: the rainy file.
        output: the file that was, or would have been, written.
        status: what became of it.
        error: in one line, why there is no result; None = there is one.
        seconds: time in the network, transfers included; 0 for pictures that never got there.
        size: width and height in pixels, as far as it is known.
        blocks: how many blocks of an anytime method ran; None = not known, or it is none.
        parts: the files of the parts that were asked for, by name.
    """

    input: Path
    output: Path
    status: Status = "done"
    error: str | None = None
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    blocks: int | None = None
    parts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferResult:
    """What became of all pictures.

    Attributes:
        outcomes: one for each picture, in the order of the inputs.
        method: the method's name.
        weights: the name of the weights.
        device: where it ran.
        precision: in which number format.
        outputs: the folders that hold the results, or the one file.
        parts: the folders that hold the parts, if they were asked for.
        blocks: how many blocks the network has; None = it is not an anytime one.
        seconds: wall time of the whole run after loading.
        report: the page, if one was asked for and made.
        report_error: why the page that was asked for could not be written, in one line.
    """

    outcomes: tuple[Outcome, ...]
    method: str
    weights: str
    device: str
    precision: str
    outputs: tuple[Path, ...]
    seconds: float
    parts: tuple[Path, ...] = ()
    blocks: int | None = None
    report: Path | None = None
    report_error: str | None = None

    @property
    def done(self) -> tuple[Outcome, ...]:
        """Pictures whose result was written."""
        return self._of("done")

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """Pictures whose result was there already."""
        return self._of("skipped")

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Pictures that were tried and have no result."""
        return self._of("failed")

    @property
    def not_attempted(self) -> tuple[Outcome, ...]:
        """Pictures that were not tried, as no result could be written any more."""
        return self._of("not attempted")

    @property
    def exit_code(self) -> int:
        """0 every result and the report are there, 1 some are not."""
        return 1 if self.failed or self.not_attempted or self.report_error is not None else 0

    def _of(self, status: Status) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if each.status == status)

    def to_data(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "method": self.method,
            "weights": self.weights,
            "device": self.device,
            "precision": self.precision,
            "outputs": [str(each) for each in self.outputs],
            "parts": [str(each) for each in self.parts],
            "blocks": self.blocks,
            "report": None if self.report is None else str(self.report),
            "report_error": self.report_error,
            "seconds": self.seconds,
            "done": len(self.done),
            "skipped": len(self.skipped),
            "failed": len(self.failed),
            "not_attempted": len(self.not_attempted),
            "pictures": [
                {
                    "input": str(each.input),
                    "output": str(each.output),
                    "status": each.status,
                    "seconds": each.seconds,
                    "width": each.size[0] if each.size else None,
                    "height": each.size[1] if each.size else None,
                    "blocks": each.blocks,
                    "parts": {name: str(path) for name, path in each.parts.items()},
                    "error": each.error,
                }
                for each in self.outcomes
            ],
        }
