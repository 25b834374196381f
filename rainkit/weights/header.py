"""What a safetensors file says of itself; needs neither torch nor the plugin of its method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from rainkit.errors import UsageError, WeightsError
from rainkit.files import sha256

__all__ = ["Inspection", "TensorInfo", "inspect", "opened"]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""What normalisation layers count along the way; nobody calls these parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One tensor of a file: its dtype as safetensors names it, such as ``F32``."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What a file holds.

    Attributes:
        path: the file.
        method: the method its header names; None in a file that rainkit did not write.
        variant: the variant its header names.
        parameters: numbers in its tensors, without the statistics of normalisation layers.
        tensors: sorted by name.
        header: everything the file says about itself.
        sha256: hash of the whole file.
        size: of the file in bytes.
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
        """For ``--json``."""
        data = {name: getattr(self, name) for name in self.__slots__}
        tensors = [asdict(tensor) for tensor in self.tensors]
        return {**data, "path": str(self.path), "tensors": tensors, "header": dict(self.header)}


def inspect(path: Path) -> Inspection:
    """Read everything but the values of a ``.safetensors`` file, and hash it.

    Raises:
        UsageError: no such file.
        WeightsError: it is damaged, or no safetensors file.
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


@contextmanager
def opened(path: Path, framework: str = "pt") -> Iterator[Any]:
    """An open ``.safetensors`` file, whose tensors are read when asked for.

    Raises:
        UsageError: no such file.
        WeightsError: it is damaged, or no safetensors file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path}: not a whole safetensors file ({reason})") from error
