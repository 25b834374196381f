"""Settings of GRASPP-GAN: its network, its objective, its variants and the pictures it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, ImageSpec, Training, option, replace

__all__ = ["VARIANTS", "Network", "Objective", "image"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """RASPP, the generator (section 3.2)."""

    width1: int = option(32, "channels of the stem and encoder layer 1", ge=4)
    width2: int = option(32, "channels of encoder layer 2", ge=4)
    width3: int = option(32, "channels of encoder layer 3", ge=4)
    width4: int = option(32, "channels of encoder layer 4", ge=4)
    context: int = option(32, "channels of the ASPP branches and the fusion", ge=4)
    residual: bool = option(True, "add the rainy picture to the output (the paper does not)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Equation 1: L = L2 + alpha Lg + beta Lgan."""

    alpha: float = option(1.0, "weight of the Sobel gradient loss; 0 leaves it out", ge=0)
    beta: float = option(1e-3, "weight of the adversarial loss; 0 leaves the critic out", ge=0)
    norm: Literal["mse", "l2"] = option(
        "mse", "mean squared errors, or the norms that the paper prints"
    )
    alone_epochs: float = option(2.0, "epochs in which the generator trains alone", ge=0)
    critic_lr: float = option(
        1e-4, "learning rate of the critic (printed: 0.1, which kills it)", gt=0
    )


def image(network: Network) -> ImageSpec:
    """Stem 3 + sixteen 3x3 convs + dilation 4 + three 3x3 convs: 26 px, whatever the widths."""
    return ImageSpec(
        min_size=5,  # dilation 4 is padded by reflection
        receptive_radius=26,
        tiling="exact",
        half=("bf16",),
        fp32_modules=("fusion.out",),
    )


def _widths(*layers: int, context: int) -> dict[str, int]:
    return {f"width{n}": width for n, width in enumerate(layers, 1)} | {"context": context}


_DEFAULT = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(warmup_steps=100, steps=20_000, epoch_steps=500, patch=112),
)
# The printed values with their flaws: norms that drown the adversarial term, and a learning rate of
# the critic at which it soon gives every picture the same score.
_PAPER = Hyperparameters(
    network=Network(residual=False),
    objective=Objective(norm="l2", critic_lr=0.1),
    training=Training(
        schedule="plateau", steps=200_000, epoch_steps=2_000, batch=4, ema=0.0, augment="none"
    ),
)

VARIANTS = {
    "default": _DEFAULT,
    "paper": _PAPER,
    "raspp": replace(_DEFAULT, objective={"alpha": 0.0, "beta": 0.0}),
    "graspp": replace(_DEFAULT, objective={"beta": 0.0}),
    "wide": replace(_DEFAULT, network=_widths(64, 64, 64, 64, context=64)),
    "resnet18": replace(_DEFAULT, network=_widths(64, 128, 256, 512, context=256)),
}
"""Settings by variant."""
