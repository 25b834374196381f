"""FreqGAN: recurrent deraining of base and detail, with channel attention and a critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, Method, Training, option, replace
from rainkit_freq_gan import card

__all__ = ["METHOD", "Network", "Objective"]


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
    width: int = option(32, "feature maps, a multiple of 4", ge=4)
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


_DEFAULT = Hyperparameters(
    network=Network(recurrence="lstm"),
    objective=Objective(),
    training=Training(warmup_steps=100, steps=20_000, epoch_steps=500, patch=96),
)
_PAPER = Hyperparameters(
    network=Network(recurrence="lstm", residual=False),
    objective=Objective(alone_epochs=30.0),
    training=card.TRAINING,
)

METHOD = Method(
    api=2,
    name="freq-gan",
    title="FreqGAN",
    summary="base and detail derained stage by stage, with channel attention and a critic",
    licence="Apache-2.0",
    paper=card.PAPER,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        "blocks-state": replace(_DEFAULT, network={"recurrence": "blocks"}),
        "freq-none": replace(_DEFAULT, network={"frequency": "none"}),
        "freq-all": replace(_DEFAULT, network={"frequency": "all"}),
        "no-attention": replace(_DEFAULT, network={"attention": "none"}),
        "eca": replace(_DEFAULT, network={"attention": "eca"}),
        "no-gan": replace(_DEFAULT, objective={"adversarial": 0.0}),
        "t1": replace(_DEFAULT, network={"stages": 1}),
        "t3": replace(_DEFAULT, network={"stages": 3}),
    },
    own_ablation=("blocks-state", "freq-none", "freq-all", "no-attention", "no-gan", "default"),
    network="rainkit_freq_gan.network:FreqGAN",
    objective="rainkit_freq_gan.objective:FreqGanObjective",
    image=card.image,
    blocks=lambda network: network.stages,
    parts=card.parts,
    weights=card.WEIGHTS,
)
