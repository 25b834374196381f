"""Training: a loop that drives a plugin's objective, with exact resume."""

from __future__ import annotations

from rainkit.training import ablation_tables
from rainkit.training.ablation import Ablation, ablate, alike
from rainkit.training.budget import fit, parse_time
from rainkit.training.loop import train
from rainkit.training.planning import Plan, plan
from rainkit.training.profiling import Profile, profile
from rainkit.training.record import reopen
from rainkit.training.request import TrainRequest
from rainkit.training.result import TrainResult

__all__ = [
    "Ablation",
    "Plan",
    "Profile",
    "TrainRequest",
    "TrainResult",
    "ablate",
    "ablation_tables",
    "alike",
    "fit",
    "parse_time",
    "plan",
    "profile",
    "reopen",
    "train",
]
