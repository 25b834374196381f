"""Give trained GRASPP-GAN weights twice the feature maps, to train on from there.

python examples/recipes/double_graspp_gan.py NARROW.safetensors wide WIDE.safetensors

"wide" is the variant to fill; each of its layers has twice the maps of NARROW. The second half of
the maps is the network again with every kernel mirrored, so that it sees what the first half would
see of the mirrored picture; the last convolution takes the mean of both. The result is that of a
self-ensemble of two, at its price. The weights between the halves are zero, and are what the
training can use.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rainkit_graspp_gan.network import RATES
from torch import Tensor

from rainkit import networks, plugins, weights

KEPT = ("method", "variant", "api", "network")
PICTURE = 3
"""Channels of pictures, which are not doubled."""


def doubled(old: Tensor, shape: torch.Size, parts: int) -> Tensor:
    """Return the weights of both halves of a layer.

    Args:
        old: weights [out,in,kh,kw], or what batch normalisation or a bias has for each output.
        shape: of the result; an axis as long as that of ``old`` is that of a picture.
        parts: number of tensors that were concatenated into the inputs; each has two halves.
    """
    if old.dim() < 4:
        return old if old.shape == shape else torch.cat([old, old])
    new = torch.zeros(shape)
    for half, kernels in enumerate((old, old.flip(-1))):
        outputs = slice(half * old.shape[0], (half + 1) * old.shape[0])
        if shape[0] == old.shape[0]:
            outputs, kernels = slice(None), kernels / 2
        if shape[1] == old.shape[1]:
            new[outputs] += kernels
            continue
        width = old.shape[1] // parts
        for part in range(parts):
            start = (2 * part + half) * width
            new[outputs, start : start + width] += kernels[:, part * width : (part + 1) * width]
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description="Give GRASPP-GAN weights twice the feature maps.")
    parser.add_argument("narrow", type=Path)
    parser.add_argument("variant")
    parser.add_argument("wide", type=Path)
    given = parser.parse_args()
    method = plugins.get("graspp-gan")
    network = method.variants[given.variant].network
    narrow = weights.open_file(method, given.narrow)
    old = weights.load(networks.build(method, narrow.network), narrow).state_dict()
    state = networks.build(method, network).state_dict()
    for name, tensor in old.items():
        if any(n not in (o, 2 * o) for o, n in zip(tensor.shape, state[name].shape, strict=True)):
            raise SystemExit(f"{given.variant} does not have twice the maps of {given.narrow}")
        parts = len(RATES) if name == "fusion.conv1.weight" else 1
        state[name] = doubled(tensor, state[name].shape, parts)
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
