"""FreqGAN: recurrent deraining of base and detail, with channel attention and a critic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rainkit.api import (
    API,
    Hyperparameters,
    ImageSpec,
    Method,
    Paper,
    Part,
    PublishedResult,
    Training,
    Weights,
    measured,
    option,
    replace,
)

__all__ = ["METHOD", "RADIUS", "FreqGan", "Network", "Objective"]

RADIUS = 15
"""Of the guided filter's windows, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The recurrent generator."""

    frequency: Literal["none", "both", "all"] = option(
        "both", "what each stage sees: the picture; its base and detail; or all three"
    )
    attention: Literal["none", "se", "eca"] = option(
        "se", "channel attention of the residual blocks"
    )
    stages: int = option(6, "passes through the network (T)", ge=1, le=50)
    width: int = option(32, "feature maps, a multiple of 4", ge=4)
    blocks: int = option(5, "residual blocks of a pass", ge=1)
    residual: bool = option(True, "add the rainy picture to each stage's output")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Equations 6 and 7: the last stage alone is supervised."""

    ssim: float = option(1.0, "weight of the negative SSIM; 0 leaves it out", ge=0)
    adversarial: float = option(
        1e-3, "weight of the relativistic loss; 0 leaves the critic out", ge=0
    )
    alone_epochs: float = option(2.0, "epochs in which the generator trains alone", ge=0)
    critic_lr: float = option(1e-4, "learning rate of the critic", gt=0)


@dataclass(frozen=True, kw_only=True)
class FreqGan(Hyperparameters):
    """Everything that can be set."""

    network: Network = field(default_factory=Network)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)


def _image(network: Network) -> ImageSpec:
    """A stage: its first convolution, the gates, two in each block, the last. Attention: all."""
    radius = None
    if network.attention == "none":
        # The filter's boxes average averages.
        radius = network.stages * (3 + 2 * network.blocks)
        radius += 0 if network.frequency == "none" else 2 * RADIUS
    return ImageSpec(
        receptive_radius=radius,
        tiling="approximate" if radius is None else "exact",
        half=("bf16",),
        fp32_modules=("f_out",),
    )


def _parts(network: Network) -> dict[str, Part]:
    if network.frequency == "none":
        return {}
    return {
        "base": Part(doc="low frequencies, by a guided filter: nearly free of rain"),
        "detail": Part(doc="the rainy picture minus its base: edges and streaks", signed=True),
    }


# The paper gives no training: that of PReNet, whose network it extends.
_PAPER = FreqGan(
    objective=Objective(alone_epochs=30.0),
    training=Training(
        lr=1e-3,
        schedule="milestones",
        factor=0.2,
        milestones=(30, 50, 80),
        steps=100_000,
        epoch_steps=1_000,
        batch=18,
        patch=100,
        ema=0.0,
        augment="none",
    ),
)
_DEFAULT = replace(
    _PAPER,
    objective={"alone_epochs": 2.0},
    training={
        "schedule": "cosine",
        "milestones": (),
        "warmup_steps": 100,
        "steps": 20_000,
        "epoch_steps": 500,
        "batch": 8,
        "patch": 96,
        "ema": 0.999,
        "augment": "flips",
    },
)

METHOD = Method(
    api=API,
    name="freq-gan",
    title="FreqGAN",
    summary="base and detail derained stage by stage, with channel attention and a critic",
    licence="Apache-2.0",
    paper=Paper(
        title="Frequency decomposition, recurrent attention generator and relativistic GAN",
        results=(
            PublishedResult(dataset="not named", psnr=29.1035, ssim=0.9661, note="its only table"),
        ),
    ),
    hyperparameters=FreqGan,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        "freq-none": replace(_DEFAULT, network={"frequency": "none"}),
        "freq-all": replace(_DEFAULT, network={"frequency": "all"}),
        "no-attention": replace(_DEFAULT, network={"attention": "none"}),
        "eca": replace(_DEFAULT, network={"attention": "eca"}),
        "no-gan": replace(_DEFAULT, objective={"adversarial": 0.0}),
        "t1": replace(_DEFAULT, network={"stages": 1}),
        "t3": replace(_DEFAULT, network={"stages": 3}),
    },
    ablation=("freq-none", "freq-all", "no-attention", "no-gan", "default"),
    network="rainkit_freq_gan.network:freq_gan",
    objective="rainkit_freq_gan.objective:freq_gan",
    image=_image,
    parts=_parts,
    weights=(
        Weights(
            tag="rain-v2",
            variant="default",
            file="weights/rain-v2.safetensors",
            sha256="15baa5d941ae655d3261d802acae92721658e5d0af78bc45accc29d360ff5584",
            licence="Apache-2.0",
            trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
            recipe="examples/recipes/freq-gan.toml",
            results=measured(
                "prenet/1",
                ("rain100l", 25, 32.60, 0.9411, 26.23, 0.8204),
                ("rain100h", 25, 24.39, 0.7745, 13.83, 0.3598),
                ("rain200h", 15, 23.75, 0.7643, 14.06, 0.3873),
                ("rain800", 15, 21.77, 0.7754, 21.67, 0.6650),
                ("misc", 7, 20.63, 0.7258, 18.85, 0.6574),
            ),
        ),
        Weights(
            tag="rain-v1",
            variant="default",
            file="weights/rain-v1.safetensors",
            sha256="955b44b810f7a96e851d99c1a95a2406c4e23a22ca54d22e2d74e3ff7dec3c57",
            licence="Apache-2.0",
            trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
            recipe="examples/recipes/freq-gan.toml",
            results=measured(
                "prenet/1",
                ("rain100l", 25, 32.26, 0.9387, 26.23, 0.8204),
                ("rain100h", 25, 23.70, 0.7557, 13.83, 0.3598),
                ("rain200h", 15, 23.10, 0.7471, 14.06, 0.3873),
                ("rain800", 15, 21.87, 0.7676, 21.67, 0.6650),
                ("misc", 7, 20.32, 0.7168, 18.85, 0.6574),
            ),
        ),
    ),
)
