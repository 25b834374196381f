"""Give trained ResGuideNet weights more feature maps: the same results at first, and room to learn.

python examples/recipes/widen_resguidenet.py NARROW.safetensors wide WIDE.safetensors

"wide" is the variant to fill. Its new maps are drawn as for a new network and see the old ones, but
nothing old sees them yet: their weights into old maps, and into the residual, are zero.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from rainkit import networks, plugins, weights
from rainkit.weights.store import read

KEPT = ("method", "variant", "api", "network")


def widened(new: Tensor, old: Tensor, guidance: int) -> Tensor:
    """Put ``old`` into a tensor of the shape of ``new``.

    Args:
        new: drawn weights [out,in,kh,kw], or the biases [out].
        old: trained weights of fewer maps, out or in or both.
        guidance: number of last inputs that are no feature maps, and keep their place at the end.
    """
    outputs = old.shape[0]
    if old.dim() == 1:
        new[:outputs] = old
        return new
    features = old.shape[1] - guidance
    new[:outputs] = 0
    new[:outputs, :features] = old[:, :features]
    if guidance:
        new[:outputs, -guidance:] = old[:, -guidance:]
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description="Give ResGuideNet weights more feature maps.")
    parser.add_argument("narrow", type=Path)
    parser.add_argument("variant")
    parser.add_argument("wide", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    method = plugins.get("resguidenet")
    network = method.variants[given.variant].network
    narrow = weights.open_file(method, given.narrow)
    if network.width < narrow.network.width:
        raise SystemExit(f"{given.variant} has fewer feature maps than {given.narrow}")
    torch.manual_seed(given.seed)
    state = networks.build(method, network).state_dict()
    for name, tensor in read(given.narrow).items():
        _, block, layer, *_ = [*name.split("."), "", ""]
        guided = layer in ("rec1", "conv_out") and network.guide
        state[name] = widened(state[name], tensor, 3 * int(block) if guided else 0)
    weights.save(
        given.wide,
        state,
        method=method,
        variant=given.variant,
        network=network,
        about={key: value for key, value in narrow.header.items() if key not in KEPT},
        overwrite=False,
    )


if __name__ == "__main__":
    main()
