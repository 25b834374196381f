"""A method that restores pictures for an evaluation: loaded once, with what it made kept."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rainkit
from rainkit.api import Part
from rainkit.evaluation.cache import Cache
from rainkit.evaluation.comparison import versions
from rainkit.evaluation.protocols import RGB8
from rainkit.images import Picture
from rainkit.images.picture import Pixels

if TYPE_CHECKING:
    from rainkit.evaluation.methods import MethodRequest

__all__ = ["Restorer"]


class Restorer:
    """The Derainer that a request asks for, and the pictures it made before.

    Attributes:
        label: its row's name in tables: the method, with its weights if they were chosen, unless
            the request names it.
        parts: those of the method that estimate something, by name, if the request is for them.
        about: method, weights, runtime and, if less than all of it runs, effort.
        versions: of everything that decodes or computes.

    Args:
        request: what to load and where to keep pictures.

    Raises:
        UsageError: an unknown method, device or weights tag.
        MethodError, WeightsError: the method cannot run.
    """

    def __init__(self, request: MethodRequest) -> None:
        # Comparing two folders needs no torch: it is imported here, where a method runs.
        import torch

        from rainkit import inference
        from rainkit.weights import sha256

        self._derainer = inference.load(
            request.method,
            weights=request.weights,
            device=request.device,
            precision=request.precision,
            tile=request.tile,
            blocks=request.blocks,
            effort=request.effort,
            stop_below=request.stop_below,
        )
        file, effort = self._derainer.weights, self._derainer.effort
        self.label = request.label or (
            f"{request.method} ({file.name})" if request.weights else request.method
        )
        declared = self._derainer.method.parts_of(file.network) if request.parts else {}
        self.parts = {name: part for name, part in declared.items() if part.estimates is not None}
        self.about: dict[str, Any] = {
            "method": request.method,
            "weights": {"name": file.name, "variant": file.variant, "sha256": sha256(file.path)},
            "runtime": self._derainer.runtime.describe(),
            **({} if effort.whole else {"effort": asdict(effort)}),
        }
        self.versions = versions() | {"torch": torch.__version__}
        self._cache = None
        self._part_caches: dict[str, Cache] = {}
        if (keep := request.keep) is not None:
            decides = {
                "tile": request.tile,
                "torch": torch.__version__,
                "rainkit": rainkit.__version__,
            }
            self._cache = Cache(keep, self.about | decides)
            self._part_caches = {
                name: Cache(keep.with_name(f"{keep.name}-{name}"), self.about | decides)
                for name in self.parts
            }

    def path(self, dataset: str, name: str) -> Path | None:
        """Where a picture is kept; None if none are."""
        return None if self._cache is None else self._cache.path(dataset, name)

    def restore(self, dataset: str, name: str, rainy: RGB8) -> tuple[RGB8, float]:
        """A picture without its rain and the milliseconds that took, or once took if it was kept.

        Args:
            dataset: where the picture belongs, for its place among those that are kept.
            name: of the picture in the dataset.
            rainy: HWC uint8 RGB.

        Raises:
            RainkitError: the method cannot derain it, or it cannot be kept.
        """
        if self._cache is not None and (kept := self._cache.get(dataset, name, rainy)):
            return kept
        started = time.perf_counter()
        restored = np.asarray(self._derainer.derain(rainy), dtype=np.uint8)
        milliseconds = (time.perf_counter() - started) * 1e3
        if self._cache is not None:
            self._cache.put(dataset, name, rainy, restored, milliseconds)
        return restored, milliseconds

    def restore_with_parts(
        self, dataset: str, name: str, rainy: RGB8
    ) -> tuple[RGB8, float, dict[str, RGB8]]:
        """As :meth:`restore`, and each of :attr:`parts` as HWC uint8 RGB; rain from 0 up.

        Raises:
            RainkitError: as :meth:`restore`.
        """
        if self._cache is not None and (kept := self._cache.get(dataset, name, rainy)):
            found = {part: c.get(dataset, name, rainy) for part, c in self._part_caches.items()}
            parts = {part: each[0] for part, each in found.items() if each is not None}
            if len(parts) == len(found):
                return *kept, parts
        started = time.perf_counter()
        result = self._derainer.derain_picture(Picture(rgb=rainy), parts=True)
        milliseconds = (time.perf_counter() - started) * 1e3
        restored = np.asarray(result.picture.rgb, dtype=np.uint8)
        parts = {part: _shown(result.parts[part].rgb, each) for part, each in self.parts.items()}
        if self._cache is not None:
            self._cache.put(dataset, name, rainy, restored, milliseconds)
            for part, cache in self._part_caches.items():
                cache.put(dataset, name, rainy, parts[part], milliseconds)
        return restored, milliseconds, parts


def _shown(part: Pixels, declared: Part) -> RGB8:
    """In levels; of a signed part, whose zero is mid-grey, what is positive."""
    if declared.signed:
        return np.clip(2 * part.astype(np.int16) - 255, 0, 255).astype(np.uint8)
    return part.astype(np.uint8)
