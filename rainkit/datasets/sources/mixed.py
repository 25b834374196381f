"""All sources of a run as one dataset of samples, and their batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from rainkit.api import Training
from rainkit.datasets.pairing import PairFiles
from rainkit.datasets.sampling_spec import SampledFolder, split_share
from rainkit.datasets.sources.base import DataRequest, Source, SourceContext
from rainkit.datasets.sources.disk import FrameScenes, PairFolder, Photos, SceneAverages
from rainkit.datasets.sources.textures import Textures
from rainkit.errors import DatasetError, ImageError, RainkitError, UsageError, described
from rainkit.images import RGB8
from rainkit.rain.batched import paint_batch
from rainkit.rain.render import SampledRain

__all__ = [
    "Batch",
    "MixedDataset",
    "Redrawn",
    "Sample",
    "collate",
    "open_sources",
]


Sample = tuple[Tensor | SampledRain, Tensor]
"""A degraded and a clean picture, or two frames of one scene, uint8 [3,H,W]; or sampled rain and
the clean picture to paint it over. Crops have one size, while whole pictures may have several."""


class Redrawn(NamedTuple):
    """A sample that was drawn in place of pictures that cannot be read.

    Attributes:
        sample: the sample.
        skipped: a line for each of these pictures, which begins with its name and says why.
    """

    sample: Sample
    skipped: tuple[str, ...]


class Batch(NamedTuple):
    """A batch of samples.

    Attributes:
        first: degraded pictures, uint8 [B,3,H,W]; clean ones where rain is still to be painted.
        second: clean pictures, uint8 [B,3,H,W].
        rains: the rain to paint for each sample, or nothing if there is none.
        uncut: the whole clean pictures, [3,h,w], if they differ in size and there is rain to
            paint; otherwise nothing.
        skipped: a line for each picture that cannot be read and was replaced by another.
    """

    first: Tensor
    second: Tensor
    rains: tuple[SampledRain | None, ...] = ()
    uncut: tuple[Tensor, ...] = ()
    skipped: tuple[str, ...] = ()

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Move both stacks to a device, paint all rain there, and return them."""
        first = self.first.to(device, non_blocking=True)
        second = self.second.to(device, non_blocking=True)
        wet = {n: rain for n, rain in enumerate(self.rains) if rain is not None}
        if wet and not self.uncut:
            first[list(wet)] = paint_batch(second[list(wet)], list(wet.values()))
        elif wet:
            # Rain was sampled for the whole picture, so it is painted there and then cut with it.
            for n, rain in wet.items():
                whole = self.uncut[n].to(device, non_blocking=True)
                rainy = paint_batch(whole.unsqueeze(0), [rain])[0]
                first[n] = _middle(rainy, first.shape[2], first.shape[3])
        return first, second


def collate(samples: Sequence[Sample | Redrawn | RainkitError]) -> Batch | RainkitError:
    """Return the samples as one batch, or the first error among them.

    Pictures of several sizes are cut to their common size in the middle.
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
    """Return the degraded picture, or the clean one if its rain is still to be painted."""
    first, second = sample
    return second if isinstance(first, SampledRain) else first


def _middle(picture: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of a picture [3,H,W]."""
    top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
    return picture[:, top : top + height, left : left + width]


_ATTEMPTS = 10
"""Largest number of pictures drawn for one sample if those that cannot be read are skipped."""


class MixedDataset(Dataset[Sample | Redrawn | RainkitError]):
    """Several sources as one endless, indexable dataset of samples.

    Args:
        sources: the sources.
        shares: how often each is drawn from, relative to the others.
        seed: seed of the run.
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
        """Return sample ``k``, or the error that prevents it.

        Errors are returned since a loading process would wrap a raised one in its traceback. If
        pictures are skipped, it is the first error of ten pictures in a row.
        """
        failures: list[RainkitError] = []
        for attempt in range(self._attempts):
            # The first draw is the same as without skipping.
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
        try:
            first, second = source.draw(int(rng.integers(len(source))), rng)
        except RainkitError:
            raise
        except Exception as error:  # of one picture, which ends no training if others are drawn
            raise DatasetError(f"{source.name}: a sample failed ({described(error)})") from error
        if not isinstance(first, SampledRain):
            return _to_channels_first(first), _to_channels_first(second)
        return first, _to_channels_first(second)

    def amounts(self) -> list[str]:
        """Return the numbers of pictures of the sources."""
        return [source.amount() for source in self._sources]

    def pair_files(self) -> list[PairFiles]:
        """Return the files of all pairs, without pictures that get their rain in each sample."""
        return [pair for source in self._sources for pair in source.pair_files()]

    def describe(self) -> str:
        """Describe the sources for the log, with their numbers of pictures and their shares."""
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
    kind: Literal["pairs", "frames"] = "pairs",
    multiple_of: int = 1,
) -> MixedDataset:
    """Open all sources of a request as one dataset.

    Args:
        request: the request for training pictures.
        training: settings for crops, whole pictures and augmentation.
        seed: seed of the run.
        kind: kind of samples that the method learns from. For ``frames``, a scene gives two frames
            and a photograph two rains on it; for ``pairs``, a scene gives a frame and the average
            of the others, and a photograph rain on it and itself.
        multiple_of: number that the sides of whole pictures are multiples of; crops are not cut.

    Raises:
        UsageError: there is nothing to train on, a folder has fewer pictures than asked for, or
            only some folders have a share.
        DatasetError: a folder cannot be read.
    """
    context = SourceContext(
        request=request,
        training=training,
        seed=seed,
        multiple_of=multiple_of,
        textures=Textures(request.streaks, share=request.streak_share, mixed=request.streak_mix)
        if request.streaks
        else None,
    )
    if request.clean and kind == "frames" and request.rain_on == "device":
        raise UsageError(
            "data.rain_on = device: workers paint the two frames of a photograph; "
            "set data.rain_on = workers"
        )
    if request.enlarge and training.whole:
        raise UsageError(
            f"data.enlarge = {request.enlarge}: whole pictures cannot be enlarged; "
            "set data.enlarge = 0 or training.whole = 0"
        )
    clean = [split_share(text) for text in request.clean]
    pairs = [SampledFolder.parse(text) for text in request.pairs]
    scenes = [SampledFolder.parse(text) for text in request.scenes]
    folders = [*pairs, *scenes]
    # If clean photos have shares, these and the folders' are the shares of all sources; otherwise
    # the folders' shares divide what clean_share leaves.
    clean_has_shares = any(share is not None for _, share in clean)
    texts = (*request.pairs, *request.scenes)
    given = dict(zip(texts, (folder.share for folder in folders), strict=True))
    options = "--pairs and --scenes"
    if clean_has_shares:
        given = {**dict(zip(request.clean, (share for _, share in clean), strict=True)), **given}
        options = "--clean, --pairs and --scenes"
    _refuse_missing_shares(given, options)
    if clean_has_shares and request.clean_share != DataRequest().clean_share:
        raise UsageError(
            f"data.clean_share = {request.clean_share}: the shares of --clean replace it; "
            "leave it out, or name --clean without @SHARE"
        )
    sources: list[Source] = []
    shares: list[float] = []
    for text, share in clean if clean_has_shares else ():
        sources.append(Photos((text,), context, label=text, frames=kind == "frames"))
        shares.append(share or 0.0)
    if clean and not clean_has_shares:
        sources.append(Photos(request.clean, context, frames=kind == "frames"))
        shares.append(request.clean_share if folders else 1.0)
    of_scenes = FrameScenes if kind == "frames" else SceneAverages
    opened: list[Source] = [PairFolder(folder, context) for folder in pairs]
    opened += [of_scenes(folder, context) for folder in scenes]
    parts = [
        len(source) if folder.share is None else folder.share
        for folder, source in zip(folders, opened, strict=True)
    ]
    rest = 1.0 - request.clean_share if clean else 1.0
    sources += opened
    shares += parts if clean_has_shares else [rest * part / sum(parts) for part in parts]
    if not sources:
        raise UsageError("nothing to train on: name clean photos (--clean) or pairs (--pairs)")
    return MixedDataset(sources, shares, seed, skip=request.unreadable == "skip")


def _refuse_missing_shares(shares: Mapping[str, float | None], options: str) -> None:
    """Refuse inputs of which only some have a share."""
    without = [text for text, share in shares.items() if share is None]
    if without and len(without) < len(shares):
        given = next(text for text in shares if text not in without)
        raise UsageError(
            f"{without[0]} has no share, but {given} has: write FOLDER@SHARE for every one "
            f"of {options}, or for none"
        )


def _to_channels_first(picture: RGB8) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
