"""Settings of time-lapse deraining: network, objective, variants and the pictures it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from rainkit.api import Hyperparameters, ImageSpec, Training, option, replace

__all__ = ["ABLATION", "OWN_ABLATION", "VARIANTS", "Network", "Objective", "Odd", "image"]

Odd: TypeAlias = Literal[1, 3, 5, 7, 9, 11, 13, 15]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Encoders, fusion and decoder (section III-B, Tables I, II and VII)."""

    kernels: tuple[Odd, Odd, Odd] = option((1, 3, 5), "kernel sizes of the encoders, all odd")
    widths: tuple[int, int, int] = option((16, 32, 64), "feature maps at full, half, quarter size")
    fusion: Literal["sum", "prod", "concat", "dyn_full", "dyn_lowrank"] = option(
        "dyn_lowrank", "how the encoders' features become one; dyn: by a generated filter"
    )
    rank: int = option(64, "dyn_lowrank: rank of what is generated", ge=1)
    channels: Literal[1, 3] = option(
        1, "1: one streak layer from luma, for R, G and B; 3: one each"
    )
    rectify: bool = option(False, "a ReLU at the end while training too, as printed")
    border: Literal["repeat", "zero"] = option(
        "repeat", "what transposed convolutions see beyond the border; zero is as printed"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Weights of the four losses of two frames (section III-D); 0 leaves one out."""

    background: float = option(1.0, "Lb: both results are one scene", ge=0)
    structure: float = option(1.0, "Ls: each result is like the other frame", ge=0)
    direction: float = option(0.01, "Lv: streaks run in few directions", ge=0)
    reconstruction: float = option(0.001, "Lr: no more is taken away than there is", ge=0)
    schedule: Literal["constant", "paper"] = option(
        "constant", "of Ls; paper: x 0.1, falling to x 0.0001 over the first 30 % of the steps"
    )
    guard: float = option(
        0.5, "stop if streaks take more than this share of all light; 0 = never", ge=0
    )


def image(network: Network) -> ImageSpec:
    """Return what the network takes.

    A generated filter depends on the whole picture; otherwise convolutions set the radius.
    """
    radius = None
    if not network.fusion.startswith("dyn"):
        # Encoder: 2 convolutions at H, 2 at H/2, 3 at H/4, and pooling; decoder: 4 at H/4, 3 at
        # H/2, 3 at H, and upsampling.
        radius = max(network.kernels) // 2 * (2 + 2 * 2 + 3 * 4) + 7 + (4 * 4 + 3 * 2 + 3) + 14
    return ImageSpec(
        multiple_of=8,
        min_size=8,
        receptive_radius=radius,
        tiling="approximate" if radius is None else "exact",
        half=("bf16",),
        # Max-pooling of rounded values confuses neighbouring pixels: up to 7 levels of 255.
        fp32_modules=(*(f"encoders.{n}.levels.0" for n in range(3)), "decoder.out"),
    )


_DEFAULT = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(warmup_steps=200, steps=20_000, epoch_steps=500, batch=4),
)
# The printed values, which end with black pictures. How large the crops are that are resized to 128
# px is not printed.
_PAPER = Hyperparameters(
    network=Network(
        kernels=(3, 5, 7),
        widths=(64, 128, 256),
        fusion="dyn_full",
        rectify=True,
        border="zero",
    ),
    objective=Objective(structure=0.1, schedule="paper"),
    training=Training(
        lr=1e-4,
        schedule="constant",
        steps=200_000,
        epoch_steps=20_000,
        batch=4,
        crop=256,
        patch=128,
        ema=0.0,
        augment="none",
    ),
)
_LOSSES = ("background", "structure", "direction", "reconstruction")
_WITHOUT_DYN = {
    "rb": ("reconstruction", "background"),
    "rbs": ("reconstruction", "background", "structure"),
    "bsv": ("background", "structure", "direction"),
}
"""Losses of the rows of Table VI that have neither all four nor the dynamic filter."""


VARIANTS = {
    "default": _DEFAULT,
    "paper": _PAPER,
    "medium": replace(_DEFAULT, network={"widths": (32, 64, 128)}),
    "large": replace(_DEFAULT, network={"widths": (64, 128, 256)}),
    "wide-kernels": replace(_DEFAULT, network={"kernels": (3, 5, 7)}),
    "sum": replace(_DEFAULT, network={"fusion": "sum"}),
    "prod": replace(_DEFAULT, network={"fusion": "prod"}),
    "concat": replace(_DEFAULT, network={"fusion": "concat"}),
    "dyn-full": replace(_DEFAULT, network={"fusion": "dyn_full"}),
    **{f"no-{loss}": replace(_DEFAULT, objective={loss: 0.0}) for loss in _LOSSES},
    **{
        name: replace(
            _DEFAULT,
            network={"fusion": "concat"},
            objective={loss: 0.0 for loss in _LOSSES if loss not in losses},
        )
        for name, losses in _WITHOUT_DYN.items()
    },
}

ABLATION = (
    *("rb", "rbs", "bsv", "concat", "no-direction", "no-reconstruction", "default"),
    *("sum", "prod"),
)
"""Rows of Table VI, where ``concat`` has all losses without Dyn, and the others of Table VII."""

OWN_ABLATION = (*(f"no-{loss}" for loss in _LOSSES), "default")
"""Each loss left out in turn, all of them with the dynamic filter."""
