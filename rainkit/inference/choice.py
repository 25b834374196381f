"""The choice of a method for each picture: by the kind of its rain, and by measured figures.

Weights come with figures: scores on pairs (:attr:`rainkit.weights.WeightsFile.results`), of which
those with a kind of rain say which method takes most of it off, what is left of the streaks in
photographs of real rain, and the work of the network. :func:`rainkit.gains.scores` adds them up. So
the choice follows the weights that are installed, and a method that is not installed leaves its
place to the next best. docs/benchmarks/choice.md has the measurements.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rainkit import plugins
from rainkit.errors import RainkitError, UsageError
from rainkit.gains import SETS, RainKind, Score, best, gain, scores
from rainkit.images import RGB8, shrink
from rainkit.inference.setup import AUTO, Setup, set_up
from rainkit.runtime_options import RuntimeOptions

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
        words = {
            name: " and ".join(filter(None, (", ".join(of[:-1]), of[-1])))
            for name, of in kinds.items()
        }
        chosen = (f"{name} for {of} rain" for name, of in words.items())
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
    named = {each.weights.name: each for each in setups}
    chosen = best([each.weights for each in setups])
    if not chosen:
        names = ", ".join(each.method.name for each in setups)
        raise UsageError(
            f"no method named, and none has measured results to choose by: add --method with "
            f"one of {names}"
        )
    by_kind = {kind: named[name] for kind, (name, _) in chosen.items()}
    first = by_kind["sparse"]
    return AutoSetup(
        method=first.method,
        weights=first.weights,
        spec=first.spec,
        options=options,
        by_kind=by_kind,
        gains={kind: score for kind, (_, score) in chosen.items()},
    )
