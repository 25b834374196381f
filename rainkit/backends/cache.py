"""What backends keep on disk: converted networks by their hash, and measured times.

The folder is that of the setting ``cache`` (:mod:`rainkit.config`). It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import rainkit
from rainkit import config
from rainkit.errors import FileError
from rainkit.files import alone_in, read_json, write_json
from rainkit.precision import Runtime

__all__ = [
    "FASTER",
    "MOST_DB",
    "PROVEN",
    "UNFINISHED",
    "Measurement",
    "code_of",
    "fastest",
    "folder",
    "model_key",
    "models",
    "place",
    "remember",
    "tried",
    "version_of",
]

PROVEN = 50.0
"""Least PSNR in dB between a backend's result and that of torch in float32, for ``auto``."""

MOST_DB = 200.0
"""What stands for the PSNR of equal pictures, which is infinite."""

FASTER = 0.97
"""Largest ratio of a backend's time to that of eager for which ``auto`` takes it."""

UNFINISHED = ".rainkit-"
"""How the names of folders begin in which networks are being converted."""

_DAY = 86400.0

_DISTRIBUTIONS = {"onnx": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """How fast a backend ran a network, as ``rainkit bench`` or a run with ``auto`` found.

    Attributes:
        backend: the backend.
        network: method and network hyperparameters, which decide the time.
        place: device, threads, precision and versions: see :func:`place`.
        size: height and width of the picture, such as ``512x512``.
        ms: median time of a picture in milliseconds.
        db: PSNR in dB between its result and that of torch in float32.
        setup_s: seconds that converting and opening the network took.
    """

    backend: str
    network: str
    place: str
    size: str
    ms: float
    db: float
    setup_s: float = 0.0


def folder() -> Path:
    """Return the folder of the cache, which need not exist."""
    return config.cache_folder()


def models() -> Path:
    """Return the folder of the converted networks, which is made if it is missing.

    What killed processes have left in it for a day is removed.

    Raises:
        OSError: it cannot be made.
    """
    place = folder() / "models"
    place.mkdir(parents=True, exist_ok=True)
    for each in place.glob(f"{UNFINISHED}*"):
        with suppress(OSError):  # another process has just removed it
            if each.stat().st_mtime < time.time() - _DAY:
                shutil.rmtree(each, ignore_errors=True)
    return place


def version_of(backend: str) -> str:
    """Return the version of a backend's runtime, or ``""`` if it is torch or not installed."""
    try:
        return metadata.version(_DISTRIBUTIONS[backend])
    except (KeyError, metadata.PackageNotFoundError):
        return ""


def place(runtime: Runtime) -> str:
    """Describe where times hold: device, its vectors, threads, precision, versions."""
    device = runtime.device.type
    name = (
        torch.cuda.get_device_name(runtime.device)
        if device == "cuda"
        else torch.backends.cpu.get_cpu_capability()
    )
    versions = "/".join((torch.__version__, *map(version_of, _DISTRIBUTIONS)))
    return f"{device} {name}, {torch.get_num_threads()} threads, {runtime.precision}, {versions}"


def code_of(network: nn.Module) -> str:
    """Return a hash of the sources beside that of a network's class.

    A plugin under development changes them without another version.
    """
    found = hashlib.sha256()
    file = getattr(sys.modules.get(type(network).__module__), "__file__", None)
    for path in sorted(Path(file).parent.glob("*.py")) if file else ():
        found.update(path.read_bytes())
    return found.hexdigest()[:32]


def model_key(state: Mapping[str, Tensor], network: str, backend: str) -> str:
    """Return the hash of all that decides a converted network.

    Args:
        state: the tensors of the network.
        network: method, network hyperparameters, what the network requires of pictures, and a
            hash of its sources.
        backend: the backend that it is converted for.
    """
    told = (network, backend, version_of(backend), torch.__version__, rainkit.__version__)
    digest = hashlib.sha256(repr(told).encode())
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def remember(measured: Iterable[Measurement]) -> None:
    """Keep measurements for ``--backend auto``; newer ones replace those of the same case.

    A cache that cannot be written is left as it is.
    """
    with suppress(FileError, OSError, ValueError):
        folder().mkdir(parents=True, exist_ok=True)
        with alone_in(folder()):
            known = {_case(each): each for each in (*_measurements(), *measured)}
            write_json(_table(), [asdict(each) for each in known.values()])


def fastest(runtime: Runtime, network: str, usable: Iterable[str]) -> Measurement | None:
    """Return the backend that was measured to be faster than eager at every size, if any was.

    Args:
        runtime: device and precision.
        network: method and network hyperparameters, as in :class:`Measurement`.
        usable: backends that are installed.

    Returns:
        The measurement of the fastest backend at the largest size; None if eager is the fastest,
        or if nothing that is proven equal was measured here.
    """
    here = place(runtime)
    times: dict[str, dict[str, Measurement]] = {}
    for each in _measurements():
        if each.place == here and each.network == network and each.db >= PROVEN:
            times.setdefault(each.backend, {})[each.size] = each
    eager = times.pop("eager", {})
    found: list[Measurement] = []
    for backend in usable:
        common = {size: m for size, m in times.get(backend, {}).items() if size in eager}
        if common and all(m.ms < FASTER * eager[size].ms for size, m in common.items()):
            found.append(max(common.values(), key=lambda m: _area(m.size)))
    return min(found, key=lambda m: m.ms / eager[m.size].ms, default=None)


def tried(runtime: Runtime, network: str) -> set[str]:
    """Return the backends that were measured here with a network, or cannot run it.

    Args:
        runtime: device and precision.
        network: method and network hyperparameters, as in :class:`Measurement`.
    """
    here = place(runtime)
    return {
        each.backend for each in _measurements() if (each.place, each.network) == (here, network)
    }


def _area(size: str) -> int:
    height, _, width = size.partition("x")
    return int(height) * int(width)


def _table() -> Path:
    return folder() / "measured.json"


def _measurements() -> list[Measurement]:
    """Return what is known, without what is damaged, since it can be measured again."""
    with suppress(FileError, RecursionError):
        table = read_json(_table())
        if isinstance(table, list):
            return [Measurement(**each) for each in table if _whole(each)]
    return []


def _whole(each: Any) -> bool:
    """Return whether an entry of the table has all values of a measurement, of the right kinds."""
    if not isinstance(each, dict) or not {*each} <= {*Measurement.__dataclass_fields__}:
        return False
    texts = [each.get(name) for name in ("backend", "network", "place", "size")]
    numbers = [each.get("ms"), each.get("db"), each.get("setup_s", 0.0)]
    return (
        all(isinstance(text, str) for text in texts)
        and re.fullmatch(r"\d{1,9}x\d{1,9}", str(each["size"])) is not None
        and all(type(number) in (int, float) and abs(number) < 1e100 for number in numbers)
    )


def _case(each: Measurement) -> tuple[str, str, str, str]:
    return each.backend, each.network, each.place, each.size
