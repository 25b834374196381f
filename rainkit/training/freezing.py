"""Freezing parameters, and recomputing activations to save memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rainkit.errors import UsageError

__all__ = ["freeze", "recompute"]


def freeze(network: nn.Module, patterns: Sequence[str]) -> int:
    """Freeze the parameters whose names match a pattern and return how many numbers they hold.

    The running statistics of modules that are frozen as a whole do not change either.

    Raises:
        UsageError: a pattern matches nothing, or nothing is left to train.
    """
    named = dict(network.named_parameters())
    for pattern in patterns:
        matching = [name for name in named if fnmatchcase(name, pattern)]
        if not matching:
            some = ", ".join(list(named)[:3])
            raise UsageError(f"training.freeze: nothing is named {pattern}; there is {some}...")
        for name in matching:
            named[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in named.values()):
        raise UsageError("training.freeze matches every parameter: nothing is left to train")
    return sum(p.numel() for p in named.values() if not p.requires_grad)


def recompute(network: nn.Module) -> int:
    """Let blocks keep only their inputs and compute the rest again in the backward pass.

    A block is a module of at least two layers with weights that is nested at most two deep. Blocks
    with BatchNorm are left out: a second pass would count into its running statistics. The number
    of blocks is returned.

    Raises:
        UsageError: the network has no such blocks.
    """
    blocks = _blocks(network)
    for block in blocks:
        kind: Any = type(block)
        block.__class__ = _recomputing(kind)
    if not blocks:
        raise UsageError("training.recompute: this network has no blocks without BatchNorm")
    return len(blocks)


def _blocks(module: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for child in module.children():
        simple = not isinstance(child, (nn.ModuleList, nn.ModuleDict)) and _depth(child) <= 2
        if simple and _layers(child) >= 2 and not _normalises(child):
            found.append(child)
        else:
            found += _blocks(child)
    return found


def _depth(module: nn.Module) -> int:
    return max((1 + _depth(child) for child in module.children()), default=0)


def _layers(module: nn.Module) -> int:
    return sum(any(True for _ in each.parameters(recurse=False)) for each in module.modules())


def _normalises(module: nn.Module) -> bool:
    # The common base of all BatchNorms has no public name.
    return any(getattr(m, "running_mean", None) is not None for m in module.modules())


@functools.cache
def _recomputing(kind: Any) -> Any:
    """Return a class of the same module that recomputes.

    A class survives deepcopy; a patched method does not.
    """

    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Any:
        if not (self.training and torch.is_grad_enabled()):
            return kind.forward(self, *inputs, **named)
        run = functools.partial(kind.forward, self)
        return checkpoint(run, *inputs, use_reentrant=False, **named)

    return type(kind.__name__, (kind,), {"forward": forward})
