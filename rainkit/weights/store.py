"""Safetensors files whose header says which network they fit: found, opened, loaded, written.

A file's header (string to string, as the format demands) holds ``method``, ``variant``, ``api``,
and ``network``, the network hyperparameters as JSON, besides what the training noted. Finding a
file and reading its header need no torch.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from rainkit import config, files, hyperparameters, plugins
from rainkit.api import API, MeasuredPhotographs, MeasuredResult, Method, Weights
from rainkit.errors import UsageError, WeightsError
from rainkit.weights import fetching

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "Inspection",
    "TensorInfo",
    "WeightsFile",
    "address_of",
    "fetched",
    "find",
    "inspect",
    "load",
    "local_file",
    "not_finite",
    "open_file",
    "opened",
    "package_file",
    "read",
    "save",
    "sha256",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """A weights file that exists and whose header was read.

    Attributes:
        path: the file.
        name: ``method.tag`` for weights that a plugin declares, or else the file's name.
        variant: the variant that the header names.
        network: the network hyperparameters that the file fits.
        header: the whole header.
        filled: whether a network that is built from ``network`` has the file's weights at once, as
            those of checkpoints have that a plugin reads (``Method.checkpoints``).
        results: scores that were measured on pictures which the training never saw: those of the
            header's ``results``, a JSON list of objects with the fields of
            :class:`rainkit.api.MeasuredResult`, or else those that the plugin declares.
        photographs: what the plugin declares for photographs of real rain.
        gflop: the work that the plugin declares.
    """

    path: Path
    name: str
    variant: str
    network: Any
    header: Mapping[str, str]
    filled: bool = False
    results: tuple[MeasuredResult, ...] = ()
    photographs: MeasuredPhotographs | None = None
    gflop: float | None = None

    @property
    def sha256(self) -> str:
        """Hash of the file; it is computed once in a process."""
        return sha256(self.path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex; a file that has not changed is not read again.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        reason = files.system_reason(error)
        raise WeightsError(f"{path}: cannot be read ({reason})") from error
    return _hashed(path, found.st_ino, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _hashed(path: Path, inode: int, size: int, changed: int) -> str:
    return files.sha256(path)


def find(method: Method, which: str | None = None) -> WeightsFile:
    """Find weights of a method: its first ones, those of a tag, or a file.

    Args:
        method: the method.
        which: None, ``tag``, ``method.tag``, a path to a ``.safetensors`` file or to any file that
            the method's ``checkpoints`` takes, or an address of weights
            (:mod:`rainkit.weights.fetching`).

    Raises:
        UsageError: no such tag and no such file.
        WeightsError: the file is damaged, was changed, or belongs to another method.
    """
    if which is not None and fetching.is_address(which):
        return open_file(method, fetched(fetching.parse(which), which))
    if which is not None and (which.endswith(".safetensors") or Path(which).is_file()):
        return open_file(method, Path(which))
    tags = {weights.tag: weights for weights in method.weights}
    if which is None:
        if not method.weights and method.checkpoints is not None:
            raise UsageError(f"{method.name} has no weights of its own: name a file with --weights")
        if not method.weights:
            raise WeightsError(
                f"{method.name} ships no weights: train some (rainkit train) or import a "
                f"checkpoint (rainkit weights import FILE.pth --method {method.name}), and name "
                "their .safetensors file"
            )
        return _shipped(method, method.weights[0])
    tag = which.removeprefix(f"{method.name}.")
    if tag not in tags:
        known = ", ".join(tags) or "none"
        raise UsageError(
            f"--weights {which}: no such file, and {method.name} has no such tag (it has: {known})"
        )
    return _shipped(method, tags[tag])


def local_file(which: str) -> Path | None:
    """Return the file that a path or an address names; None if it is a tag.

    Raises:
        UsageError: it begins as an address and is none.
        WeightsError: the file of an address is not here, or was changed in the cache.
    """
    if fetching.is_address(which):
        return fetched(fetching.parse(which), which)
    path = Path(which)
    return path if path.is_file() else None


def open_file(method: Method, path: Path, name: str | None = None) -> WeightsFile:
    """Read a weights file's header and check that it is this method's.

    A method that takes checkpoints of other programs reads those itself.

    Raises:
        UsageError: there is no such file.
        WeightsError: the file is damaged, belongs to another method, or has hyperparameters that
            the method does not have.
    """
    header: Mapping[str, str] = {}
    if method.checkpoints is None or path.suffix == ".safetensors":
        with opened(path) as file:
            header = file.metadata() or {}
    if method.checkpoints is not None and "method" not in header:
        return _checkpoint(method, path, method.checkpoints)
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
        results=_results(path, header),
    )


def _checkpoint(method: Method, path: Path, reader: str) -> WeightsFile:
    if not path.is_file():
        raise UsageError(f"{path}: no such weights file")
    read_network = plugins.resolve(reader)
    try:
        network = read_network(path)
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return WeightsFile(
        path=path, name=path.name, variant="default", network=network, header={}, filled=True
    )


def _results(path: Path, header: Mapping[str, str]) -> tuple[MeasuredResult, ...]:
    try:
        return tuple(MeasuredResult(**row) for row in json.loads(header.get("results", "[]")))
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: its header's results are not a list of measured results ({error})"
        ) from error


def load(network: nn.Module, file: WeightsFile) -> nn.Module:
    """Fill a network that was built from ``file.network``.

    Raises:
        WeightsError: the file's tensors do not fit the network.
    """
    if file.filled:
        return network
    state = read(file.path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{file.path}: does not fit its network: {reason[:300]}") from error
    return network


def read(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a ``.safetensors`` file by name, on the CPU.

    Raises:
        UsageError: there is no such file.
        WeightsError: the file is damaged, or not a safetensors file.
    """
    with opened(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that hold nan or infinity."""
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
    """Write a state dict and its header.

    Args:
        path: the ``.safetensors`` file.
        state: tensors by name; they are written contiguous and on the CPU.
        method: the method that the network belongs to.
        variant: the variant that the training started from.
        network: the network hyperparameters.
        about: further entries of the header (recipe, seed, steps, data).
        overwrite: replace an existing file.
    """
    header = {
        **(about or {}),
        "method": method.name,
        "variant": variant,
        "api": str(API),
        "network": json.dumps(hyperparameters.section_to_data(network)),
    }
    from safetensors.torch import save as serialise

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with files.atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(serialise(plain, metadata=header))


def _shipped(method: Method, weights: Weights) -> WeightsFile:
    name = f"{method.name}.{weights.tag}"
    path = (
        package_file(method, weights)
        if weights.file
        else fetched(address_of(method, weights), name)
    )
    found = sha256(path)
    if found != weights.sha256:
        remedy = "reinstall the plugin" if weights.file else "remove it to fetch it again"
        raise WeightsError(
            f"{path}: its sha256 is {found[:16]}..., {name} should have "
            f"{weights.sha256[:16]}...: {remedy}"
        )
    file = open_file(method, path, name)
    return replace(
        file,
        results=file.results or weights.results,
        photographs=weights.photographs,
        gflop=weights.gflop,
    )


def package_file(method: Method, weights: Weights) -> Path:
    """Return the file of weights that are in the plugin's package.

    Raises:
        WeightsError: the package lacks it.
    """
    package = method.network.partition(":")[0].partition(".")[0]
    path = Path(str(importlib.resources.files(package))) / str(weights.file)
    if not path.is_file():
        raise WeightsError(f"{path}: missing from the package {package}: reinstall the plugin")
    return path


def address_of(method: Method, weights: Weights) -> fetching.Address:
    """Return where weights that are not in the plugin's package can be fetched.

    Raises:
        WeightsError: the plugin does not say it, or its address is none.
    """
    name = f"{method.name}.{weights.tag}"
    if weights.url is None:
        raise WeightsError(f"{name} declares neither a file nor a URL: report it to its plugin")
    try:
        return replace(fetching.parse(weights.url), sha256=weights.sha256)
    except UsageError as error:
        raise WeightsError(f"{name}: {error}; report it to its plugin") from error


def fetched(address: fetching.Address, name: str) -> Path:
    """Return the file of an address, which is fetched only if the user has allowed it.

    Args:
        address: the address.
        name: what ``rainkit weights get`` takes for it.

    Raises:
        WeightsError: the file is not there and must not or cannot be fetched.
    """
    path = fetching.local(address)
    if path is not None:
        return path
    if config.offline() or address.sha256 is None:
        allow = "" if address.sha256 is None else ", or `rainkit config set offline false` lets it"
        raise WeightsError(
            f"{name}: is not here yet; fetch it by `rainkit weights get {name}`{allow}"
        )
    return fetching.fetch(address)


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Statistics of normalisation layers, which are not counted as parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One tensor of a file; its dtype is named as safetensors does, such as ``F32``."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """The content of a weights file.

    Attributes:
        path: the file.
        method: the method that its header names; None for a file that rainkit did not write.
        variant: the variant that its header names.
        parameters: number of values in its tensors, without statistics of normalisation layers.
        tensors: its tensors, sorted by name.
        header: the whole header.
        sha256: hash of the file.
        size: size of the file in bytes.
    """

    path: Path
    method: str | None
    variant: str | None
    parameters: int
    tensors: tuple[TensorInfo, ...]
    header: Mapping[str, str]
    sha256: str
    size: int

    def to_data(self) -> dict[str, Any]:
        """Return the content as plain data for ``--json``."""
        data = {name: getattr(self, name) for name in self.__slots__}
        tensors = [asdict(tensor) for tensor in self.tensors]
        return {**data, "path": str(self.path), "tensors": tensors, "header": dict(self.header)}


def inspect(path: Path) -> Inspection:
    """Read a ``.safetensors`` file except for the values of its tensors, and hash it.

    Raises:
        UsageError: there is no such file.
        WeightsError: the file is damaged, or not a safetensors file.
    """
    with opened(path, "np") as file:
        header = dict(file.metadata() or {})
        slices = {name: file.get_slice(name) for name in sorted(file.keys())}
        tensors = tuple(
            TensorInfo(name=name, shape=tuple(found.get_shape()), dtype=str(found.get_dtype()))
            for name, found in slices.items()
        )
    learned = [t for t in tensors if t.name.rpartition(".")[2] not in _STATISTICS]
    return Inspection(
        path=path,
        method=header.get("method"),
        variant=header.get("variant"),
        parameters=sum(math.prod(tensor.shape) for tensor in learned),
        tensors=tensors,
        header=header,
        sha256=sha256(path),
        size=path.stat().st_size,
    )


_PICKLES = frozenset((".pth", ".pt", ".ckpt", ".bin", ".tar", ".pkl"))
"""Endings of checkpoints of PyTorch."""


@contextmanager
def opened(path: Path, framework: str = "np") -> Iterator[Any]:
    """Open a ``.safetensors`` file, whose tensors are read when they are asked for.

    Raises:
        UsageError: there is no such file.
        WeightsError: the file is damaged, or not a safetensors file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        if path.suffix in _PICKLES:
            reason += "; make one of a checkpoint with rainkit weights import"
        raise WeightsError(
            f"{path}: not a whole safetensors file ({reason}); get or make the file again"
        ) from error
