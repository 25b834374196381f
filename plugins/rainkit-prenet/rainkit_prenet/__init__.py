"""PReNet and PRN: one small residual network, unfolded over several stages."""

from __future__ import annotations

from rainkit.api import Method
from rainkit_prenet.card import PAPER
from rainkit_prenet.settings import VARIANTS, Network, Objective, image, parts, released_names

__all__ = ["METHOD", "Network", "Objective"]

METHOD = Method(
    api=2,
    name="prenet",
    title="PReNet",
    summary="one small residual network with a memory, unfolded six times; ships without weights",
    good_at="a baseline to compare with; its weights are yours to bring",
    licence="Apache-2.0",
    paper=PAPER,
    variants=VARIANTS,
    ablation=("mse", "rec-ssim", "lstm6", "gru6", "x6", "prn", "default", "prn-r", "prenet-r"),
    network="rainkit_prenet.network:PReNet",
    objective="rainkit_prenet.objective:PReNetObjective",
    image=image,
    blocks=lambda network: network.stages,
    parts=parts,
    released_names=released_names,
)
