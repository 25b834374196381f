"""ResGuideNet: deraining by a cascade of small blocks, each guided by the residuals before it."""

from __future__ import annotations

from rainkit.api import Method, Timing
from rainkit_resguidenet.card import PAPER, WEIGHTS
from rainkit_resguidenet.settings import VARIANTS, Network, Objective, image, parts

__all__ = ["METHOD", "Network", "Objective"]

METHOD = Method(
    api=2,
    name="resguidenet",
    title="ResGuideNet",
    summary="five small recursive blocks guided by earlier residuals; stops early on light rain",
    good_at="single and dense streaks; fewer blocks where rain is light",
    licence="Apache-2.0",
    paper=PAPER,
    variants=VARIANTS,
    # Section 3.2, with the losses of Fig. 8 on Baseline-RR; Fig. 9; and Table 1's two rows.
    ablation=("baseline", "baseline-rr-l2", "baseline-rr", "nrecur", "block5", "default"),
    own_ablation=("l2", "last-only", "default"),
    network="rainkit_resguidenet.network:ResGuideNet",
    objective="rainkit_resguidenet.objective:DeepSupervision",
    image=image,
    blocks=lambda network: network.blocks,
    parts=parts,
    weights=WEIGHTS,
    timings=(
        Timing(machine="Intel Xeon (AMX), 2 cores", seconds=2.266, variant="wide"),
        Timing(machine="Intel Xeon (AMX), 2 cores", seconds=0.7334),
    ),
)
