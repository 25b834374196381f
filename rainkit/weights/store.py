"""Safetensors files whose header says which network they fit: found, opened, loaded, written.

A file's header (string to string, as the format demands) holds ``method``, ``variant``, ``api``,
and ``network``, the network hyperparameters as JSON, beside what the training wrote down.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from torch import Tensor, nn

from rainkit import hyperparameters
from rainkit.api import API, Method, Weights
from rainkit.errors import UsageError, WeightsError
from rainkit.files import atomic_path, sha256
from rainkit.weights.header import opened

__all__ = ["WeightsFile", "find", "load", "not_finite", "open_file", "read", "save"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """A weights file that exists and whose header was read.

    Attributes:
        path: the file.
        name: ``method.tag`` for weights a plugin declares, else the file's name.
        variant: the variant the header names.
        network: the network hyperparameters the file fits.
        header: everything the file says about itself.
    """

    path: Path
    name: str
    variant: str
    network: Any
    header: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes; a file is hashed once as long as it does not change."""
        return _digest(self.path)


def find(method: Method, which: str | None = None) -> WeightsFile:
    """Weights of a method: its first ones, those of a tag, or a file.

    Args:
        method: whose weights to find.
        which: None, ``tag``, ``method.tag``, or a path to a ``.safetensors`` file.

    Raises:
        UsageError: no such tag and no such file.
        WeightsError: the file is damaged, changed, or of another method.
    """
    if which is not None and (which.endswith(".safetensors") or Path(which).is_file()):
        return open_file(method, Path(which))
    tags = {weights.tag: weights for weights in method.weights}
    if which is None:
        if not method.weights:
            raise WeightsError(
                f"{method.name} ships no weights: train some and pass --weights FILE.safetensors"
            )
        return _shipped(method, method.weights[0])
    tag = which.removeprefix(f"{method.name}.")
    if tag not in tags:
        known = ", ".join(tags) or "none"
        raise UsageError(
            f"--weights {which}: no such file, and {method.name} has no such tag (it has: {known})"
        )
    return _shipped(method, tags[tag])


def open_file(method: Method, path: Path, name: str | None = None) -> WeightsFile:
    """Read a weights file's header and check that it is this method's.

    Raises:
        UsageError: no such file.
        WeightsError: damaged, of another method, or for hyperparameters it does not have.
    """
    with opened(path) as file:
        header = file.metadata() or {}
    if header.get("method") != method.name:
        of = header.get("method", "an unnamed method")
        raise WeightsError(f"{path}: these weights are of {of}, not of {method.name}")
    try:
        data = json.loads(header["network"])
        base = hyperparameters.to_data(method.default)
        network = hyperparameters.from_data(method, base | {"network": data}).network
    except (KeyError, ValueError, UsageError) as error:
        raise WeightsError(
            f"{path}: its header holds no network hyperparameters of {method.name} ({error})"
        ) from error
    return WeightsFile(
        path=path,
        name=name or path.name,
        variant=header.get("variant", "default"),
        network=network,
        header=header,
    )


def load(network: nn.Module, file: WeightsFile) -> nn.Module:
    """Fill a network built from ``file.network``.

    Raises:
        WeightsError: the file's tensors do not fit the network.
    """
    state = read(file.path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{file.path}: does not fit its network: {reason[:300]}") from error
    return network


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a ``.safetensors`` file by name, on the CPU.

    Raises:
        UsageError: no such file.
        WeightsError: it is damaged, or no safetensors file.
    """
    with opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold nan or infinity."""
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    return [name for name, tensor in floats.items() if not tensor.isfinite().all()]


def save(
    path: Path,
    state: Mapping[str, Tensor],
    *,
    method: Method,
    variant: str,
    network: Any,
    about: Mapping[str, str] | None = None,
    overwrite: bool = True,
) -> None:
    """Write a state dict and its header, whole or not at all.

    Args:
        path: the ``.safetensors`` file.
        state: tensors by name; they are written contiguous and on the CPU.
        method: whose network it is.
        variant: the variant the training started from.
        network: the network hyperparameters.
        about: what else the header should say (recipe, seed, steps, data).
        overwrite: replace an existing file.
    """
    header = {
        **(about or {}),
        "method": method.name,
        "variant": variant,
        "api": str(API),
        "network": json.dumps(hyperparameters.section_to_data(network)),
    }
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(serialise(plain, metadata=header))


def _shipped(method: Method, weights: Weights) -> WeightsFile:
    name = f"{method.name}.{weights.tag}"
    path = _package_file(method, weights) if weights.file else _download(name, weights)
    found = _digest(path)
    if found != weights.sha256:
        remedy = "reinstall the plugin" if weights.file else "remove it to fetch it again"
        raise WeightsError(
            f"{path}: its sha256 is {found[:16]}..., {name} should have "
            f"{weights.sha256[:16]}...: {remedy}"
        )
    return open_file(method, path, name)


def _digest(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return sha256(path)  # which says what is wrong
    return _hashed(path, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=64)
def _hashed(path: Path, _state: tuple[int, int, int]) -> str:
    return sha256(path)


def _package_file(method: Method, weights: Weights) -> Path:
    package = method.network.partition(":")[0].partition(".")[0]
    path = Path(str(importlib.resources.files(package))) / str(weights.file)
    if not path.is_file():
        raise WeightsError(f"{path}: missing from the package {package}: reinstall the plugin")
    return path


def _download(name: str, weights: Weights) -> Path:
    """Fetch once into torch's hub folder (TORCH_HOME), which its own tools use too."""
    if weights.url is None:
        raise WeightsError(f"{name} declares neither a file nor a URL: report it to its plugin")
    path = Path(torch.hub.get_dir()) / "rainkit" / f"{name}-{weights.sha256[:8]}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(weights.url, str(path), weights.sha256, progress=False)
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"{name} cannot be fetched from {weights.url} ({error}): "
                "download it by hand and pass --weights FILE.safetensors"
            ) from error
    return path
