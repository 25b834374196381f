"""Rainy and clean pictures from disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rainkit.datasets.counted import CountedFolder, choose
from rainkit.datasets.pairs import PairFiles, find_pairs
from rainkit.datasets.sizes import check_sizes, notice_of_crops
from rainkit.datasets.sources.base import Common, Picture, Source, draw_seed, refuse_sizes
from rainkit.datasets.sources.scaling import Enlargement, shrunk_pieces
from rainkit.datasets.tone import apply_curve, tone_curve

__all__ = ["PairFolder"]


class PairFolder(Source):
    """The pairs of a dataset, or some of them."""

    def __init__(self, folder: CountedFolder, common: Common) -> None:
        there = find_pairs(folder.path, prefer=("train",), options=common.request.reading())
        chosen = choose([pair.name for pair in there], folder, common.seed, kind="pairs")
        self._pairs: Sequence[PairFiles] = [there[number] for number in chosen]
        self._there = len(there)
        sides = [(pair.rainy, pair.clean) for pair in self._pairs]
        check_sizes(sides)
        self.name = "; ".join((str(folder.path), *notice_of_crops(sides)))
        self._request = common.request
        self._patch, self._whole = common.training.patch, common.training.whole
        self._augment = common.augmentation()
        self._curves: dict[int, NDArray[np.uint8]] = {}
        self._cache = common.cache

    def __len__(self) -> int:
        return len(self._pairs)

    def amount(self) -> str:
        """How many pairs, and out of how many."""
        of = f" of {self._there:,}" if self._there > len(self) else ""
        return f"{len(self):,}{of} pictures"

    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """The same piece, scale, turn and enlargement of both pictures."""
        files = self._pairs[item]
        rainy, clean = self._cache.read(files.rainy), self._cache.read(files.clean)
        refuse_sizes(files.rainy, rainy, files.clean, clean)
        if self._request.match_tone:
            clean = apply_curve(clean, self._curve(item, rainy, clean))
        if self._request.shrink < 1 and not self._whole:
            scale = rng.uniform(self._request.shrink, 1.0)
            (rainy, clean), _ = shrunk_pieces(rainy, clean, scale=scale, patch=self._patch, rng=rng)
        chosen = draw_seed(rng)
        rainy, clean = self._augment(rainy, clean, chosen)
        larger = Enlargement.draw(self._request.enlarge, self._patch, chosen)
        if larger is None:
            return rainy, clean
        return larger.apply(larger.cut(rainy)), larger.apply(larger.cut(clean))

    def _curve(self, item: int, rainy: Picture, clean: Picture) -> NDArray[np.uint8]:
        """Return a pair's tone curve, which is computed once; it takes 768 bytes."""
        if item not in self._curves:
            self._curves[item] = tone_curve(clean, rainy)
        return self._curves[item]
