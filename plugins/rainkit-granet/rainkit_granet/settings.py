"""Settings of GraNet: its network, its objective, its variants and the pictures it takes."""

from __future__ import annotations

from dataclasses import dataclass

from rainkit.api import Hyperparameters, ImageSpec, Training, option, replace

__all__ = ["VARIANTS", "Network", "Objective", "image"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Settings of the coarse stage (section 3.2) and the fine stage (section 3.3)."""

    width: int = option(64, "feature maps", ge=4)
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


_POOLED = ("coarse.head", *(f"coarse.local_blocks.{i}" for i in range(3)))
_FP32 = (*_POOLED, "mask", "fine.head", "fine.out")


def image(network: Network) -> ImageSpec:
    """Return what the network takes.

    Without attention the network is local, but what a pixel reaches depends on its place.

    The dense blocks of the fine stage, 70 % of the arithmetic, may be rounded, and so may the
    region-aware blocks. What the coarse stage pools may not: among values that are equal after
    rounding, max-pooling may keep the place of another one, and a pixel then moves to a wrong place
    (9 levels of 255, measured with the shipped weights).
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
        fp32_modules=_FP32 if network.fine else (),
    )


_DEFAULT = Hyperparameters(
    network=Network(fine_residual=True),
    objective=Objective(coarse=0.1),
    training=Training(lr=5e-4, lr_floor=0.2, warmup_steps=100, steps=20_000, epoch_steps=250),
)
# For Rain100L, of whose 200 pictures an epoch consists. The paper reduces the rate "by 10 %", down
# to 1e-4, which one fall to a tenth would pass.
_PAPER = Hyperparameters(
    network=Network(),
    objective=Objective(),
    training=Training(
        lr=5e-4,
        schedule="plateau",
        plateau_on="psnr",
        factor=0.9,
        patience=10,
        lr_floor=0.2,
        stop_at_floor=True,
        steps=100_000,
        epoch_steps=25,
        batch=8,
        accumulate=8,
        whole=512,
        augment="hflip",
        ema=0.0,
    ),
)

VARIANTS = {
    "default": _DEFAULT,
    "paper": _PAPER,
    "coarse-no-ra": replace(_DEFAULT, network={"region_aware": False, "fine": False}),
    "coarse": replace(_DEFAULT, network={"fine": False}),
    "no-context": replace(_DEFAULT, network={"context": False}),
}
"""Settings by variant; the last three are rows of the paper's ablation."""
