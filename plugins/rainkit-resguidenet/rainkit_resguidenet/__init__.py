"""ResGuideNet: deraining by a cascade of small blocks, each guided by the residuals before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, ImageSpec, Method, Part, Training, option, replace
from rainkit_resguidenet.card import PAPER, WEIGHTS

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


def _image(network: Network) -> ImageSpec:
    """A block has a first convolution, two in each pass, and a last one; the merge is 1x1."""
    return ImageSpec(
        receptive_radius=network.blocks * (2 + 2 * network.recursion),
        tiling="exact",
        half=("bf16",),
    )


def _parts(network: Network) -> dict[str, Part]:
    return {
        f"block{k}": Part(doc=f"result after block {k}", estimates="picture")
        for k in range(1, network.blocks + 1)
    }


# RMSProp as in TensorFlow, the paper's framework: decay 0.9. Its epsilon of 1e-10 is not PyTorch's.
_DEFAULT = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(
        optimiser="rmsprop", beta2=0.9, warmup_steps=100, steps=20_000, epoch_steps=500, patch=96
    ),
)
_PAPER = Hyperparameters(
    network=Network(),
    objective=Objective(reduction="sum"),
    training=Training(
        optimiser="rmsprop",
        beta2=0.9,
        schedule="constant",
        steps=50_000,
        epoch_steps=5_000,
        batch=16,
        ema=0.0,
        augment="none",
    ),
)

METHOD = Method(
    api=2,
    name="resguidenet",
    title="ResGuideNet",
    summary="five tiny recursive blocks guided by earlier residuals; stops early on light rain",
    licence="Apache-2.0",
    paper=PAPER,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        **{
            f"block{k}": replace(_DEFAULT, network={"blocks": k, "merge": False})
            for k in range(1, 6)
        },
        "nrecur": replace(_DEFAULT, network={"recursion": 1}),
        "baseline-rr": replace(_DEFAULT, network={"recursion": 1, "merge": False}),
        "baseline": replace(
            _DEFAULT, network={"recursion": 1, "merge": False, "guide": False, "width": 19}
        ),
        "l2": replace(_DEFAULT, objective={"ssim": 0.0}),
        "last-only": replace(_DEFAULT, objective={"intermediate": False}),
    },
    ablation=("baseline", "baseline-rr", "nrecur", "default"),
    network="rainkit_resguidenet.network:ResGuideNet",
    objective="rainkit_resguidenet.objective:DeepSupervision",
    image=_image,
    blocks=lambda network: network.blocks,
    parts=_parts,
    weights=WEIGHTS,
)
