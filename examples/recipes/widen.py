"""Give trained weights more feature maps, to train on from what they know.

python examples/recipes/widen.py resguidenet NARROW.safetensors wide WIDE.safetensors
python examples/recipes/widen.py freq-gan NARROW.safetensors wide WIDE.safetensors
python examples/recipes/widen.py graspp-gan NARROW.safetensors wide WIDE.safetensors

"wide" is the variant to fill.

The new maps of ResGuideNet and FreqGAN are drawn as for a new network and see the old ones, but
nothing old sees them yet: their weights into old maps, and into the picture, are zero. The result
is the same.

GRASPP-GAN gets twice its maps. The second half is the network again with every kernel mirrored, so
that it sees what the first half would see of the mirrored picture; the last convolution takes the
mean of both. The result is that of a self-ensemble of two. The weights between the halves are zero.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rainkit_graspp_gan.network import RATES
from torch import Tensor

from rainkit import networks, plugins, weights
from rainkit.errors import exiting

KEPT = ("method", "variant", "api", "network")


def places(old: int, new: int, groups: int = 1, kept: int = 0) -> Tensor:
    """Return where the old maps of an axis are in a longer one.

    Args:
        old: length of the axis.
        new: length of the longer one.
        groups: of how many equal groups the maps consist; each gets its share of new ones.
        kept: entries that are no feature maps and keep their place at the end.
    """
    each, wider = (old - kept) // groups, (new - kept) // groups
    maps = [group * wider + n for group in range(groups) for n in range(each)]
    return torch.tensor([*maps, *range(new - kept, new)])


def extended(
    old: Tensor, new: Tensor, *, outputs: int = 1, inputs: int = 1, kept: int = 0
) -> Tensor:
    """Put a tensor into the drawn one of a wider network.

    Args:
        old: trained weights [out,in,kh,kw], or the biases [out].
        new: drawn weights of more maps, out or in or both.
        outputs: groups of the outputs, see ``places``.
        inputs: groups of the inputs.
        kept: inputs that are no feature maps.
    """
    rows = places(old.shape[0], new.shape[0], outputs)
    if old.dim() == 1:
        new[rows] = old
        return new
    new[rows] = 0
    new[rows[:, None], places(old.shape[1], new.shape[1], inputs, kept)] = old
    return new


def freq_gan(name: str, old: Tensor, new: Tensor) -> Tensor:
    """Put a tensor of a FreqGAN into a wider one. Its gates are four, of the features and h."""
    gates = name.startswith("f_recurrent.gates.")
    return extended(old, new, outputs=4 if gates else 1, inputs=2 if gates else 1)


def resguidenet(name: str, old: Tensor, new: Tensor, guided: bool) -> Tensor:
    """Put a tensor of a ResGuideNet into a wider one.

    A guided layer gets the residuals of the blocks before its own, of three channels each, at the
    end of its inputs.
    """
    _, block, layer, *_ = [*name.split("."), "", ""]
    guidance = 3 * int(block) if guided and layer in ("rec1", "conv_out") else 0
    return extended(old, new, kept=guidance)


def doubled(name: str, old: Tensor, new: Tensor) -> Tensor:
    """Return both halves of a layer of GRASPP-GAN.

    Args:
        name: of the tensor.
        old: weights [out,in,kh,kw], or what batch normalisation or a bias has for each output.
        new: a tensor of the shape of the result. An axis as long as that of ``old`` is that of a
            picture, which is not doubled.

    Raises:
        SystemExit: another axis is not twice as long.
    """
    if any(n not in (o, 2 * o) for o, n in zip(old.shape, new.shape, strict=True)):
        raise SystemExit(f"{name}: {tuple(new.shape)} is not twice {tuple(old.shape)}")
    if old.dim() < 4:
        return old if old.shape == new.shape else torch.cat([old, old])
    # The pyramid's branches are concatenated, and each has two halves.
    parts = len(RATES) if name == "fusion.conv1.weight" else 1
    halves = torch.zeros_like(new)
    for half, kernels in enumerate((old, old.flip(-1))):
        outputs = slice(half * old.shape[0], (half + 1) * old.shape[0])
        if new.shape[0] == old.shape[0]:
            outputs, kernels = slice(None), kernels / 2
        if new.shape[1] == old.shape[1]:
            halves[outputs] += kernels
            continue
        width = old.shape[1] // parts
        for part, of_part in enumerate(torch.split(kernels, width, dim=1)):
            start = (2 * part + half) * width
            halves[outputs, start : start + width] += of_part
    return halves


def main() -> None:
    parser = argparse.ArgumentParser(description="Give trained weights more feature maps.")
    parser.add_argument("method", choices=("freq-gan", "graspp-gan", "resguidenet"))
    parser.add_argument("narrow", type=Path)
    parser.add_argument("variant")
    parser.add_argument("wide", type=Path)
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn")
    given = parser.parse_args()
    method = plugins.get(given.method)
    network = method.variants[given.variant].network
    narrow = weights.open_file(method, given.narrow)
    old = weights.load(networks.build(method, narrow.network), narrow).state_dict()
    torch.manual_seed(given.seed)
    state = networks.build(method, network).state_dict()
    sizes = [(o, n) for key in old for o, n in zip(old[key].shape, state[key].shape, strict=True)]
    if any(n < o for o, n in sizes) or all(n == o for o, n in sizes):
        raise SystemExit(f"{given.variant} has no more feature maps than {given.narrow}")
    for name, tensor in old.items():
        if method.name == "graspp-gan":
            state[name] = doubled(name, tensor, state[name])
        elif method.name == "freq-gan":
            state[name] = freq_gan(name, tensor, state[name])
        else:
            state[name] = resguidenet(name, tensor, state[name], network.guide)
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
    with exiting():
        main()
