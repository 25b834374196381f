"""Data loading: the batches of each step, loaded ahead and placed on the device."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from rainkit.api import Training
from rainkit.datasets.sources import MixedDataset
from rainkit.datasets.sources.mixed import collate
from rainkit.environment import keep_large_blocks
from rainkit.errors import RainkitError
from rainkit.objective import Frames, Pair
from rainkit.precision import Runtime

__all__ = ["Feed", "Parts"]

Parts = list[Pair] | list[Frames]
"""A process's share of a batch in ``training.accumulate`` parts, on its device, in [0,1]."""


class Feed:
    """Batches of any range of steps; each is a pure function of the seed, step and process.

    Attributes:
        skipped: pictures that could not be read, and how often each was skipped.
    """

    def __init__(
        self,
        data: MixedDataset,
        training: Training,
        kind: Literal["pairs", "frames"],
        runtime: Runtime,
        *,
        workers: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self._data = data
        self._training = training
        self._kind = Frames if kind == "frames" else Pair
        self._runtime = runtime
        self._workers = workers
        self._process, self._processes = process, processes
        self.skipped: dict[str, int] = {}

    def steps(self, first: int, end: int) -> Generator[Parts]:
        """Yield the batches of the steps from ``first`` to before ``end``.

        Raises:
            ImageError, DatasetError: a picture cannot be read.
        """
        loader = DataLoader(
            self._data,
            batch_sampler=self._samples(first, end),
            num_workers=self._workers,
            prefetch_factor=4 if self._workers else None,
            worker_init_fn=_quiet_worker,
            collate_fn=collate,
            pin_memory=self._runtime.device.type == "cuda",
        )
        parts: list[Any] = []
        for loaded in loader:
            if isinstance(loaded, RainkitError):
                raise loaded
            for name in loaded.skipped:
                self.skipped[name] = self.skipped.get(name, 0) + 1
            one, other = loaded.on(self._runtime.device)
            parts.append(self._kind(self._unit(one), self._unit(other)))
            if len(parts) == self._training.accumulate:
                yield parts
                parts = []

    def _samples(self, first: int, end: int) -> Iterator[list[int]]:
        """Yield the sample numbers of each part of each step, for this process."""
        batch, accumulate = self._training.batch, self._training.accumulate
        for step in range(first, end):
            share = range(step * batch + self._process, (step + 1) * batch, self._processes)
            size = len(share) // accumulate
            for part in range(accumulate):
                yield list(share[part * size : (part + 1) * size])

    def _unit(self, pictures: Tensor) -> Tensor:
        return pictures.float().div_(255).contiguous(memory_format=self._runtime.memory_format)


def _quiet_worker(_: int) -> None:
    """Leave the cores to the training and signals to its process, which ends this one.

    Schedulers and shells signal whole process groups: a loading process that obeyed would take the
    running step and its checkpoint along.
    """
    import signal

    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)  # not 1: that waits for threads which a forked process does not have
    keep_large_blocks()
    torch.set_num_threads(1)
