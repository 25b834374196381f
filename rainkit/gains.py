"""What weights are worth for each kind of rain, by the figures that they come with.

Scores on pairs say by how much they take rain off, figures of photographs how much is left of real
rain, and the work of the network is their price. The choice of a method for each picture
(:mod:`rainkit.inference.choice`) and ``rainkit methods`` go by them; this module needs no torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol, TypeAlias

from rainkit.api import MeasuredPhotographs, MeasuredResult

__all__ = ["SETS", "TONED", "Measured", "RainKind", "Score", "best", "gain", "scores"]

RainKind: TypeAlias = Literal["sparse", "dense", "heavy"]
"""What the rain of a picture is like: few streaks, many faint ones, or much light in streaks."""

SETS: Mapping[RainKind, tuple[str, ...]] = MappingProxyType(
    {
        "sparse": ("rain100l",),
        "dense": ("rain800", "misc"),
        "heavy": ("rain100h", "rain200h"),
    }
)
"""Sets of pairs whose rain is of a kind, by the names that measured results have."""

TONED = frozenset({"rain800"})
"""Sets whose rainy sides have another tone than their clean ones, so that PSNR judges by the tone:
there it falls for what takes the rain off, and rises for what blurs."""

_ALIKE = 0.1
"""Difference in dB that is not worth a second network, which takes time and memory of its own."""

_PROTOCOL = "prenet/1"
_LEAST = 1e-4  # the smallest 1 - SSIM; results that equal their targets have none


class Measured(Protocol):
    """Weights with their figures, such as :class:`rainkit.weights.WeightsFile`."""

    @property
    def name(self) -> str:
        """Their name."""

    @property
    def results(self) -> tuple[MeasuredResult, ...]:
        """Scores on pairs."""

    @property
    def photographs(self) -> MeasuredPhotographs | None:
        """What they leave of the rain in photographs."""

    @property
    def gflop(self) -> float | None:
        """Work of the network on a picture of 512x512."""


def gain(results: Sequence[MeasuredResult], kind: RainKind) -> float | None:
    """Return by how many dB weights improve pictures with a kind of rain.

    It is the mean over all pictures of the sets of this kind that were measured, and None if none
    was, of two gains: that of PSNR, and that of SSIM as the fall of 1 - SSIM in dB. In sets of
    :data:`TONED`, it is the second alone.
    """
    of_kind = [r for r in results if r.dataset in SETS[kind] and r.protocol == _PROTOCOL]
    pictures = sum(result.images for result in of_kind)
    if not pictures:
        return None
    return sum(_gain(result) * result.images for result in of_kind) / pictures


def _gain(result: MeasuredResult) -> float:
    if result.dataset in TONED:
        return _of_ssim(result)
    return (result.psnr - result.input_psnr + _of_ssim(result)) / 2


def _of_ssim(result: MeasuredResult) -> float:
    """Return by how many dB 1 - SSIM falls."""
    after, before = (max(1 - ssim, _LEAST) for ssim in (result.ssim, result.input_ssim))
    return -10 * math.log10(after / before)


_PER_DOUBLING = 0.25
"""What twice the work has to be worth, in dB.

With 0.5, a quick network that blurs was level with those that take the rain off dense photographs.
"""


class Score(NamedTuple):
    """What weights are worth for a kind of rain, in dB.

    Attributes:
        pairs: by how much they improve pairs with this rain.
        photographs: by how much they lower the energy of the streaks in photographs.
        work: what is taken off for the work of the network.
    """

    pairs: float
    photographs: float
    work: float

    @property
    def total(self) -> float:
        """The sum, by which weights are chosen."""
        return self.pairs + self.photographs - self.work


def scores(files: Sequence[Measured], kind: RainKind) -> dict[str, Score]:
    """Return what weights are worth for a kind of rain, by name, in dB; comparable among them.

    Weights without pairs of this kind are left out. Where another figure is missing, the worst one
    of the others stands in for it.
    """
    pairs = {each.name: gain(each.results, kind) for each in files}
    sets = Counter(_which(each.photographs) for each in files if each.photographs)
    common = sets.most_common(1)[0][0] if sets else None
    taken = {
        each.name: -10 * math.log10(max(each.photographs.streaks_left, 1e-3))
        for each in files
        if each.photographs and _which(each.photographs) == common
    }
    work = {each.name: each.gflop for each in files if each.gflop}
    least = min(work.values(), default=1.0)
    cost = {name: _PER_DOUBLING * math.log2(gflop / least) for name, gflop in work.items()}
    worst, dearest = min(taken.values(), default=0.0), max(cost.values(), default=0.0)
    return {
        name: Score(gained, taken.get(name, worst), cost.get(name, dearest))
        for name, gained in pairs.items()
        if gained is not None
    }


def _which(measured: MeasuredPhotographs) -> tuple[int, int]:
    """Return what figures of photographs must have in common to be compared."""
    return measured.images, measured.longest_side


def best(files: Sequence[Measured]) -> dict[RainKind, tuple[str, Score | None]]:
    """Return the name of the best weights for each kind of rain, and what they are worth.

    Those that are best on most kinds are taken for another kind, too, if they are as good there but
    for a tenth of a dB. A kind that was measured for none of them goes to those that are best on
    another; a single file is the best on all kinds. Nothing is returned if there are several and
    none was measured.
    """
    scored = {kind: found for kind in SETS if (found := scores(files, kind))}
    first = {kind: max(each, key=lambda name: each[name].total) for kind, each in scored.items()}
    usual = next((name for name, kinds in Counter(first.values()).items() if kinds > 1), None)
    chosen: dict[RainKind, tuple[str, Score | None]] = {}
    for kind, each in scored.items():
        name = first[kind]
        if usual in each and each[name].total - each[usual].total < _ALIKE:
            name = usual
        chosen[kind] = name, each[name]
    if not chosen:
        return dict.fromkeys(SETS, (files[0].name, None)) if len(files) == 1 else {}
    known = max(chosen, key=lambda kind: score.total if (score := chosen[kind][1]) else 0.0)
    return {kind: chosen.get(kind, (chosen[known][0], None)) for kind in SETS}
