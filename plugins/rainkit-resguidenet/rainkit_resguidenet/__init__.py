"""ResGuideNet: deraining by a cascade of small blocks, each guided by the residuals before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, Method, Training, option, replace
from rainkit_resguidenet import card

__all__ = ["METHOD", "Network", "Objective"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The cascade (section 3)."""

    blocks: int = option(5, "residual blocks in the cascade", ge=1, le=20)
    width: int = option(16, "feature maps of every block", ge=1)
    recursion: int = option(5, "passes through each block's recursive unit (T)", ge=1, le=50)
    guide: bool = option(True, "feed the residuals of earlier blocks to later ones")
    merge: bool = option(True, "end with a 1x1 convolution over the residuals of all blocks")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Equations 6 to 8: the same loss after every block and after the merge, averaged."""

    ssim: float = option(1.0, "weight of the logarithmic SSIM loss; 0 leaves it out", ge=0)
    intermediate: bool = option(True, "supervise every block's result, not only the last")
    reduction: Literal["mean", "sum"] = option(
        "mean", "squared errors averaged over pixels, or summed over each patch as printed"
    )


_DEFAULT = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(
        optimiser="rmsprop", beta2=0.9, warmup_steps=100, steps=20_000, epoch_steps=500, patch=96
    ),
)
_PAPER = Hyperparameters(
    network=Network(), objective=Objective(reduction="sum"), training=card.TRAINING
)

_BASELINE_RR = {"recursion": 1, "merge": False}

METHOD = Method(
    api=2,
    name="resguidenet",
    title="ResGuideNet",
    summary="five tiny recursive blocks guided by earlier residuals; stops early on light rain",
    licence="Apache-2.0",
    paper=card.PAPER,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        **{
            f"block{k}": replace(_DEFAULT, network={"blocks": k, "merge": False})
            for k in range(1, 6)
        },
        "nrecur": replace(_DEFAULT, network={"recursion": 1}),
        "baseline-rr": replace(_DEFAULT, network=_BASELINE_RR),
        "baseline-rr-l2": replace(_DEFAULT, network=_BASELINE_RR, objective={"ssim": 0.0}),
        "baseline": replace(_DEFAULT, network=_BASELINE_RR | {"guide": False, "width": 19}),
        "l2": replace(_DEFAULT, objective={"ssim": 0.0}),
        "last-only": replace(_DEFAULT, objective={"intermediate": False}),
    },
    # Table 1 compares block5 and default, Fig. 8 the two losses of Baseline-RR.
    ablation=("block5", "default", "baseline", "baseline-rr-l2", "baseline-rr", "nrecur"),
    own_ablation=("l2", "last-only", "default"),
    network="rainkit_resguidenet.network:ResGuideNet",
    objective="rainkit_resguidenet.objective:DeepSupervision",
    image=card.image,
    blocks=lambda network: network.blocks,
    parts=card.parts,
    weights=card.WEIGHTS,
)
