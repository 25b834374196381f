"""ResGuideNet: deraining by a cascade of small blocks, each guided by the residuals before it."""

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

__all__ = ["METHOD", "Network", "Objective", "ResGuideNet"]


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


@dataclass(frozen=True, kw_only=True)
class ResGuideNet(Hyperparameters):
    """Everything that can be set."""

    network: Network = field(default_factory=Network)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)


def _blocks(network: Network) -> int:
    return network.blocks


def _image(network: Network) -> ImageSpec:
    """Each block: its first convolution, two in each pass, its last one; the merge is 1x1."""
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
_TRAINING = Training(optimiser="rmsprop", beta2=0.9, lr=1e-3)

_PAPER = ResGuideNet(
    objective=Objective(reduction="sum"),
    training=replace(
        ResGuideNet(training=_TRAINING),
        training={
            "schedule": "constant",
            "steps": 50_000,
            "epoch_steps": 5_000,
            "batch": 16,
            "patch": 128,
            "ema": 0.0,
            "augment": "none",
        },
    ).training,
)
_DEFAULT = ResGuideNet(
    training=replace(
        ResGuideNet(training=_TRAINING),
        training={
            "schedule": "cosine",
            "warmup_steps": 100,
            "steps": 20_000,
            "epoch_steps": 500,
            "batch": 8,
            "patch": 96,
        },
    ).training,
)

METHOD = Method(
    api=API,
    name="resguidenet",
    title="ResGuideNet",
    summary="five tiny recursive blocks guided by earlier residuals; stops when a picture is dry",
    licence="Apache-2.0",
    paper=Paper(
        authors=("Zhiwen Fan", "Huafeng Wu", "Xueyang Fu", "Yue Huang", "Xinghao Ding"),
        title="Residual-Guide Network for Single Image Deraining",
        venue="ACM Multimedia",
        year=2018,
        doi="10.48550/arXiv.1804.07493",
        results=(
            PublishedResult(dataset="Rain100H", psnr=24.74, ssim=0.815, note="ResGuideNet_3"),
            PublishedResult(dataset="Rain100H", psnr=25.25, ssim=0.841, note="ResGuideNet"),
            PublishedResult(dataset="Rain100L", psnr=32.82, ssim=0.960, note="ResGuideNet_3"),
            PublishedResult(dataset="Rain100L", psnr=33.16, ssim=0.963, note="ResGuideNet"),
            PublishedResult(dataset="Rain12", psnr=29.19, ssim=0.936, note="ResGuideNet_3"),
            PublishedResult(dataset="Rain12", psnr=29.45, ssim=0.938, note="ResGuideNet"),
            PublishedResult(dataset="DDN test set", psnr=30.79, ssim=0.939, note="ResGuideNet_3"),
            PublishedResult(dataset="DDN test set", psnr=31.38, ssim=0.950, note="ResGuideNet"),
            PublishedResult(
                dataset="500x500 picture",
                seconds=0.06,
                parameters=19_404,
                note="ResGuideNet_3, GPU",
            ),
            PublishedResult(
                dataset="500x500 picture", seconds=0.11, parameters=37_065, note="ResGuideNet, GPU"
            ),
            PublishedResult(dataset="500x500 picture", seconds=1.26, note="ResGuideNet_3, CPU"),
            PublishedResult(dataset="500x500 picture", seconds=3.15, note="ResGuideNet, CPU"),
            PublishedResult(dataset="BSD500, noise of sigma 10", ssim=0.963, note="denoising"),
            PublishedResult(dataset="BSD500, noise of sigma 30", ssim=0.914, note="denoising"),
            PublishedResult(dataset="BSD500, noise of sigma 70", ssim=0.831, note="denoising"),
        ),
    ),
    hyperparameters=ResGuideNet,
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
    network="rainkit_resguidenet.network:resguidenet",
    objective="rainkit_resguidenet.objective:deep_supervision",
    image=_image,
    blocks=_blocks,
    parts=_parts,
    weights=(
        Weights(
            tag="rain-v1",
            variant="default",
            file="weights/rain-v1.safetensors",
            sha256="4c159c8475aa4dd45fed4a3980dd234650bfdcb5b4f045142fac0b228272fa6d",
            licence="Apache-2.0",
            trained_on="359 clean photographs (BSDS500, SunHays80, Urban100) with rain on the fly",
            recipe="examples/recipes/resguidenet.toml",
            results=measured(
                "prenet/1",
                ("rain100l", 25, 31.43, 0.9419, 26.23, 0.8204),
                ("rain100h", 25, 23.18, 0.7616, 13.83, 0.3598),
                ("rain200h", 15, 22.78, 0.7531, 14.06, 0.3873),
                ("rain800", 15, 21.83, 0.7864, 21.67, 0.6650),
                ("misc", 7, 20.19, 0.7121, 18.85, 0.6574),
            ),
        ),
    ),
)
