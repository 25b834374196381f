"""Scoring pairs: reading, deraining, and measuring, one picture after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

from rainkit.datasets.pairs import PairFiles
from rainkit.errors import PairingError, RainkitError, UsageError
from rainkit.evaluation.protocols import RGB8, Protocol
from rainkit.evaluation.scores import Failure, Score, Scores

__all__ = [
    "Derain",
    "Outcome",
    "PairArrays",
    "Triple",
    "attempt",
    "collect",
    "derained",
    "read_pair",
    "score",
]

Derain = Callable[[RGB8], RGB8]
"""A rainy picture, HWC uint8 RGB, to a clean one of the same size."""


class PairArrays(NamedTuple):
    """A pair in memory, both HWC uint8 RGB."""

    name: str
    rainy: RGB8
    clean: RGB8


@dataclass(frozen=True, slots=True)
class Triple:
    """One picture to score: restored against target, and the rainy one where there is one."""

    name: str
    restored: RGB8
    target: RGB8
    rainy: RGB8 | None = None
    milliseconds: float | None = None


Outcome = tuple[Score, ...] | Failure
"""One picture under every protocol, or why there is no score."""


def score(
    derain: Derain,
    pairs: Iterable[PairFiles | PairArrays],
    protocol: Protocol,
    *,
    limit: int | None = None,
    dataset: str = "pairs",
) -> Scores:
    """Derain and score pairs; what training validates with.

    Args:
        derain: called once per pair.
        pairs: on disk or in memory.
        protocol: how to score.
        limit: score this many at most, the first ones.
        dataset: the name in tables.

    Raises:
        PairingError: a picture and its target differ in size.
    """

    def restore(pair: PairFiles | PairArrays) -> Triple:
        return derained(derain, pair if isinstance(pair, PairArrays) else read_pair(pair))

    outcomes = [
        attempt(pair.name, partial(restore, pair), (protocol,)) for pair in islice(pairs, limit)
    ]
    return collect(dataset, outcomes, (protocol,))[0]


def attempt(name: str, restore: Callable[[], Triple], protocols: Sequence[Protocol]) -> Outcome:
    """Score what ``restore`` gives; a picture that cannot be read, derained or saved is a Failure.

    Raises:
        UsageError: the request itself cannot work.
        PairingError: the pictures differ in size; the message names the picture.
    """
    try:
        triple = restore()
    except UsageError:
        raise
    except RainkitError as error:
        return Failure(name, str(error))
    try:
        return tuple(_measure(triple, protocol) for protocol in protocols)
    except PairingError as error:
        raise PairingError(f"{name}: {error}") from None


def collect(
    dataset: str, outcomes: Sequence[Outcome], protocols: Sequence[Protocol]
) -> tuple[Scores, ...]:
    """The outcomes of a dataset's pictures as one :class:`Scores` per protocol."""
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


def derained(derain: Derain, pair: PairArrays) -> Triple:
    """Run a method on a pair and time it."""
    started = time.perf_counter()
    restored = derain(pair.rainy)
    milliseconds = (time.perf_counter() - started) * 1e3
    return Triple(pair.name, restored, pair.clean, pair.rainy, milliseconds)


def read_pair(pair: PairFiles) -> PairArrays:
    """A pair from disk.

    Raises:
        ImageError, DatasetError: one of its pictures cannot be read.
    """
    return PairArrays(pair.name, pair.rainy.read(), pair.clean.read())


def _measure(triple: Triple, protocol: Protocol) -> Score:
    psnr, ssim = protocol.scores(triple.restored, triple.target)
    before = None if triple.rainy is None else protocol.scores(triple.rainy, triple.target)
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
