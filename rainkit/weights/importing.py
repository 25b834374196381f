"""Filling a network for finetuning from a file that may fit it only in part.

Files of rainkit and foreign checkpoints are treated alike. A file may hold several state dicts, and
wrappers may have put prefixes before the names; the state dict and prefix are used under which most
tensors fit the network by name and shape.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from rainkit.api import Method
from rainkit.errors import UsageError, WeightsError
from rainkit.hyperparameters import differences
from rainkit.weights.store import not_finite, open_file, opened, read

__all__ = ["Initialised", "initialise"]

_WRAPPERS = frozenset(
    (
        *("module", "model", "_orig_mod", "network", "net", "net_g", "netg", "generator"),
        *("ema", "ema_model", "model_ema", "averaged_model", "state_dict"),
    )
)
"""Attributes in which DataParallel, compilers, trainers and averages hold a network."""

_AVERAGES = frozenset(("ema", "average", "averaged"))

_DEPTH = 3
"""Depth to which state dicts are searched: ``{"models": {"generator": {"state_dict": ...}}}``."""


@dataclass(frozen=True, slots=True)
class Initialised:
    """Which tensors of a network (buffers included) were filled from a file.

    Attributes:
        loaded: names of the network's tensors that were filled.
        missing: names in the network that the file does not have.
        unused: names in the file that the network does not have.
        resized: names that both have, with different shapes; these tensors were not filled.
        differing: settings of the network that the file's network does not share, such as
            ``network.stages = 3 (6 in the file)``.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    resized: tuple[str, ...]
    differing: tuple[str, ...] = ()

    def line(self) -> str:
        """Return a line for the log."""
        whole = len(self.loaded) + len(self.missing) + len(self.resized)
        parts = [f"{len(self.loaded)} of {whole} tensors taken over"]
        for names, what in (
            (self.resized, "of another shape"),
            (self.missing, "not in the file"),
            (self.unused, "unused"),
        ):
            if names:
                parts.append(f"{len(names)} {what} ({_few(names)})")
        return "; ".join((*parts, *self.differing))


def initialise(
    network: nn.Module, method: Method, source: Path, settings: Any = None
) -> Initialised:
    """Fill a network with every tensor of a file whose name and shape fit.

    Args:
        network: the network to fill; its other tensors are not changed.
        method: the method that the network belongs to.
        source: a ``.safetensors`` file, or a checkpoint of PyTorch (``.pth``, ``.pt``, ``.ckpt``).
        settings: the network's hyperparameters; if given, they are compared with those in the
            header of the file, since tensors may fit a network that uses them in another way.

    Raises:
        UsageError: no such file.
        WeightsError: the file is damaged, belongs to another method, holds more than tensors, or
            holds none that fit.
    """
    if source.suffix == ".safetensors":
        _refuse_other_method(method, source)
        content: Any = read(source)
    else:
        content = _unpickle(source)
    candidates = [
        _Candidate.of(network, state, prefix, where)
        for where, state in _state_dicts(content)
        for prefix in _prefixes(state)
    ]
    if not candidates:
        raise WeightsError(f"{source}: holds no tensors by name, such as a state dict has")
    best = max(candidates, key=lambda candidate: candidate.rank)
    # A bias of three values may fit by chance and is not worth finetuning from.
    if not any(name in best.fitting for name, p in network.named_parameters() if p.dim() > 1):
        raise WeightsError(
            f"{source}: none of its weights fits the network of {method.name}: the file has "
            f"{_few(_shapes(best.state))}; the network {_few(_shapes(network.state_dict()))}"
        )
    broken = not_finite(best.fitting)
    if broken:
        raise WeightsError(f"{source}: {_few(broken)} hold nan or infinity")
    network.load_state_dict(best.fitting, strict=False)
    wanted = [name for name, value in network.state_dict().items() if isinstance(value, Tensor)]
    return Initialised(
        loaded=tuple(name for name in wanted if name in best.fitting),
        missing=tuple(name for name in wanted if name not in best.fitting | best.resized),
        unused=best.unused,
        resized=tuple(name for name in wanted if name in best.resized),
        differing=() if settings is None else _differing(method, source, settings),
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A state dict under one of its prefixes, compared with the network."""

    state: Mapping[str, Tensor]
    fitting: dict[str, Tensor]
    resized: dict[str, Tensor]
    unused: tuple[str, ...]
    averaged: bool

    @classmethod
    def of(
        cls, network: nn.Module, state: Mapping[str, Tensor], prefix: str, where: tuple[str, ...]
    ) -> _Candidate:
        fitting, resized, unused = {}, {}, []
        wanted = network.state_dict()
        for full, tensor in state.items():
            name = full.removeprefix(prefix)
            target = wanted.get(name) if full.startswith(prefix) else None
            if not isinstance(target, Tensor):
                unused.append(full)
            elif _same_kind(tensor, target):
                fitting[name] = tensor.detach().to(target.dtype)
            else:
                resized[name] = tensor
        words = {word for part in (*where, prefix) for word in re.split(r"[._]", part.lower())}
        return cls(state, fitting, resized, tuple(unused), bool(words & _AVERAGES))

    @property
    def rank(self) -> tuple[int, int, bool]:
        """Return a key that prefers more tensors that fit, and then averaged weights."""
        return len(self.fitting), len(self.resized), self.averaged


def _refuse_other_method(method: Method, source: Path) -> None:
    with opened(source) as file:
        named = (file.metadata() or {}).get("method", method.name)
    if named != method.name:
        raise WeightsError(f"{source}: these weights are of {named}, not of {method.name}")


def _differing(method: Method, source: Path, settings: Any) -> tuple[str, ...]:
    """Return the settings that differ from those of a file, or nothing if the file names none."""
    try:
        theirs = open_file(method, source).network
    except WeightsError:  # a file of another program
        return ()
    before = differences(theirs, settings)
    return tuple(
        f"network.{name} = {_written(value)} ({_written(before[name])} in the file)"
        for name, value in differences(settings, theirs).items()
    )


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).strip('"')


def _unpickle(source: Path) -> Any:
    if not source.is_file():
        raise UsageError(f"{source}: no such weights file")
    try:
        with warnings.catch_warnings(action="ignore"):  # about old formats and TorchScript
            return torch.load(source, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"code as well: {found[1]}" if found else "something else, or is damaged"
        raise WeightsError(
            f"{source}: only tensors are read, and this file holds {what}; open it with the "
            "program that made it, save the state dict alone (torch.save(network.state_dict(), "
            "FILE)), and name that file"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise WeightsError(f"{source}: not a whole checkpoint of PyTorch ({reason})") from error


def _state_dicts(
    content: Any, where: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield every mapping of names to tensors in a checkpoint, with the keys that lead to it."""
    if not isinstance(content, Mapping):
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield where, tensors
    if len(where) < _DEPTH:
        for key, value in named.items():
            yield from _state_dicts(value, (*where, key))


def _prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """Return the empty prefix, and prefixes such as ``module.`` and ``model.generator.``."""
    found = {"": None}
    for name in state:
        prefix = ""
        for part in name.split(".")[:-1]:
            if part.lower() not in _WRAPPERS:
                break
            prefix += f"{part}."
            found[prefix] = None
    return list(found)


def _same_kind(tensor: Tensor, target: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_meta)
    floats = tensor.is_floating_point() == target.is_floating_point() and not tensor.is_complex()
    return plain and floats and tensor.shape == target.shape


def _shapes(state: Mapping[str, Any]) -> list[str]:
    return [f"{name} {list(v.shape)}" for name, v in state.items() if isinstance(v, Tensor)]


def _few(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
