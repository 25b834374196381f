"""What a training run leaves behind."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["TrainResult"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """What a finished run left behind.

    Attributes:
        run: the run folder.
        weights: the averaged weights after the last step.
        best: the averaged weights with the highest validation PSNR; None without validation.
        steps: steps done in all.
        done_now: of these, the steps of this call.
        seconds: wall time of this call.
        scores: the last validation, ``{"<set>/psnr": dB, ...}``.
    """

    run: Path
    weights: Path
    best: Path | None
    steps: int
    done_now: int
    seconds: float
    scores: dict[str, float]

    def to_data(self) -> dict[str, Any]:
        """As JSON-able data."""
        data = dataclasses.asdict(self)
        return {k: str(v) if isinstance(v, Path) else v for k, v in data.items()}
