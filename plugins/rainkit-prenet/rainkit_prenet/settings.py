"""Settings of PReNet: its network, its objective, its variants and the pictures it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, ImageSpec, Part, Training, option, replace

__all__ = ["VARIANTS", "Network", "Objective", "image", "parts", "released_names"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The network of a stage and how often it is unfolded (section 3)."""

    stages: int = option(6, "passes through the network (T)", ge=1, le=50)
    recurrence: Literal["lstm", "gru", "none"] = option(
        "lstm", "memory from stage to stage; none is PRN"
    )
    width: int = option(32, "feature maps", ge=1)
    blocks: int = option(5, "residual blocks of a stage", ge=1)
    recursive: bool = option(False, "use one residual block that many times (PReNet_r, PRN_r)")
    rainy_input: bool = option(True, "let every stage see the rainy picture beside the last result")
    residual: bool = option(True, "add the rainy picture to the output of each stage")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Section 3.4: one loss, after the last stage or after every stage."""

    loss: Literal["ssim", "mse"] = option("ssim", "negative SSIM, or the mean squared error")
    early: float = option(
        0.0, "weight of the loss after each stage but the last; 0 supervises the last alone", ge=0
    )
    last: float = option(1.0, "weight of the loss after the last stage", gt=0)


def image(network: Network) -> ImageSpec:
    """Return what the network takes.

    A stage has f_in, the gates (a GRU's follow one another), two in each block, and f_out.
    """
    gates = {"none": 0, "lstm": 1, "gru": 2}[network.recurrence]
    return ImageSpec(
        receptive_radius=network.stages * (2 + gates + 2 * network.blocks),
        tiling="exact",
        half=("bf16",),
        fp32_modules=("f_out",),
    )


def parts(network: Network) -> dict[str, Part]:
    """Return the picture after each stage."""
    return {
        f"stage{t}": Part(doc=f"x_{t}, the result after stage {t}", estimates="picture")
        for t in range(1, network.stages + 1)
    }


def released_names(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the names in the .pth files that the authors released.

    There every gate is a convolution of its own, a block is ``res_convK`` with its convolutions at
    0 and 2, and the first and last convolutions are ``conv0`` and ``conv``.
    """
    layers: dict[str, tuple[str, ...]] = {"f_in": ("conv0.0",), "f_out": ("conv.0",)}
    if network.recurrence == "lstm":
        layers["f_recurrent.gates"] = ("conv_i.0", "conv_f.0", "conv_o.0", "conv_g.0")
    elif network.recurrence == "gru":
        layers["f_recurrent.gates"] = ("conv_z.0", "conv_b.0")
        layers["f_recurrent.candidate"] = ("conv_g.0",)
    for k in range(1 if network.recursive else network.blocks):
        for ours, theirs in (("conv1", 0), ("conv2", 2)):
            layers[f"f_res.{k}.{ours}"] = (f"res_conv{k + 1}.{theirs}",)
    return {
        f"{ours}.{kind}": tuple(f"{each}.{kind}" for each in theirs)
        for ours, theirs in layers.items()
        for kind in ("weight", "bias")
    }


# The authors cut RainTrainH (1,254 pictures of 481 x 321) with a stride of 80 px into 18,810
# patches; 18 of them are a step, so that an epoch has 1,045 steps.
_DEFAULT = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(
        schedule="milestones",
        factor=0.2,
        milestones=(30, 50, 80),
        steps=104_500,
        epoch_steps=1_045,
        batch=18,
        patch=100,
        ema=0.0,
        augment="none",
    ),
)

VARIANTS = {
    "default": _DEFAULT,
    "paper": _DEFAULT,
    "prn": replace(_DEFAULT, network={"recurrence": "none"}),
    "prenet-r": replace(_DEFAULT, network={"recursive": True}),
    "prn-r": replace(_DEFAULT, network={"recurrence": "none", "recursive": True}),
    "mse": replace(_DEFAULT, objective={"loss": "mse"}),
    "rec-ssim": replace(_DEFAULT, objective={"early": 0.5, "last": 1.5}),
    # The other networks of the authors' ablation, under their names for them.
    "lstm6": replace(_DEFAULT, network={"residual": False}),
    "gru6": replace(_DEFAULT, network={"recurrence": "gru", "residual": False}),
    "x6": replace(_DEFAULT, network={"rainy_input": False, "residual": False}),
}
