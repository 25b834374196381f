"""GRASPP-GAN: single-image deraining with a gradient loss, residual ASPP and a critic."""

from __future__ import annotations

from rainkit.api import Method, Timing
from rainkit_graspp_gan.card import PAPER, WEIGHTS
from rainkit_graspp_gan.settings import VARIANTS, Network, Objective, image

__all__ = ["METHOD", "Network", "Objective"]

METHOD = Method(
    api=2,
    name="graspp-gan",
    title="GRASPP-GAN",
    summary="stride-free residual encoder, atrous pyramid, gradient loss and a conditional critic",
    good_at="photographs of real rain; keeps whites and pictures without rain",
    licence="Apache-2.0",
    paper=PAPER,
    variants=VARIANTS,
    ablation=("raspp", "graspp", "default"),
    network="rainkit_graspp_gan.network:RASPP",
    objective="rainkit_graspp_gan.objective:GrasppGanObjective",
    image=image,
    weights=WEIGHTS,
    timings=(
        Timing(machine="Intel Xeon (AMX), 2 cores", seconds=2.6405, variant="wide"),
        Timing(machine="Intel Xeon (AMX), 2 cores", seconds=0.8277),
    ),
)
