"""GRASPP-GAN: single-image deraining with a gradient loss, residual ASPP and a critic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rainkit.api import (
    API,
    Hyperparameters,
    ImageSpec,
    Method,
    Paper,
    PublishedResult,
    Training,
    Weights,
    measured,
    option,
    replace,
)

__all__ = ["METHOD", "GrasppGan", "Network", "Objective"]


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


@dataclass(frozen=True, kw_only=True)
class GrasppGan(Hyperparameters):
    """Everything that can be set."""

    network: Network = field(default_factory=Network)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)


def _image(network: Network) -> ImageSpec:
    """Stem 3 + sixteen 3x3 convs + dilation 4 + three 3x3 convs: 26 px, whatever the widths."""
    return ImageSpec(
        min_size=5,  # dilation 4 is padded by reflection
        receptive_radius=26,
        tiling="exact",
        half=("bf16",),
        fp32_modules=("fusion.out",),
    )


# As printed, flaws and all: norms that drown the adversarial term, and a critic's learning rate at
# which it soon says the same of every picture.
_PAPER = GrasppGan(
    network=Network(residual=False),
    objective=Objective(norm="l2", critic_lr=0.1),
    training=Training(
        lr=1e-3,
        schedule="plateau",
        factor=0.1,
        patience=10,
        steps=200_000,
        epoch_steps=2_000,
        batch=4,
        patch=128,
        ema=0.0,
        augment="none",
    ),
)
_DEFAULT = GrasppGan(
    training=Training(
        lr=1e-3,
        schedule="cosine",
        warmup_steps=100,
        steps=20_000,
        epoch_steps=500,
        batch=8,
        patch=112,
    ),
)

METHOD = Method(
    api=API,
    name="graspp-gan",
    title="GRASPP-GAN",
    summary="stride-free residual encoder, atrous pyramid, gradient loss and a conditional critic",
    licence="Apache-2.0",
    paper=Paper(
        authors=("Yinglong Wang", "Haokui Zhang", "Yu Liu", "Qinfeng Shi", "Bing Zeng"),
        title="Gradient Information Guided Deraining with A Novel Network and Adversarial Training",
        venue="arXiv:1910.03839",
        year=2019,
        doi="10.48550/arXiv.1910.03839",
        results=(
            PublishedResult(dataset="Rain-I", psnr=28.24, ssim=0.886, note="RASPP"),
            PublishedResult(dataset="Rain-I", psnr=29.31, ssim=0.908, note="GRASPP"),
            PublishedResult(dataset="Rain-I", psnr=30.28, ssim=0.911, note="GRASPP-GAN"),
            PublishedResult(dataset="Rain-II", psnr=22.58, ssim=0.781, note="RASPP"),
            PublishedResult(dataset="Rain-II", psnr=23.86, ssim=0.826, note="GRASPP"),
            PublishedResult(dataset="Rain-II", psnr=24.38, ssim=0.831, note="GRASPP-GAN"),
            PublishedResult(dataset="Rain-III", psnr=29.16, ssim=0.920, note="RASPP"),
            PublishedResult(dataset="Rain-III", psnr=30.90, ssim=0.939, note="GRASPP"),
            PublishedResult(dataset="Rain-III", psnr=31.70, ssim=0.943, note="GRASPP-GAN"),
            PublishedResult(dataset="512x512 picture", seconds=0.04, note="GTX 1080 Ti"),
        ),
    ),
    hyperparameters=GrasppGan,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        "raspp": replace(_DEFAULT, objective={"alpha": 0.0, "beta": 0.0}),
        "graspp": replace(_DEFAULT, objective={"beta": 0.0}),
        "wide": replace(
            _DEFAULT,
            network={"width1": 64, "width2": 64, "width3": 64, "width4": 64, "context": 64},
        ),
    },
    ablation=("raspp", "graspp", "default"),
    network="rainkit_graspp_gan.network:raspp",
    objective="rainkit_graspp_gan.objective:graspp_gan",
    image=_image,
    weights=(
        Weights(
            tag="rain-v1",
            variant="default",
            file="weights/rain-v1.safetensors",
            sha256="0574aa4756c512ce0cfdb9169a6826193647fa157c619c968cb1500b65fd4bed",
            licence="Apache-2.0",
            trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
            recipe="examples/recipes/graspp-gan.toml",
            results=measured(
                "prenet/1",
                ("rain100l", 25, 31.41, 0.9307, 26.23, 0.8204),
                ("rain100h", 25, 23.07, 0.7342, 13.83, 0.3598),
                ("rain200h", 15, 23.01, 0.7398, 14.06, 0.3873),
                ("rain800", 15, 22.06, 0.7961, 21.67, 0.6650),
                ("misc", 7, 20.42, 0.7278, 18.85, 0.6574),
            ),
        ),
    ),
)
