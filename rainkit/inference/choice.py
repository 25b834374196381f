"""The choice of a method for each picture: by the kind of its rain, and by measured figures.

Weights come with figures: scores on pairs (:attr:`rainkit.weights.WeightsFile.results`), of which
those with a kind of rain say which method takes most of it off, what is left of the streaks in
photographs of real rain, and the work of the network. :func:`scores` adds them up. So the choice
follows the weights that are installed, and a method that is not installed leaves its place to the
next best. docs/benchmarks/choice.md has the measurements.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rainkit import plugins
from rainkit.api import MeasuredPhotographs, MeasuredResult
from rainkit.errors import RainkitError, UsageError
from rainkit.images import RGB8, shrink
from rainkit.inference.setup import AUTO, Setup, set_up
from rainkit.runtime_options import RuntimeOptions
from rainkit.weights import WeightsFile

__all__ = [
    "SETS",
    "AutoSetup",
    "Measure",
    "RainKind",
    "Score",
    "choose",
    "gain",
    "kind_of",
    "measure",
    "rain_kind",
    "scores",
    "small",
]

_log = logging.getLogger(__name__)

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

_PROTOCOL = "prenet/1"
_SIDE = 480
"""Longest side in pixels at which rain is measured: that of the sets of pairs."""
_HEAVY = 7.5
"""Mean brightness in grey levels that streaks add to the picture, above which rain is heavy."""
_DENSE = 23.0
"""Number of streaks in 100 x 100 pixels above which rain is dense."""


def rain_kind(picture: NDArray[Any]) -> RainKind:
    """Return the kind of the rain in a picture.

    Args:
        picture: [H,W,3], uint8, uint16, or floats in [0,1].
    """
    return kind_of(measure(picture))


class Measure(NamedTuple):
    """What decides the kind of the rain in a picture.

    Attributes:
        density: number of streaks in 100 x 100 pixels.
        light: mean brightness in grey levels that streaks add to the picture.
    """

    density: float
    light: float


def measure(picture: NDArray[Any]) -> Measure:
    """Measure the rain in a picture [H,W,3] of uint8, uint16, or floats in [0,1]."""
    from rainkit.rain.realism import segment  # not every run looks for rain

    found = segment(small(picture))
    light = found.coverage * float(found.contrast.mean()) if len(found) else 0.0
    return Measure(found.density, light)


def kind_of(measured: Measure) -> RainKind:
    """Return the kind of rain that has these measures."""
    if measured.light > _HEAVY:
        return "heavy"
    return "dense" if measured.density > _DENSE else "sparse"


def small(picture: NDArray[Any]) -> RGB8:
    """Return a picture as rain is measured in it: of at most 480 pixels, uint8.

    Args:
        picture: [H,W,3], uint8, uint16, or floats in [0,1].
    """
    if max(picture.shape[:2]) > _SIDE:
        picture = shrink(picture, _SIDE)
    if picture.dtype == np.uint8:
        return picture
    scale = 255 if np.issubdtype(picture.dtype, np.floating) else 255 / 65535
    return np.clip(picture * scale + 0.5, 0, 255).astype(np.uint8)


def gain(results: Sequence[MeasuredResult], kind: RainKind) -> float | None:
    """Return by how many dB weights raise the PSNR of pictures with a kind of rain.

    It is the mean over all pictures of the sets of this kind that were measured; None if none was.
    """
    of_kind = [r for r in results if r.dataset in SETS[kind] and r.protocol == _PROTOCOL]
    pictures = sum(result.images for result in of_kind)
    if not pictures:
        return None
    return sum((r.psnr - r.input_psnr) * r.images for r in of_kind) / pictures


_PER_DOUBLING = 0.5
"""What twice the work has to be worth, in dB."""


class Score(NamedTuple):
    """What weights are worth for a kind of rain, in dB.

    Attributes:
        pairs: by how much they raise the PSNR of pairs with this rain.
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


def scores(files: Sequence[WeightsFile], kind: RainKind) -> dict[str, Score]:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoSetup(Setup):
    """Set-ups of several methods, one for each kind of rain.

    The method, weights and spec are those of the kind ``sparse``, which most photographs have.

    Attributes:
        by_kind: the set-up for each kind.
        gains: what it is worth for each kind; None if nothing was measured.
    """

    by_kind: Mapping[RainKind, Setup]
    gains: Mapping[RainKind, Score | None]

    @property
    def name(self) -> str:
        """``auto``."""
        return AUTO

    @property
    def title(self) -> str:
        """The name on pages."""
        return "Automatic choice"

    @property
    def weights_name(self) -> str:
        """The names of all weights."""
        return " and ".join(dict.fromkeys(each.weights.name for each in self.by_kind.values()))

    @property
    def sha256(self) -> str:
        """A hash of the weights for all kinds."""
        text = " ".join(f"{kind} {each.weights.sha256}" for kind, each in self.by_kind.items())
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def blocks(self) -> int | None:
        """None, since methods differ."""
        return None

    def why(self) -> str:
        """Return one line that says which weights are chosen for which rain, and why."""
        kinds: dict[str, list[str]] = {}
        for kind, each in self.by_kind.items():
            measured = self.gains[kind]
            told = "" if measured is None else f" ({measured.pairs:+.1f} dB)"
            kinds.setdefault(each.weights.name, []).append(f"{kind}{told}")
        chosen = (f"{name} for {' and '.join(of)} rain" for name, of in kinds.items())
        return f"{', '.join(chosen)}: the best by gains on pairs, real photographs and work"


def choose(options: RuntimeOptions) -> AutoSetup:
    """Return the installed method with the best figures for each kind of rain.

    Methods that are broken, ship no weights, or do not offer what the options ask for are left out.

    Raises:
        UsageError: no method is left, or several are and none has measured results.
    """
    setups: list[Setup] = []
    refused: list[RainkitError] = []
    for found in plugins.installed():
        if found.problem is not None:
            continue
        try:
            method = plugins.get(found.name)
            if method.weights:
                setups.append(set_up(method, options))
        except RainkitError as error:
            _log.debug("%s is left out: %s", found.name, error)
            refused.append(error)
    if not setups:
        if refused:
            raise refused[0]
        raise UsageError(
            "no installed method ships weights: name a method and its weights by --method NAME "
            "--weights FILE.safetensors"
            if plugins.installed()
            else plugins.none_installed()
        )
    by_kind: dict[RainKind, Setup] = {}
    gains: dict[RainKind, Score | None] = {}
    named = {each.weights.name: each for each in setups}
    for kind in SETS:
        scored = scores([each.weights for each in setups], kind)
        if scored:
            best = max(scored, key=lambda name: scored[name].total)
            gains[kind], by_kind[kind] = scored[best], named[best]
    if not by_kind:
        if len(setups) > 1:
            names = ", ".join(each.method.name for each in setups)
            raise UsageError(
                f"no method named, and none has measured results to choose by: add --method with "
                f"one of {names}"
            )
        by_kind["sparse"], gains["sparse"] = setups[0], None
    # A kind that nobody has measured goes to the method that is best on the others.
    known = max(by_kind, key=lambda kind: score.total if (score := gains[kind]) else 0.0)
    for kind in SETS:
        if kind not in by_kind:
            by_kind[kind], gains[kind] = by_kind[known], None
    first = by_kind["sparse"]
    return AutoSetup(
        method=first.method,
        weights=first.weights,
        spec=first.spec,
        options=options,
        by_kind={kind: by_kind[kind] for kind in SETS},
        gains=gains,
    )
