"""Training: a loop that drives a plugin's objective, with exact resume."""

from __future__ import annotations

from rainkit.training.ablation import Ablation, ablate, alike
from rainkit.training.loop import TrainResult, leave_group, train
from rainkit.training.planning import Plan, parse_time, plan
from rainkit.training.profiling import Profile, profile
from rainkit.training.run_config import RunSettings, TrainRequest, make_request, reopen

__all__ = [
    "Ablation",
    "Plan",
    "Profile",
    "RunSettings",
    "TrainRequest",
    "TrainResult",
    "ablate",
    "alike",
    "leave_group",
    "make_request",
    "parse_time",
    "plan",
    "profile",
    "reopen",
    "train",
]
