"""GraNet: coarse-to-fine deraining that looks near, far, and then at the details again."""

from __future__ import annotations

from dataclasses import dataclass, field

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

__all__ = ["METHOD", "GraNet", "Network", "Objective"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Coarse stage (section 3.2) and fine stage (section 3.3)."""

    width: int = option(64, "feature maps, a multiple of the 4 groups of the merging block", ge=4)
    growth: int = option(32, "maps that each layer of a dense block adds", ge=1)
    layers: int = option(4, "layers of a dense block", ge=1)
    region_aware: bool = option(True, "attend within the regions of a 1x1, 2x2 and 4x4 grid")
    fine: bool = option(True, "refine the coarse picture; without, it is the result")
    context: bool = option(True, "dense blocks and merging block in the fine stage")
    fine_residual: bool = option(
        False, "the fine stage corrects the coarse picture (the paper's draws it anew)"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Equation 9: mean absolute error of the result."""

    coarse: float = option(0.0, "weight of the coarse picture's own error (paper: 0)", ge=0)


@dataclass(frozen=True, kw_only=True)
class GraNet(Hyperparameters):
    """Everything that can be set."""

    network: Network = field(default_factory=Network)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)


def _image(network: Network) -> ImageSpec:
    """Local without attention, though pooling makes what a pixel reaches depend on its place.

    The dense blocks of the fine stage, 70 % of the arithmetic, may be rounded. The coarse stage may
    not: of values that round alike, max-pooling keeps the place of another one, and a pixel goes
    where it does not belong (9 levels of 255, measured with the shipped weights).
    """
    radius = None
    if not network.region_aware:
        # Head, dense blocks at three scales, mask; a pooled cell hands on what its 8 px know.
        radius = 2 + network.layers * (1 + 2 + 4) + 7 + 1
        if network.fine:
            radius += 2 + (4 * network.layers if network.context else 0)
    return ImageSpec(
        min_size=8,
        tile_step=8,
        receptive_radius=radius,
        tiling="approximate" if network.region_aware else "exact",
        half=("bf16",) if network.fine and network.context else (),
        fp32_modules=("coarse", "mask", "fine.head", "fine.out") if network.fine else (),
    )


# The rate falls by a tenth, not to a tenth: one such fall would pass the printed floor of 1e-4.
_PAPER = GraNet(
    training=Training(
        lr=5e-4,
        schedule="plateau",
        factor=0.9,
        patience=10,
        lr_floor=0.2,
        steps=100_000,
        epoch_steps=250,
        batch=8,
        patch=128,
        ema=0.0,
    ),
)
_DEFAULT = replace(
    _PAPER,
    network={"fine_residual": True},
    objective={"coarse": 0.1},
    training={"schedule": "cosine", "warmup_steps": 100, "steps": 20_000, "ema": 0.999},
)

METHOD = Method(
    api=API,
    name="granet",
    title="GraNet",
    summary="dense local blocks, attention within regions, and a second stage for details",
    licence="Apache-2.0",
    paper=Paper(
        authors=("Weijiang Yu", "Zhe Huang", "Wayne Zhang", "Litong Feng", "Nong Xiao"),
        title="Gradual Network for Single Image De-raining",
        venue="ACM Multimedia",
        year=2019,
        doi="10.48550/arXiv.1909.09677",
        results=(
            PublishedResult(dataset="DDN test set", psnr=32.51, ssim=0.9292),
            PublishedResult(dataset="DID test set", psnr=33.68, ssim=0.9284),
            PublishedResult(dataset="Rain100L", psnr=37.55, ssim=0.9806),
            PublishedResult(dataset="Rain100H", psnr=33.16, ssim=0.9290),
            PublishedResult(dataset="Rain100L", psnr=23.10, ssim=0.7947, note="coarse picture"),
            PublishedResult(dataset="Rain100H", psnr=18.02, ssim=0.4791, note="coarse picture"),
            PublishedResult(dataset="Rain100L", psnr=23.50, ssim=0.1442, note="mask"),
            PublishedResult(dataset="Rain100H", psnr=17.86, ssim=0.5531, note="mask"),
            PublishedResult(dataset="Rain100L", psnr=35.57, ssim=0.9693, note="coarse, no RA"),
            PublishedResult(dataset="Rain100H", psnr=30.45, ssim=0.8922, note="coarse, no RA"),
            PublishedResult(dataset="Rain100L", psnr=36.12, ssim=0.9714, note="coarse, RA"),
            PublishedResult(dataset="Rain100H", psnr=30.77, ssim=0.8964, note="coarse, RA"),
            PublishedResult(dataset="Rain100L", psnr=35.93, ssim=0.9711, note="no context"),
            PublishedResult(dataset="Rain100H", psnr=30.73, ssim=0.8979, note="no context"),
        ),
    ),
    hyperparameters=GraNet,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        "coarse-no-ra": replace(_DEFAULT, network={"region_aware": False, "fine": False}),
        "coarse": replace(_DEFAULT, network={"fine": False}),
        "no-context": replace(_DEFAULT, network={"context": False}),
    },
    ablation=("coarse-no-ra", "coarse", "no-context", "default"),
    network="rainkit_granet.network:granet",
    objective="rainkit_granet.objective:mean_absolute_error",
    image=_image,
    parts={
        "mask": Part(
            doc="rain mask M of the coarse stage; positive is rain", signed=True, estimates="rain"
        ),
        "coarse": Part(doc="coarse picture, the rainy one minus the mask", estimates="picture"),
    },
    weights=(
        Weights(
            tag="rain-v1",
            variant="default",
            file="weights/rain-v1.safetensors",
            sha256="a30dc1b0fe280f64de2dff5f90667339623767409244d5a45a952d3897afdc87",
            licence="Apache-2.0",
            trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
            recipe="examples/recipes/granet.toml",
            results=measured(
                "prenet/1",
                ("rain100l", 25, 32.06, 0.9381, 26.23, 0.8204),
                ("rain100h", 25, 22.64, 0.7322, 13.83, 0.3598),
                ("rain200h", 15, 21.74, 0.7221, 14.06, 0.3873),
                ("rain800", 15, 21.79, 0.7890, 21.67, 0.6650),
                ("misc", 7, 20.48, 0.7049, 18.85, 0.6574),
            ),
        ),
    ),
)
