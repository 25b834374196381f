"""Scoring pictures: finding and reading pairs, and measuring one picture after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rainkit.datasets.pairs import (
    RAINY_FOLDERS,
    Dataset,
    PairFiles,
    ReadOptions,
    named_datasets,
)
from rainkit.errors import PairingError, UsageError, described
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.metrics.registry import LoadedMetric
from rainkit.evaluation.scores import Failure, Score, Scores
from rainkit.images import RGB8

__all__ = [
    "ODDITIES",
    "Derain",
    "Outcome",
    "PairArrays",
    "Triple",
    "attempt",
    "collect",
    "dataset_notices",
    "odd",
    "oddity_notices",
    "read_pair",
    "score",
    "scored_datasets",
]

Derain = Callable[[RGB8], RGB8]
"""A function from a rainy picture, HWC uint8 RGB, to a clean one of the same size."""


class PairArrays(NamedTuple):
    """A pair in memory, both HWC uint8 RGB."""

    name: str
    rainy: RGB8
    clean: RGB8


@dataclass(frozen=True, slots=True)
class Triple:
    """One picture to score: the restored one, its target, and the rainy one if there is one."""

    name: str
    restored: RGB8
    target: RGB8
    rainy: RGB8 | None = None
    milliseconds: float | None = None


Outcome = tuple[Score, ...] | Failure
"""The scores of one picture under every protocol, or why there are none."""


def score(
    derain: Derain,
    pairs: Iterable[PairFiles | PairArrays],
    protocol: Protocol,
    *,
    limit: int | None = None,
    dataset: str = "pairs",
) -> Scores:
    """Derain and score pairs; training validates with it.

    Args:
        derain: called once per pair.
        pairs: on disk or in memory.
        protocol: how to score.
        limit: the number of pairs to score, from the first; None for all.
        dataset: name of the dataset in tables.

    Raises:
        PairingError: a picture and its target differ in size.
    """

    def restore(pair: PairFiles | PairArrays) -> Triple:
        return _derained(derain, pair if isinstance(pair, PairArrays) else read_pair(pair))

    outcomes = [
        attempt(pair.name, partial(restore, pair), (protocol,)) for pair in islice(pairs, limit)
    ]
    return collect(dataset, outcomes, (protocol,))[0]


def attempt(
    name: str,
    restore: Callable[[], Triple],
    protocols: Sequence[Protocol],
    *,
    metrics: Sequence[LoadedMetric] = (),
    exact: bool = False,
) -> Outcome:
    """Score what ``restore`` returns, or return why it fails, which does not end a run.

    Args:
        name: the picture's name.
        restore: returns the pictures to score.
        protocols: PSNR and SSIM are computed under each.
        metrics: further metrics; the scores of all protocols hold them.
        exact: compute in float64 throughout.

    Raises:
        UsageError: the request itself cannot work.
        PairingError: the pictures differ in size; the message names the picture.
    """
    try:
        triple = restore()
    except UsageError:
        raise
    except Exception as error:  # whatever it is, the other pictures can be scored
        return Failure(name, described(error))
    try:
        extras, before = _extras(triple, metrics)
        oddity = odd(triple.restored, triple.target)
        return tuple(
            replace(
                _measure(triple, protocol, exact),
                extras=extras,
                input_extras=before,
                oddity=oddity,
            )
            for protocol in protocols
        )
    except PairingError as error:
        raise PairingError(f"{name}: {error}") from None
    except UsageError:
        raise
    except Exception as error:
        return Failure(name, described(error))


def collect(
    dataset: str, outcomes: Sequence[Outcome], protocols: Sequence[Protocol]
) -> tuple[Scores, ...]:
    """Return the outcomes of a dataset's pictures as one :class:`Scores` per protocol."""
    failures = tuple(each for each in outcomes if isinstance(each, Failure))
    scored = [each for each in outcomes if not isinstance(each, Failure)]
    return tuple(
        Scores(
            dataset=dataset,
            protocol=protocol,
            rows=tuple(rows[i] for rows in scored),
            failures=failures,
        )
        for i, protocol in enumerate(protocols)
    )


def scored_datasets(
    folders: Iterable[Path], reading: ReadOptions, limit: int | None = None
) -> tuple[Dataset, ...]:
    """Return the datasets of folders, with the names that scores give their pictures.

    A picture is called by its path inside the folder of rainy pictures, without suffix. A manifest
    names it by its path in the dataset, such as ``test/input/a``; it is called ``a`` all the same,
    as it is if the folder ``input`` itself is scored. If a dataset is split, its split ``test`` is
    taken.

    Args:
        folders: datasets, or folders of datasets.
        reading: how dataset folders are read.
        limit: the number of pictures of each dataset; None for all.

    Raises:
        UsageError, PairingError, DatasetError: as
            :func:`rainkit.datasets.pairs.named_datasets`.
    """
    return tuple(
        replace(each, pairs=_renamed(each)[:limit])
        for each in named_datasets(folders, prefer=("test",), options=reading)
    )


def dataset_notices(datasets: Iterable[Dataset]) -> tuple[str, ...]:
    """Return a line for each dataset of which a split alone is scored, and for each left out."""
    datasets = tuple(datasets)
    return (
        *(f"{e.name}: its split {e.split!r} alone is scored" for e in datasets if e.split),
        *dict.fromkeys(
            f"{path} holds pictures, but no pairs, and is passed over"
            for each in datasets
            for path in each.beside
        ),
    )


def _renamed(dataset: Dataset) -> tuple[PairFiles, ...]:
    names = [_inside(pair, dataset.root) for pair in dataset.pairs]
    if len(set(names)) < len(names):
        return dataset.pairs
    return tuple(replace(pair, name=name) for pair, name in zip(dataset.pairs, names, strict=True))


def _inside(pair: PairFiles, root: Path) -> str:
    """Return a picture's name without the folder of rainy pictures, if that is part of it."""
    if pair.rainy.member or pair.rainy.path.with_suffix("") != root / pair.name:
        return pair.name
    *folders, name = pair.name.split("/")
    places = [i for i, folder in enumerate(folders) if folder.casefold() in RAINY_FOLDERS]
    return "/".join((*folders[places[0] + 1 :], name)) if places else pair.name


def read_pair(pair: PairFiles) -> PairArrays:
    """Read a pair from disk.

    Raises:
        ImageError, DatasetError: one of its pictures cannot be read.
    """
    return PairArrays(pair.name, pair.rainy.read(), pair.clean.read())


ODDITIES = {
    "swapped": "like their own targets with red and blue swapped (cv2.imwrite takes BGR)",
    "grey": "grey beside targets in colour, which scores of luma hardly notice",
}
"""What :func:`odd` finds, in words that follow "look"."""


def odd(restored: RGB8, target: RGB8) -> str | None:
    """Return what looks wrong with how a restored picture was saved, a key of :data:`ODDITIES`.

    The result is None if nothing does. Both pictures are HWC uint8 RGB of equal size. Swapping red
    and blue helps the squared error by twice the product of the pictures' R - B; so a clearly
    negative correlation of these betrays a swap. A target with hardly any colour betrays nothing.
    Every 16th pixel is looked at.
    """
    if restored.shape != target.shape:
        return None  # the metrics refuse such pictures
    a, b = (_red_over_blue(picture[::4, ::4]) for picture in (restored, target))
    energy_a, energy_b = float((a * a).mean()), float((b * b).mean())
    if energy_b < _COLOUR**2:
        return None
    if energy_a == 0:
        grey = bool((restored == restored[..., :1]).all())
        return "grey" if grey else None
    together = float((a * b).mean()) / (energy_a * energy_b) ** 0.5
    return "swapped" if together < _SWAPPED else None


def oddity_notices(scores: Iterable[Scores]) -> tuple[str, ...]:
    """Return a line for each oddity that at least half of a dataset's pictures have."""
    notices = {}
    for each in scores:
        found = [row.oddity for row in each.rows if row.oddity is not None]
        for oddity in dict.fromkeys(found):
            if 2 * (count := found.count(oddity)) >= len(each.rows):
                notices[each.dataset, oddity] = (
                    f"{each.dataset}: {count} of {len(each.rows)} restored pictures look"
                    f" {ODDITIES[oddity]}"
                )
    return tuple(notices.values())


_COLOUR = 4.0
"""Root mean square of R - B in grey levels; pictures with less are taken for grey."""
_SWAPPED = -0.5
"""Threshold of the correlation, which is about -1 for a swapped picture and else about 1."""


def _red_over_blue(picture: RGB8) -> npt.NDArray[np.float32]:
    return picture[..., 0].astype(np.float32) - picture[..., 2]


def _extras(
    triple: Triple, metrics: Sequence[LoadedMetric]
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    """Return the further metrics of the restored and of the rainy picture.

    The rainy picture has none that compare with itself.
    """
    found, before = [], []
    for each in metrics:
        name, needs = each.metric.name, each.metric.needs
        if "input" in needs and triple.rainy is None:
            continue
        pictures = {"target": triple.target, "rainy": triple.rainy}
        found.append((name, each.measure(triple.restored, **pictures)))
        if triple.rainy is not None and "input" not in needs:
            before.append((name, each.measure(triple.rainy, **pictures)))
    return tuple(found), tuple(before)


def _measure(triple: Triple, protocol: Protocol, exact: bool) -> Score:
    psnr, ssim = protocol.scores(triple.restored, triple.target, exact)
    before = None
    if triple.rainy is not None:
        before = protocol.scores(triple.rainy, triple.target, exact)
    height, width = triple.target.shape[:2]
    return Score(
        name=triple.name,
        width=width,
        height=height,
        psnr=psnr,
        ssim=ssim,
        input_psnr=before and before[0],
        input_ssim=before and before[1],
        milliseconds=triple.milliseconds,
    )


def _derained(derain: Derain, pair: PairArrays) -> Triple:
    """Run a method on a pair and time it."""
    started = time.perf_counter()
    restored = derain(pair.rainy)
    milliseconds = (time.perf_counter() - started) * 1e3
    return Triple(pair.name, restored, pair.clean, pair.rainy, milliseconds)
