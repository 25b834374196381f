"""GraNet: coarse-to-fine deraining with local blocks, regional attention and a detail stage."""

from __future__ import annotations

from dataclasses import dataclass

from rainkit.api import Hyperparameters, ImageSpec, Method, Part, Training, option, replace
from rainkit_granet.card import PAPER, WEIGHTS

__all__ = ["METHOD", "Network", "Objective"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Settings of the coarse stage (section 3.2) and the fine stage (section 3.3)."""

    width: int = option(64, "feature maps, a multiple of the 4 groups of the merging block", ge=4)
    growth: int = option(32, "maps that each layer of a dense block adds", ge=1)
    layers: int = option(4, "layers of a dense block", ge=1)
    region_aware: bool = option(True, "attend within the regions of a 1x1, 2x2 and 4x4 grid")
    fine: bool = option(True, "refine the coarse picture; otherwise it is the result")
    context: bool = option(True, "dense blocks and merging block in the fine stage")
    fine_residual: bool = option(
        False, "the fine stage corrects the coarse picture (the paper's draws it anew)"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Equation 9: mean absolute error of the result."""

    coarse: float = option(0.0, "weight of the coarse picture's own error (paper: 0)", ge=0)


def _image(network: Network) -> ImageSpec:
    """Without attention the network is local, but what a pixel reaches depends on its place.

    The dense blocks of the fine stage, 70 % of the arithmetic, may be rounded. The coarse stage may
    not: among values that are equal after rounding, max-pooling may keep the place of another one,
    and a pixel then moves to a wrong place (9 levels of 255, measured with the shipped weights).
    """
    radius = None
    if not network.region_aware:
        # Head, dense blocks at three scales, pooling cells of 8 px, mask.
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


_DEFAULT = Hyperparameters(
    network=Network(fine_residual=True),
    objective=Objective(coarse=0.1),
    training=Training(lr=5e-4, lr_floor=0.2, warmup_steps=100, steps=20_000, epoch_steps=250),
)
_PAPER = Hyperparameters(
    network=Network(),
    objective=Objective(),
    # The paper reduces the rate by a tenth, down to 1e-4, which one fall to a tenth would pass.
    training=Training(
        lr=5e-4,
        schedule="plateau",
        factor=0.9,
        lr_floor=0.2,
        steps=100_000,
        epoch_steps=250,
        ema=0.0,
    ),
)

METHOD = Method(
    api=2,
    name="granet",
    title="GraNet",
    summary="dense local blocks, attention within regions, and a second stage for details",
    licence="Apache-2.0",
    paper=PAPER,
    variants={
        "default": _DEFAULT,
        "paper": _PAPER,
        "coarse-no-ra": replace(_DEFAULT, network={"region_aware": False, "fine": False}),
        "coarse": replace(_DEFAULT, network={"fine": False}),
        "no-context": replace(_DEFAULT, network={"context": False}),
    },
    ablation=("coarse-no-ra", "coarse", "no-context", "default"),
    network="rainkit_granet.network:GraNet",
    objective="rainkit_granet.objective:MeanAbsoluteError",
    image=_image,
    parts={
        "mask": Part(
            doc="rain mask M of the coarse stage; positive is rain", signed=True, estimates="rain"
        ),
        "coarse": Part(doc="coarse picture, the rainy one minus the mask", estimates="picture"),
    },
    weights=WEIGHTS,
)
