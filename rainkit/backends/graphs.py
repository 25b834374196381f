"""CUDA graphs: the kernels of a network for one shape, started at once instead of one by one."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from rainkit.errors import MethodError, one_line
from rainkit.networks import ImageOnly

__all__ = ["MOST", "Graphs"]

MOST = 4
"""Largest number of shapes whose graphs are kept; each holds the memory of a forward pass."""

_WARM_UP = 3


class Graphs:
    """Runs pictures of a shape as a CUDA graph from the second of that shape on.

    Folders of photographs have many shapes, tiles and videos one. The first picture of a shape
    runs as it is, since recording a graph takes several passes.

    Attributes:
        backend: ``cudagraph``.
    """

    backend = "cudagraph"

    def __init__(self, network: ImageOnly) -> None:
        self._network = network
        self._seen: set[tuple[int, ...]] = set()
        self._kept: dict[tuple[int, ...], tuple[Any, Tensor, Tensor]] = {}
        self._lock = threading.Lock()

    def __call__(self, rainy: Tensor) -> Tensor:
        """[B,3,H,W] float in [0,1] -> the clean pictures, float32, not clamped.

        Raises:
            MethodError: the network does something that a graph cannot hold.
        """
        shape = tuple(rainy.shape)
        with self._lock:
            if shape not in self._seen:
                self._seen.add(shape)
                return self._network.eager(rainy)
            found = self._kept.pop(shape, None)
            graph, given, clean = self._recorded(rainy) if found is None else found
            while len(self._kept) >= MOST:
                self._kept.pop(next(iter(self._kept)))  # the one that was not used for longest
            self._kept[shape] = graph, given, clean
            given.copy_(rainy)
            graph.replay()
            return clean.clone()

    def _recorded(self, rainy: Tensor) -> tuple[Any, Tensor, Tensor]:
        """Record the graph of a shape; return it with its input and its result."""
        runtime = self._network.runtime
        given = runtime.place(rainy.float()).clone()
        try:
            # Libraries choose their kernels and take their memory before the recording.
            stream = torch.cuda.Stream(runtime.device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(runtime.device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self._network.eager(given)
            torch.cuda.current_stream(runtime.device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                clean = self._network.eager(given)
        except RuntimeError as error:
            raise MethodError(
                f"{type(self._network.network).__module__} cannot run as a CUDA graph "
                f"({one_line(error)}); pass --backend eager"
            ) from error
        return graph, given, clean
