"""All sources of a run as one dataset of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rainkit.api import Training
from rainkit.datasets.batches import Redrawn, Sample
from rainkit.datasets.counted import CountedFolder
from rainkit.datasets.sources.base import Common, Picture, Source
from rainkit.datasets.sources.folders import PairFolder
from rainkit.datasets.sources.photos import Photos
from rainkit.datasets.sources.request import DataRequest
from rainkit.datasets.sources.scenes import FrameScenes, SceneAverages
from rainkit.errors import DatasetError, ImageError, RainkitError, UsageError
from rainkit.rain.batched import Shower

__all__ = ["Mixed", "open_sources"]

_ATTEMPTS = 10
"""Pictures drawn for one sample, at most, where those that cannot be read are skipped."""


class Mixed(Dataset[Sample | Redrawn | RainkitError]):
    """Several sources as one endless, indexable run of samples.

    Args:
        sources: what is drawn from.
        shares: how often each is, of any sum.
        seed: of the run.
        skip: draw another picture in place of one that cannot be read.
    """

    def __init__(
        self, sources: Sequence[Source], shares: Sequence[float], seed: int, *, skip: bool = False
    ) -> None:
        self._sources = tuple(sources)
        self._shares = tuple(share / sum(shares) for share in shares)
        self._bounds = np.cumsum(shares)[:-1] / np.sum(shares)
        self._seed = seed
        self._attempts = _ATTEMPTS if skip else 1

    def __getitem__(self, k: int) -> Sample | Redrawn | RainkitError:
        """Sample ``k``, or why there is none.

        An error is given back, not raised: a loading process would wrap it in its traceback. Where
        pictures are skipped, that is the first of ten in a row.
        """
        failures: list[RainkitError] = []
        for attempt in range(self._attempts):
            # The first draw is that of a run which skips nothing.
            rng = np.random.default_rng([self._seed, k, *([attempt] if attempt else [])])
            try:
                sample = self._draw(rng)
            except (ImageError, DatasetError) as error:
                failures.append(error)
            except RainkitError as error:
                return error
            else:
                return Redrawn(sample, tuple(map(str, failures))) if failures else sample
        return failures[0]

    def _draw(self, rng: np.random.Generator) -> Sample:
        source = self._sources[int(np.searchsorted(self._bounds, rng.random(), side="right"))]
        first, second = source.draw(int(rng.integers(len(source))), rng)
        if not isinstance(first, Shower):
            return _to_channels_first(first), _to_channels_first(second)
        return first, _to_channels_first(second)

    def describe(self) -> str:
        """For the log: each source with its number of pictures and, of several, its share."""
        shares = [f", {100 * share:.3g}%" for share in self._shares]
        if len(shares) == 1:
            shares = [""]
        parts = zip(self._sources, shares, strict=True)
        return ", ".join(f"{source.name} ({source.amount()}{share})" for source, share in parts)


def open_sources(
    request: DataRequest,
    training: Training,
    seed: int,
    *,
    kind: Literal["pairs", "frames"] = "frames",
    multiple_of: int = 1,
) -> Mixed:
    """Everything a request names, as one dataset.

    Args:
        request: where pictures come from.
        training: crops or whole pictures, and how they are augmented.
        seed: of the run.
        kind: what the method learns from; of scenes, ``frames`` are two of them, and ``pairs`` a
            frame and the average of the others.
        multiple_of: sides of whole pictures are multiples of this; of crops they are as they are.

    Raises:
        UsageError: nothing to train on, a folder without pictures or with fewer than are asked
            for, or weights of some folders only.
        DatasetError: a folder that cannot be read.
    """
    common = Common(request=request, training=training, seed=seed, multiple_of=multiple_of)
    pairs = [CountedFolder.parse(text) for text in request.pairs]
    scenes = [CountedFolder.parse(text) for text in request.scenes]
    _refuse_some_weights([*pairs, *scenes], (*request.pairs, *request.scenes))
    sources: list[Source] = []
    shares: list[float] = []
    if request.clean:
        sources.append(Photos(common))
        shares.append(request.clean_share if pairs or scenes else 1.0)
    of_scenes = FrameScenes if kind == "frames" else SceneAverages
    folders: list[Source] = [PairFolder(folder, common) for folder in pairs]
    folders += [of_scenes(folder, common) for folder in scenes]
    weights = [
        len(source) if folder.weight is None else folder.weight
        for folder, source in zip([*pairs, *scenes], folders, strict=True)
    ]
    rest = 1.0 - request.clean_share if request.clean else 1.0
    sources += folders
    shares += [rest * weight / sum(weights) for weight in weights]
    if not sources:
        raise UsageError("nothing to train on: name clean photos (--clean) or pairs (--pairs)")
    return Mixed(sources, shares, seed, skip=request.unreadable == "skip")


def _refuse_some_weights(folders: Sequence[CountedFolder], texts: Sequence[str]) -> None:
    without = [text for folder, text in zip(folders, texts, strict=True) if folder.weight is None]
    if without and len(without) < len(folders):
        given = next(text for text in texts if text not in without)
        raise UsageError(
            f"{without[0]} has no weight, but {given} has: write FOLDER@WEIGHT for every folder "
            "of --pairs and --scenes, or for none"
        )


def _to_channels_first(picture: Picture) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
