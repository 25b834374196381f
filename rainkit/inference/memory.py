"""Memory that a network needs for each pixel, and how much of it is free."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["bytes_per_pixel", "free_memory", "largest_side"]

_WORKSPACE = 1.5
"""Factor for what libraries of convolutions take besides the tensors."""
_SHARE = {"cpu": 0.5, "cuda": 0.8, "mps": 0.5}
"""Shares of the free memory that a network may take: pictures and other programs need some, too."""

_CGROUP = Path("/sys/fs/cgroup")


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that operations make while they are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest = 0
        self._now = 0
        self._sizes: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or else torch would import its compiler, which takes seconds

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self._now += self._sizes[key]
            self.largest = max(self.largest, self._now)
            weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self._now -= self._sizes.pop(key, 0)


def bytes_per_pixel(run: Callable[[Tensor], object], side: int) -> float | None:
    """Return the most bytes that tensors hold at a time while a network runs, for each pixel.

    Args:
        run: runs the network on [1,3,side,side].
        side: side of a small picture, on which the network runs once.

    Returns:
        None if the network cannot be watched.
    """
    rainy, live = torch.full((1, 3, side, side), 0.5), _Live()
    try:
        with torch.inference_mode(), live:
            run(rainy)
    except Exception:  # of the network or of torch; the network will say when it runs
        return None
    return live.largest / side**2


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None if that is unknown."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    if device.type != "cpu":
        return None
    import psutil  # small pictures do not need it

    free = int(psutil.virtual_memory().available)
    limit = _of_container()
    return free if limit is None else min(free, limit)


def _of_container(root: Path = _CGROUP) -> int | None:
    """Return the bytes that the control group of this process leaves (Linux, versions 2 and 1)."""
    for limit, used, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            most, taken = ((root / name).read_text().strip() for name in (limit, used))
            lines = dict(line.split() for line in (root / stat).read_text().splitlines())
            # The cache of files is given up before a process is killed.
            return int(most) - int(taken) + int(lines.get("inactive_file", 0))
        except (OSError, ValueError):  # no such group, or no limit, for which it says "max"
            continue
    return None


def largest_side(per_pixel: float, halo: int, device: torch.device, side: int, least: int) -> int:
    """Return the side of tiles that the free memory holds: the given one, or a half, a quarter...

    Args:
        per_pixel: what :func:`bytes_per_pixel` returned.
        halo: what is read around a tile.
        device: where the network runs.
        side: the side that is tried first.
        least: the smallest side.
    """
    free = free_memory(device)
    if free is None:
        return side
    allowed = free * _SHARE[device.type] / _WORKSPACE
    while per_pixel * (side + 2 * halo) ** 2 > allowed and side // 2 >= least:
        side //= 2
    return side
