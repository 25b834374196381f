"""Time-lapse deraining: a network that learns from rainy frames of static scenes alone."""

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

__all__ = ["METHOD", "Network", "Objective", "TimeLapse"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Encoders, fusion and decoder (Tables I, II and VII)."""

    kernels: tuple[int, int, int] = option((1, 3, 5), "kernel sizes of the encoders, all odd")
    widths: tuple[int, int, int] = option((16, 32, 64), "feature maps at full, half, quarter size")
    fusion: Literal["sum", "prod", "concat", "dyn_full", "dyn_lowrank"] = option(
        "dyn_lowrank", "how the encoders' features become one; dyn: by a generated filter"
    )
    rank: int = option(64, "dyn_lowrank: rank of what is generated", ge=1)
    channels: Literal[1, 3] = option(
        1, "1: one streak layer from luma, for R, G and B; 3: one each"
    )
    rectify: bool = option(False, "a ReLU at the end while training too, as printed")


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


@dataclass(frozen=True, kw_only=True)
class TimeLapse(Hyperparameters):
    """Everything that can be set."""

    network: Network = field(default_factory=Network)
    objective: Objective = field(default_factory=Objective)
    training: Training = field(default_factory=Training)


def _image(network: Network) -> ImageSpec:
    """Generated filters see the whole picture; without, three scales of convolutions."""
    radius = None
    if not network.fusion.startswith("dyn"):
        # Encoder: 2 at H, 2 at H/2 and 3 at H/4, and pooling; decoder: 4, 3 and 3, and upsampling.
        radius = max(network.kernels) // 2 * (2 + 2 * 2 + 3 * 4) + 7 + (4 * 4 + 3 * 2 + 3) + 14
    return ImageSpec(
        multiple_of=8,
        min_size=8,
        receptive_radius=radius,
        tiling="approximate" if radius is None else "exact",
        half=("bf16",),
        # Max-pooling of rounded values mistakes one pixel for another: up to 7 levels of 255.
        fp32_modules=(*(f"encoders.{n}.levels.0" for n in range(3)), "decoder.out"),
    )


# As printed, a black picture at the end and all.
_PAPER = TimeLapse(
    network=Network(kernels=(3, 5, 7), widths=(64, 128, 256), fusion="dyn_full", rectify=True),
    objective=Objective(structure=0.1, schedule="paper"),
    training=Training(
        lr=1e-4,
        schedule="constant",
        steps=200_000,
        epoch_steps=20_000,
        batch=4,
        patch=128,
        ema=0.0,
        augment="none",
    ),
)
_DEFAULT = TimeLapse(
    training=Training(
        lr=1e-3,
        schedule="cosine",
        warmup_steps=200,
        steps=20_000,
        epoch_steps=500,
        batch=4,
        patch=128,
    ),
)
_SIZES = {"medium": (32, 64, 128), "large": (64, 128, 256)}

METHOD = Method(
    api=API,
    name="timelapse",
    title="Time-Lapse Deraining",
    summary="encoders of three kernel sizes, trained on rainy frames without a clean picture",
    licence="Apache-2.0",
    paper=Paper(
        authors=("Jaehoon Cho", "Seungryong Kim", "Dongbo Min", "Kwanghoon Sohn"),
        title="Single Image Deraining Using Time-Lapse Data",
        venue="IEEE Transactions on Image Processing",
        year=2020,
        results=(
            PublishedResult(dataset="SPANet test set", psnr=38.54, ssim=0.989),
            PublishedResult(dataset="SPANet test set", psnr=37.98, ssim=0.983, note="fusion sum"),
            PublishedResult(dataset="SPANet test set", psnr=38.02, ssim=0.984, note="fusion prod"),
            PublishedResult(dataset="SPANet test set", psnr=38.11, ssim=0.986, note="concat"),
            PublishedResult(dataset="SPANet test set", psnr=37.68, ssim=0.981, note="Lr, Lb"),
            PublishedResult(dataset="SPANet test set", psnr=37.92, ssim=0.985, note="Lr, Lb, Ls"),
            PublishedResult(dataset="SPANet test set", psnr=38.01, ssim=0.986, note="Lb, Ls, Lv"),
            PublishedResult(dataset="DDN test set", psnr=33.73, ssim=0.94),
            PublishedResult(dataset="Rain100L", psnr=37.89, ssim=0.98),
            PublishedResult(dataset="DID test set", psnr=33.25, ssim=0.93),
            PublishedResult(dataset="512x512 picture", seconds=0.39),
        ),
    ),
    hyperparameters=TimeLapse,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        **{name: replace(_DEFAULT, network={"widths": widths}) for name, widths in _SIZES.items()},
        "wide-kernels": replace(_DEFAULT, network={"kernels": (3, 5, 7)}),
        "sum": replace(_DEFAULT, network={"fusion": "sum"}),
        "prod": replace(_DEFAULT, network={"fusion": "prod"}),
        "concat": replace(_DEFAULT, network={"fusion": "concat"}),
        "dyn-full": replace(_DEFAULT, network={"fusion": "dyn_full"}),
        "no-background": replace(_DEFAULT, objective={"background": 0.0}),
        "no-structure": replace(_DEFAULT, objective={"structure": 0.0}),
        "no-direction": replace(_DEFAULT, objective={"direction": 0.0}),
        "no-reconstruction": replace(_DEFAULT, objective={"reconstruction": 0.0}),
    },
    ablation=(
        "no-background",
        "no-structure",
        "no-direction",
        "no-reconstruction",
        "sum",
        "prod",
        "concat",
        "default",
    ),
    network="rainkit_timelapse.network:timelapse",
    objective="rainkit_timelapse.objective:timelapse",
    image=_image,
    parts={"streaks": Part(doc="streak layer S that is taken away", estimates="rain")},
    training_data="frames",
    weights=(
        Weights(
            tag="rain-v1",
            variant="default",
            file="weights/rain-v1.safetensors",
            sha256="e8d697621fd73cf07c0529b702222c04de7a0ccd049db6c656bce236492ca182",
            licence="Apache-2.0",
            trained_on="drawn time-lapse frames of 359 photographs; no clean picture was a target",
            recipe="examples/recipes/timelapse.sh",
            results=measured(
                "prenet/1",
                ("rain100l", 25, 30.14, 0.9110, 26.23, 0.8204),
                ("rain100h", 25, 15.04, 0.4421, 13.83, 0.3598),
                ("rain200h", 15, 15.25, 0.4684, 14.06, 0.3873),
                ("rain800", 15, 21.58, 0.6771, 21.67, 0.6650),
                ("misc", 7, 19.24, 0.6749, 18.85, 0.6574),
            ),
        ),
    ),
)
