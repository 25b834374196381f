"""Settings of FreqGAN: its network, its objective, its variants and the pictures it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, ImageSpec, Part, Training, option, replace

__all__ = ["RADIUS", "VARIANTS", "Network", "Objective", "image", "parts"]

RADIUS = 15
"""Radius of the guided filter's windows in pixels. The paper gives the filter no parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The recurrent generator (section I.B)."""

    # Files that lack this setting are from before there was a choice; all variants set it.
    recurrence: Literal["lstm", "blocks"] = option(
        "blocks", "state that the next stage gets: the LSTM's (equation 4), or the blocks' output"
    )
    frequency: Literal["none", "both", "all"] = option(
        "both", "what each stage sees: the picture; its base and detail; or all three"
    )
    attention: Literal["none", "se", "eca"] = option("se", "channel attention of residual blocks")
    stages: int = option(6, "passes through the network (T)", ge=1, le=50)
    width: int = option(32, "feature maps", ge=4)
    blocks: int = option(5, "residual blocks of a pass", ge=1)
    residual: bool = option(
        True, "add the rainy picture to each stage's output (equation 5 does not)"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Equations 6 and 7 (section I.C): the last stage alone is supervised."""

    ssim: float = option(1.0, "weight of the negative SSIM; 0 leaves it out", ge=0)
    adversarial: float = option(1e-3, "weight of the relativistic loss; 0: no critic", ge=0)
    alone_epochs: float = option(2.0, "epochs in which the generator trains alone", ge=0)
    critic_lr: float = option(1e-4, "learning rate of the critic", gt=0)


def image(network: Network) -> ImageSpec:
    """Return what the network takes.

    With attention every pixel can change every other one; without, stages add up.

    The convolutions of a stage are its first, its gates, two in each block, and its last.
    """
    radius = None
    if network.attention == "none":
        # The guided filter averages box means once more: two radii.
        radius = network.stages * (3 + 2 * network.blocks)
        radius += 0 if network.frequency == "none" else 2 * RADIUS
    return ImageSpec(
        receptive_radius=radius,
        tiling="approximate" if radius is None else "exact",
        half=("bf16",),
        fp32_modules=("f_out",),
    )


def parts(network: Network) -> dict[str, Part]:
    """Return base and detail, if the network sees them, and the picture after each stage."""
    layers = {
        "base": Part(doc="low frequencies, by a guided filter: nearly free of rain"),
        "detail": Part(doc="the rainy picture minus its base: edges and streaks", signed=True),
    }
    stages = {
        f"stage{t}": Part(doc=f"picture x_{t} after stage {t}", estimates="picture")
        for t in range(1, network.stages + 1)
    }
    return stages if network.frequency == "none" else layers | stages


_DEFAULT = Hyperparameters(
    network=Network(recurrence="lstm"),
    objective=Objective(),
    training=Training(warmup_steps=100, steps=20_000, epoch_steps=500, patch=96),
)
# The paper prints no training: this is PReNet's, whose network it extends.
_PAPER = Hyperparameters(
    network=Network(recurrence="lstm", residual=False),
    objective=Objective(alone_epochs=30.0),
    training=Training(
        schedule="milestones",
        factor=0.2,
        milestones=(30, 50, 80),
        steps=100_000,
        batch=18,
        patch=100,
        ema=0.0,
        augment="none",
    ),
)

VARIANTS = {
    "default": _DEFAULT,
    "paper": _PAPER,
    "blocks-state": replace(_DEFAULT, network={"recurrence": "blocks"}),
    "wide": replace(_DEFAULT, network={"recurrence": "blocks", "width": 64}),
    "freq-none": replace(_DEFAULT, network={"frequency": "none"}),
    "freq-all": replace(_DEFAULT, network={"frequency": "all"}),
    "no-attention": replace(_DEFAULT, network={"attention": "none"}),
    "eca": replace(_DEFAULT, network={"attention": "eca"}),
    "no-gan": replace(_DEFAULT, objective={"adversarial": 0.0}),
    "t1": replace(_DEFAULT, network={"stages": 1}),
    "t3": replace(_DEFAULT, network={"stages": 3}),
}
