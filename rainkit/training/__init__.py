"""Training: a loop that drives a plugin's objective, with exact resume."""

from __future__ import annotations

from rainkit.training.loop import train
from rainkit.training.record import reopen
from rainkit.training.request import TrainRequest
from rainkit.training.result import TrainResult

__all__ = ["TrainRequest", "TrainResult", "reopen", "train"]
