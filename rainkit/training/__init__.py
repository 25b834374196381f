"""Training: a loop that drives a plugin's objective, with exact resume."""

from __future__ import annotations

from rainkit.training.ablation import Ablation, ablate, alike
from rainkit.training.loop import TrainResult, train
from rainkit.training.planning import Plan, fit, parse_time, plan
from rainkit.training.profiling import Profile, profile
from rainkit.training.run_config import TrainRequest, reopen

__all__ = [
    "Ablation",
    "Plan",
    "Profile",
    "TrainRequest",
    "TrainResult",
    "ablate",
    "alike",
    "fit",
    "parse_time",
    "plan",
    "profile",
    "reopen",
    "train",
]
