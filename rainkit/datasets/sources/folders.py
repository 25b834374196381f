"""Rainy and clean pictures from disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rainkit.datasets.counted import CountedFolder, choose
from rainkit.datasets.pairs import PairFiles, find_pairs
from rainkit.datasets.sizes import check_sizes, notice_of_crops
from rainkit.datasets.sources.base import Common, Picture, Source, draw_seed, refuse_sizes

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
        self._augment = common.augmentation()
        self._cache = common.cache

    def __len__(self) -> int:
        return len(self._pairs)

    def amount(self) -> str:
        """How many pairs, and out of how many."""
        of = f" of {self._there:,}" if self._there > len(self) else ""
        return f"{len(self):,}{of} pictures"

    def draw(self, item: int, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """The same crop and turn of both pictures."""
        files = self._pairs[item]
        rainy, clean = self._cache.read(files.rainy), self._cache.read(files.clean)
        refuse_sizes(files.rainy, rainy, files.clean, clean)
        return self._augment(rainy, clean, draw_seed(rng))
