"""GraNet: coarse-to-fine deraining with local blocks, regional attention and a detail stage."""

from __future__ import annotations

from rainkit.api import Method, Part, Timing
from rainkit_granet.card import PAPER, WEIGHTS
from rainkit_granet.settings import VARIANTS, Network, Objective, image

__all__ = ["METHOD", "Network", "Objective"]

METHOD = Method(
    api=2,
    name="granet",
    title="GraNet",
    summary="dense local blocks, attention within regions, and a second stage for details",
    good_at="single and dense streaks alike; leaves faint rain in photographs; slow",
    licence="Apache-2.0",
    paper=PAPER,
    variants=VARIANTS,
    ablation=("coarse-no-ra", "coarse", "no-context", "default"),
    network="rainkit_granet.network:GraNet",
    objective="rainkit_granet.objective:MeanAbsoluteError",
    image=image,
    parts={
        "mask": Part(
            doc="rain mask M of the coarse stage; positive is rain", signed=True, estimates="rain"
        ),
        "coarse": Part(doc="coarse picture, the rainy one minus the mask", estimates="picture"),
    },
    weights=WEIGHTS,
    timings=(Timing(machine="Intel Xeon (AMX), 2 cores", seconds=3.1987),),
)
