"""GRASPP-GAN: single-image deraining with a gradient loss, residual ASPP and a critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, Method, Training, option, replace
from rainkit_graspp_gan import card

__all__ = ["METHOD", "Network", "Objective"]


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


def _widths(*layers: int, context: int) -> dict[str, int]:
    return {f"width{n}": width for n, width in enumerate(layers, 1)} | {"context": context}


_DEFAULT = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(warmup_steps=100, steps=20_000, epoch_steps=500, patch=112),
)
_PAPER = Hyperparameters(
    network=Network(residual=False),
    objective=Objective(norm="l2", critic_lr=0.1),
    training=card.TRAINING,
)

METHOD = Method(
    api=2,
    name="graspp-gan",
    title="GRASPP-GAN",
    summary="stride-free residual encoder, atrous pyramid, gradient loss and a conditional critic",
    licence="Apache-2.0",
    paper=card.PAPER,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        "raspp": replace(_DEFAULT, objective={"alpha": 0.0, "beta": 0.0}),
        "graspp": replace(_DEFAULT, objective={"beta": 0.0}),
        "wide": replace(_DEFAULT, network=_widths(64, 64, 64, 64, context=64)),
        "resnet18": replace(_DEFAULT, network=_widths(64, 128, 256, 512, context=256)),
    },
    ablation=("raspp", "graspp", "default"),
    network="rainkit_graspp_gan.network:RASPP",
    objective="rainkit_graspp_gan.objective:GrasppGanObjective",
    image=card.image,
    weights=card.WEIGHTS,
)
