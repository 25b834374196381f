"""Checks of weights: whole file, installed method, fitting network, finite values, a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit import plugins
from rainkit.api import Method, Weights
from rainkit.errors import RainkitError, UsageError, WeightsError, one_line
from rainkit.weights.fetching import is_address, parse
from rainkit.weights.store import WeightsFile, fetched, find, inspect, load, not_finite, open_file

__all__ = ["Verification", "verify"]

_SIDE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """The result of checking one weights file.

    Attributes:
        name: ``method.tag`` if a plugin ships it, or else the file as the user named it.
        held: the checks that it passed, in their order, up to the one that failed.
        problem: what is wrong with it; None if it passed all checks.
    """

    name: str
    held: tuple[str, ...]
    problem: str | None

    def to_data(self) -> dict[str, Any]:
        """Return the result as plain data for ``--json``."""
        return {"name": self.name, "held": list(self.held), "problem": self.problem}


def verify(*which: str | Path) -> tuple[Verification, ...]:
    """Check weights; a failed check becomes the ``problem`` of the result.

    Args:
        which: files, ``method.tag``, or methods for all their weights; by default all weights that
            installed methods ship. Those that can be fetched and are not here are bad.

    Raises:
        UsageError: an unknown method or tag, or no such file.
    """
    if which:
        return tuple(found for each in which for found in _named(str(each)))
    return tuple(found for row in plugins.installed() for found in _installed(row))


def _named(which: str) -> list[Verification]:
    path = fetched(parse(which), which) if is_address(which) else Path(which)
    if path.suffix == ".safetensors" or path.is_file():
        if not path.is_file():
            raise UsageError(f"{path}: no such weights file")
        return [_examined(which, _file(path))]
    package, colon, rest = which.rpartition(":")
    name, dot, tag = rest.partition(".")
    method = plugins.get(f"{package}{colon}{name}")
    if not dot and not method.weights:
        reason = f"{name} ships no weights: name a file of yours"
        return [Verification(name=which, held=(), problem=reason)]
    chosen = [weights for weights in method.weights if not dot or weights.tag == tag]
    if not chosen:
        known = ", ".join(weights.tag for weights in method.weights) or "none"
        raise UsageError(f"{which}: {name} has no such tag (it has: {known})")
    return [_examined(f"{name}.{each.tag}", _shipped(method, each)) for each in chosen]


def _installed(row: plugins.Installed) -> list[Verification]:
    try:
        if row.problem:
            raise WeightsError(row.problem)
        method = plugins.get(row.name)
    except RainkitError as error:
        return [Verification(name=row.name, held=(), problem=str(error))]
    return [_examined(f"{row.name}.{each.tag}", _shipped(method, each)) for each in method.weights]


def _examined(name: str, checks: Iterator[str]) -> Verification:
    held: list[str] = []
    try:
        for check in checks:
            held.append(check)
    except RainkitError as error:
        return Verification(name=name, held=tuple(held), problem=str(error))
    return Verification(name=name, held=tuple(held), problem=None)


def _file(path: Path) -> Iterator[str]:
    named = inspect(path).method
    yield "whole"
    try:
        method = plugins.get(named or "")
    except UsageError as error:
        of = f"of {named}" if named else "of an unnamed method"
        raise WeightsError(f"{path}: these weights are {of}, which is not installed") from error
    file = open_file(method, path)
    yield "method"
    yield from _network(method, file)


def _shipped(method: Method, declared: Weights) -> Iterator[str]:
    file = find(method, declared.tag)
    yield "sha256"
    if file.variant != declared.variant:
        raise WeightsError(
            f"{file.path}: declared for the variant {declared.variant}, "
            f"its header says {file.variant}: correct the plugin"
        )
    yield "method"
    yield from _network(method, file)


def _network(method: Method, file: WeightsFile) -> Iterator[str]:
    import torch

    from rainkit import networks
    from rainkit.precision import choose_runtime

    with torch.random.fork_rng(devices=[]):
        network = load(networks.build(method, file.network), file)
    yield "fits"
    broken = not_finite(network.state_dict())
    if broken:
        raise WeightsError(f"{file.path}: {_few(broken)} hold nan or infinity")
    yield "finite"
    spec = method.image(file.network)
    picture = torch.rand(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    prepared = networks.prepare(network, spec, choose_runtime("cpu", "fp32", spec))
    try:
        with torch.inference_mode():
            image = prepared(picture)
    except Exception as error:  # a plugin may raise anything
        reason = one_line(error)
        raise WeightsError(f"{file.path}: its network fails on a picture: {reason}") from error
    if image.shape != picture.shape or not image.isfinite().all():
        raise WeightsError(f"{file.path}: its network gives nan or infinity instead of a picture")
    yield "works"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
