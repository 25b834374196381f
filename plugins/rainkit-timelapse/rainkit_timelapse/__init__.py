"""Time-lapse deraining: a network that learns from rainy frames of static scenes alone."""

from __future__ import annotations

from rainkit.api import Method, Part, Timing
from rainkit_timelapse.card import PAPER, WEIGHTS
from rainkit_timelapse.settings import ABLATION, OWN_ABLATION, VARIANTS, Network, Objective, image

__all__ = ["METHOD", "Network", "Objective"]

METHOD = Method(
    api=2,
    name="timelapse",
    title="Time-Lapse Deraining",
    summary="encoders of three kernel sizes, trained on rainy frames without a clean picture",
    good_at="streaks, sparse or dense; fast, and learns without clean pictures",
    licence="Apache-2.0",
    paper=PAPER,
    variants=VARIANTS,
    ablation=ABLATION,
    own_ablation=OWN_ABLATION,
    network="rainkit_timelapse.network:TimeLapse",
    objective="rainkit_timelapse.objective:TimeLapseObjective",
    image=image,
    parts={"streaks": Part(doc="streak layer S that is taken away", estimates="rain")},
    training_data="frames",
    weights=WEIGHTS,
    timings=(Timing(machine="Intel Xeon (AMX), 2 cores", seconds=0.317),),
)
