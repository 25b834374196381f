"""What a training run leaves behind."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit.training.stopping import Reason

__all__ = ["TrainResult"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """What a finished run left behind.

    Attributes:
        run: the run folder.
        weights: the averaged weights after the last step.
        best: the averaged weights with the highest validation PSNR; None without validation.
        steps: steps done in all.
        planned: steps of the whole training.
        stopped: why it ended before its last step: ``signal``, ``time`` or ``no gain``.
        done_now: of these, the steps of this call.
        seconds: wall time of this call.
        all_seconds: of this call and those it continues, as far as their checkpoints tell.
        parameters: numbers of the network.
        scores: the last validation, ``{"<set>/psnr": dB, "<set>/input_psnr": dB, ...}``.
        skipped: pictures that could not be read, and how often each was passed over.
    """

    run: Path
    weights: Path
    best: Path | None
    steps: int
    planned: int
    stopped: Reason | None
    done_now: int
    seconds: float
    all_seconds: float
    parameters: int
    scores: dict[str, float]
    skipped: dict[str, int]

    def to_data(self) -> dict[str, Any]:
        """As JSON-able data."""
        data = dataclasses.asdict(self)
        return {k: str(v) if isinstance(v, Path) else v for k, v in data.items()}
