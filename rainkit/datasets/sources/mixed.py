"""All sources of a run as one dataset of samples, and batches of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rainkit.api import Training
from rainkit.datasets.sampling_spec import CountedFolder, weighted_input
from rainkit.datasets.sources.base import Common, Source
from rainkit.datasets.sources.photos import Photos
from rainkit.datasets.sources.request import DataRequest
from rainkit.datasets.sources.stored import FrameScenes, PairFolder, SceneAverages
from rainkit.errors import DatasetError, ImageError, RainkitError, UsageError
from rainkit.images import RGB8
from rainkit.rain.batched import paint_batch
from rainkit.rain.render import SampledRain

__all__ = [
    "Batch",
    "Mixed",
    "Redrawn",
    "Sample",
    "collate",
    "open_sources",
]


Sample = tuple[Tensor | SampledRain, Tensor]
"""Degraded and clean picture, or two frames of one scene, uint8 [3, H, W]; or the rain to paint
over a clean picture, and that picture. Crops are of one size, whole pictures of many."""


class Redrawn(NamedTuple):
    """A sample that stands for pictures which could not be read, and why each could not.

    ``skipped`` holds a line for each, which begins with the picture's name.
    """

    sample: Sample
    skipped: tuple[str, ...]


class Batch(NamedTuple):
    """Samples stacked, uint8 [B, 3, H, W] twice, and the rain that ``first`` still lacks.

    ``rains`` has an entry for each sample, or none at all; so has ``uncut``: the whole clean
    pictures, [3, h, w], where those of the batch differ in size and rain is to be painted on.
    ``skipped`` tells of each picture that could not be read, and in whose place another was drawn.
    """

    first: Tensor
    second: Tensor
    rains: tuple[SampledRain | None, ...] = ()
    uncut: tuple[Tensor, ...] = ()
    skipped: tuple[str, ...] = ()

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Both stacks on a device, with all rain painted there."""
        first = self.first.to(device, non_blocking=True)
        second = self.second.to(device, non_blocking=True)
        wet = {n: rain for n, rain in enumerate(self.rains) if rain is not None}
        if wet and not self.uncut:
            first[list(wet)] = paint_batch(second[list(wet)], list(wet.values()))
        elif wet:
            # Rain was drawn for the whole picture: it is painted there, and cut with it.
            for n, rain in wet.items():
                whole = self.uncut[n].to(device, non_blocking=True)
                rainy = paint_batch(whole.unsqueeze(0), [rain])[0]
                first[n] = _middle(rainy, first.shape[2], first.shape[3])
        return first, second


def collate(samples: Sequence[Sample | Redrawn | RainkitError]) -> Batch | RainkitError:
    """Samples as one batch, or the first error among them.

    Pictures of several sizes are cut to the middle that all of them have.
    """
    whole: list[Sample] = []
    skipped: list[str] = []
    for sample in samples:
        if isinstance(sample, RainkitError):
            return sample
        if isinstance(sample, Redrawn):
            skipped += sample.skipped
            sample = sample.sample
        whole.append(sample)
    clean = [second for _, second in whole]
    height, width = (min(each.shape[axis] for each in clean) for axis in (1, 2))
    rains = tuple(first if isinstance(first, SampledRain) else None for first, _ in whole)
    wet = any(rains)
    several = len({each.shape for each in clean}) > 1
    return Batch(
        torch.stack([_middle(_picture(sample), height, width) for sample in whole]),
        torch.stack([_middle(each, height, width) for each in clean]),
        rains if wet else (),
        tuple(clean) if wet and several else (),
        tuple(skipped),
    )


def _picture(sample: Sample) -> Tensor:
    """The degraded picture or, where its rain is still to be painted, the clean one."""
    first, second = sample
    return second if isinstance(first, SampledRain) else first


def _middle(picture: Tensor, height: int, width: int) -> Tensor:
    """The middle of [3, H, W], of that height and width."""
    top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
    return picture[:, top : top + height, left : left + width]


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
        if not isinstance(first, SampledRain):
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
    if request.enlarge and training.whole:
        raise UsageError(
            f"data.enlarge = {request.enlarge}: whole pictures cannot be enlarged; "
            "set data.enlarge = 0 or training.whole = 0"
        )
    clean = [weighted_input(text) for text in request.clean]
    pairs = [CountedFolder.parse(text) for text in request.pairs]
    scenes = [CountedFolder.parse(text) for text in request.scenes]
    folders = [*pairs, *scenes]
    # With weights of clean photos, weights say all shares; otherwise those of the folders alone.
    weighed = any(weight is not None for _, weight in clean)
    texts = (*request.pairs, *request.scenes)
    weights = dict(zip(texts, (folder.weight for folder in folders), strict=True))
    _refuse_some_weights(
        {**dict(zip(request.clean, (weight for _, weight in clean), strict=True)), **weights}
        if weighed
        else weights,
        "--clean, --pairs and --scenes" if weighed else "--pairs and --scenes",
    )
    if weighed and request.clean_share != DataRequest().clean_share:
        raise UsageError(
            f"data.clean_share = {request.clean_share}: the weights of --clean say every share; "
            "leave it out, or name --clean without @WEIGHT"
        )
    sources: list[Source] = []
    shares: list[float] = []
    for text, weight in clean if weighed else ():
        sources.append(Photos((text,), common, label=text))
        shares.append(weight or 0.0)
    if clean and not weighed:
        sources.append(Photos(request.clean, common))
        shares.append(request.clean_share if folders else 1.0)
    of_scenes = FrameScenes if kind == "frames" else SceneAverages
    opened: list[Source] = [PairFolder(folder, common) for folder in pairs]
    opened += [of_scenes(folder, common) for folder in scenes]
    parts = [
        len(source) if folder.weight is None else folder.weight
        for folder, source in zip(folders, opened, strict=True)
    ]
    rest = 1.0 - request.clean_share if clean else 1.0
    sources += opened
    shares += parts if weighed else [rest * part / sum(parts) for part in parts]
    if not sources:
        raise UsageError("nothing to train on: name clean photos (--clean) or pairs (--pairs)")
    return Mixed(sources, shares, seed, skip=request.unreadable == "skip")


def _refuse_some_weights(weights: Mapping[str, float | None], options: str) -> None:
    without = [text for text, weight in weights.items() if weight is None]
    if without and len(without) < len(weights):
        given = next(text for text in weights if text not in without)
        raise UsageError(
            f"{without[0]} has no weight, but {given} has: write FOLDER@WEIGHT for every one "
            f"of {options}, or for none"
        )


def _to_channels_first(picture: RGB8) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
