"""The set-up of a run: method, weights and options, checked before torch is imported."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit import plugins
from rainkit import weights as weight_files
from rainkit.api import ImageSpec, Method
from rainkit.errors import RainkitError, UsageError, WeightsError
from rainkit.runtime_options import Effort, RuntimeOptions
from rainkit.weights import WeightsFile

__all__ = ["AUTO", "Setup", "default_method", "set_up"]

_log = logging.getLogger(__name__)

AUTO = "auto"
"""Stands for a method's name where the method is chosen for each picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """A method with weights, and how its network is to run.

    Attributes:
        method: the method.
        weights: its weights.
        spec: what pictures the network of these weights takes.
        options: device, precision, tiles and effort.
    """

    method: Method
    weights: WeightsFile
    spec: ImageSpec
    options: RuntimeOptions

    @property
    def name(self) -> str:
        """Name of the method."""
        return self.method.name

    @property
    def title(self) -> str:
        """The paper's name of the method."""
        return self.method.title

    @property
    def weights_name(self) -> str:
        """Name of the weights."""
        return self.weights.name

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return self.weights.sha256

    @property
    def blocks(self) -> int | None:
        """Number of blocks of the network; None if the method is not an anytime method."""
        return self.method.blocks and self.method.blocks(self.weights.network)

    @property
    def spare_traces(self) -> bool:
        """Whether results are without traces: as the options say, or else the plugin's weights."""
        if self.options.spare_traces is not None:
            return self.options.spare_traces
        return any(
            each.spare_traces for each in self.method.weights if each.sha256 == self.weights.sha256
        )

    def __reduce__(self) -> tuple[Callable[..., Setup], tuple[type[Setup], dict[str, Any]]]:
        # An installed method goes by its name: what it consists of may hold lambdas.
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        if _is_installed(self.method):
            values["method"] = self.method.name
        return _unpickled, (type(self), values)


def _is_installed(method: Method) -> bool:
    try:
        return plugins.get(method.name) is method
    except RainkitError:  # made by a program, or two packages claim the name
        return False


def _unpickled(kind: type[Setup], values: dict[str, Any]) -> Setup:
    method = values["method"]
    return kind(**values | {"method": plugins.get(method) if isinstance(method, str) else method})


def set_up(
    name: str | Method,
    options: RuntimeOptions,
    *,
    weights: str | Path | None = None,
    variant: str | None = None,
) -> Setup:
    """Find a method and its weights, and check them against the options.

    Args:
        name: an installed method, or ``auto`` to choose one for each picture by its rain.
        options: device, precision, tiles and effort.
        weights: a tag of the method or a ``.safetensors`` file; None for the method's first
            weights, or its first of the variant.
        variant: the variant that the weights must be of; None for any.

    Raises:
        UsageError: an unknown method, weights tag or variant, or a tile or effort that the method
            does not offer.
        MethodError: the method is broken.
        WeightsError: it has no such weights, or they are damaged.
    """
    if name == AUTO:
        for option, given in (("--weights", weights), ("--variant", variant)):
            if given is not None:
                raise UsageError(
                    f"{option} {given} cannot be used with --method auto; name the method"
                )
        from rainkit.inference.choice import choose

        return choose(options)
    if not isinstance(name, (str, Method)):
        raise UsageError(
            f"cannot load a {type(name).__name__}: give the name of an installed method, or auto"
        )
    method = plugins.get(name) if isinstance(name, str) else name
    file = _find_weights(method, None if weights is None else str(weights), variant)
    spec = method.image(file.network)
    if spec.tiling == "never" and options.tile:
        raise UsageError(f"--tile {options.tile}: {method.name} needs whole pictures; leave it out")
    _check_effort(options.effort, method, file.network)
    _log.debug("%s of the variant %s: %s", file.name, file.variant, file.path)
    return Setup(method=method, weights=file, spec=spec, options=options)


def default_method(weights: str | Path | None = None, variant: str | None = None) -> str:
    """Return the method for a user who names none.

    It is the method of a weights file, or the only one that is installed, or ``auto``.

    Args:
        weights: a ``.safetensors`` file, whose header names its method; a tag names none.
        variant: a variant, which belongs to a method.

    Raises:
        UsageError: no method is installed, or there are several and a tag or a variant of one.
        WeightsError: the file is damaged.
    """
    path = None if weights is None else weight_files.local_file(str(weights))
    if path is not None:
        named = weight_files.inspect(path).method
        if named is not None:
            return named
    names = [found.name for found in plugins.installed() if found.problem is None]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(plugins.none_installed())
    if weights is not None or variant is not None:
        raise UsageError(f"no method named: add --method with one of {', '.join(names)}")
    return AUTO


def _find_weights(
    method: Method, which: str | None, variant: str | None
) -> weight_files.WeightsFile:
    if variant is not None and variant not in method.variants:
        raise UsageError(
            f"--variant {variant}: {method.name} has the variants {', '.join(method.variants)}"
        )
    if which is None and variant is not None:
        which = next((w.tag for w in method.weights if w.variant == variant), None)
        if which is None:
            raise WeightsError(
                f"{method.name} ships no weights of the variant {variant}: "
                "train some (rainkit train) or import a checkpoint (rainkit weights import), and "
                "pass --weights FILE.safetensors"
            )
    file = weight_files.find(method, which)
    if variant is not None and file.variant != variant:
        raise UsageError(
            f"--variant {variant}: the weights {file.name} are of the variant {file.variant}; "
            "leave --variant out"
        )
    return file


def _check_effort(effort: Effort, method: Method, network: Any) -> None:
    if effort.whole:
        return
    if method.blocks is None:
        raise UsageError(
            f"--effort {effort}: {method.name} always runs as a whole; leave the option out, or "
            "take an anytime method (`rainkit methods show` says which are)"
        )
    most = method.blocks(network)
    if effort.blocks is not None and effort.blocks > most:
        raise UsageError(f"--effort {effort}: the network of these weights has 1 to {most} blocks")
