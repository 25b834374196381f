"""Settings of ResGuideNet: its network, its objective, its variants and the pictures it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, ImageSpec, Part, Training, option, replace

__all__ = ["VARIANTS", "Network", "Objective", "image", "parts"]


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


def image(network: Network) -> ImageSpec:
    """A block has a first convolution, two in each pass, and a last one; the merge is 1x1."""
    return ImageSpec(
        receptive_radius=network.blocks * (2 + 2 * network.recursion),
        tiling="exact",
        half=("bf16",),
    )


def parts(network: Network) -> dict[str, Part]:
    """Return the result of every block."""
    return {
        f"block{k}": Part(doc=f"result after block {k}", estimates="picture")
        for k in range(1, network.blocks + 1)
    }


_DEFAULT = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(
        optimiser="rmsprop", beta2=0.9, warmup_steps=100, steps=20_000, epoch_steps=500, patch=96
    ),
)
# The decay of RMSProp is that of TensorFlow, the paper's framework, whose epsilon of 1e-10 is not
# PyTorch's.
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

_BASELINE_RR = {"recursion": 1, "merge": False}

VARIANTS = {
    "default": _DEFAULT,
    "paper": _PAPER,
    **{f"block{k}": replace(_DEFAULT, network={"blocks": k, "merge": False}) for k in range(1, 6)},
    "nrecur": replace(_DEFAULT, network={"recursion": 1}),
    "baseline-rr": replace(_DEFAULT, network=_BASELINE_RR),
    "baseline-rr-l2": replace(_DEFAULT, network=_BASELINE_RR, objective={"ssim": 0.0}),
    "baseline": replace(_DEFAULT, network=_BASELINE_RR | {"guide": False, "width": 19}),
    "l2": replace(_DEFAULT, objective={"ssim": 0.0}),
    "last-only": replace(_DEFAULT, objective={"intermediate": False}),
    "wide": replace(_DEFAULT, network={"width": 32}),
}
"""Settings by variant."""
