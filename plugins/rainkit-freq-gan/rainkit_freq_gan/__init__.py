"""FreqGAN: recurrent deraining of base and detail, with channel attention and a critic."""

from __future__ import annotations

from rainkit.api import Method, Timing
from rainkit_freq_gan.card import PAPER, WEIGHTS
from rainkit_freq_gan.settings import VARIANTS, Network, Objective, image, parts

__all__ = ["METHOD", "Network", "Objective"]

METHOD = Method(
    api=2,
    name="freq-gan",
    title="FreqGAN",
    summary="base and detail derained stage by stage, with channel attention and a critic",
    good_at="scores best with heavy rain drawn on photographs; slow",
    licence="Apache-2.0",
    paper=PAPER,
    variants=VARIANTS,
    own_ablation=("blocks-state", "freq-none", "freq-all", "no-attention", "no-gan", "default"),
    network="rainkit_freq_gan.network:FreqGAN",
    objective="rainkit_freq_gan.objective:FreqGanObjective",
    image=image,
    blocks=lambda network: network.stages,
    parts=parts,
    weights=WEIGHTS,
    timings=(
        Timing(machine="Intel Xeon (AMX), 2 cores", seconds=3.8279, variant="blocks-state"),
        Timing(machine="Intel Xeon (AMX), 2 cores", seconds=14.5855, variant="wide"),
    ),
)
