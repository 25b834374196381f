"""Networks of other programs: whatever the spandrel library loads and keeps a picture's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rainkit.api import Hyperparameters, ImageSpec, Method, Paper, option

__all__ = ["METHOD", "Network", "Objective"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network in a file, as spandrel describes it; ``--weights`` fills this in."""

    file: str = option("", "file of the network")
    architecture: str = option("", "name of its architecture in spandrel")
    multiple_of: int = option(1, "number that both sides of its pictures are multiples of", ge=1)
    min_size: int = option(1, "smallest side of its pictures", ge=1)
    tiling: Literal["approximate", "never"] = option("never", "whether large pictures may be cut")


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Nothing: the networks are finished."""


def image(network: Network) -> ImageSpec:
    """What spandrel says of the network; it says nothing of the reach of an input pixel."""
    return ImageSpec(
        multiple_of=network.multiple_of, min_size=network.min_size, tiling=network.tiling
    )


METHOD = Method(
    api=2,
    name="spandrel",
    title="Spandrel",
    summary="runs restoration networks of other programs from their files (--weights net.pth)",
    good_at="whatever the network in your file was trained for",
    licence="Apache-2.0",
    paper=Paper(title="That of the network in the file"),
    variants={"default": Hyperparameters(network=Network(), objective=Objective())},
    network="rainkit_spandrel.network:Loaded",
    image=image,
    checkpoints="rainkit_spandrel.network:describe",
)
