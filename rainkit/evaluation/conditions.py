"""The rain behind made pictures, from the manifests that ``rainkit synth`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rainkit.datasets.pairs import PairFiles
from rainkit.datasets.readers.manifests import has_manifest
from rainkit.datasets.stored import Stored
from rainkit.errors import RainkitError
from rainkit.evaluation.scores import Conditions, Scores
from rainkit.rain.settings import LEVELS

if TYPE_CHECKING:
    from rainkit.datasets.records import Record

__all__ = ["CONDITIONS", "conditions", "told"]

CONDITIONS = MappingProxyType(
    {
        "rate": "strength by rain rate: " + ", ".join(LEVELS),
        "preset": "what the settings started from",
        "depth": "where depth came from",
        "veil": "with or without a veil",
        "wind": "its speed, in steps of 5 m/s",
    }
)
"""Conditions that pictures are grouped by, and what they are."""


def conditions(root: Path, pairs: Iterable[PairFiles]) -> dict[str, Conditions]:
    """What a manifest in ``root`` says of pairs' rainy pictures, by the pairs' names.

    Each is the rate in mm/h as ``rate_mm_h`` and the texts of :data:`CONDITIONS`. Nothing where
    there is no manifest, or none that can be read: whoever reads the pictures through it has said
    so.
    """
    if not has_manifest(root):
        return {}
    from rainkit.datasets import manifest  # pydantic: only where there is a manifest

    try:
        records = {_key(Stored.at(root, each.input)): each for each in manifest.read(root)}
    except RainkitError:
        return {}
    found = {pair.name: records.get(_key(pair.rainy)) for pair in pairs}
    return {name: _of(record) for name, record in found.items() if record is not None}


def told(scores: Iterable[Scores], known: Mapping[str, Conditions]) -> tuple[Scores, ...]:
    """Scores of one dataset with what is known of their pictures' rain, by the pictures' names."""
    return tuple(
        replace(
            each,
            rows=tuple(replace(row, conditions=known.get(row.name, ())) for row in each.rows),
        )
        for each in scores
    )


def _key(stored: Stored) -> Stored:
    return replace(stored, path=stored.path.resolve(), crop=None)


def _of(record: Record) -> Conditions:
    if record.degradation != "rain":
        return ()
    return (
        ("rate_mm_h", record.rate_mm_h),
        ("rate", _strength(record.rate_mm_h)),
        ("preset", record.preset),
        ("depth", record.depth.source if record.depth else "a flat scene"),
        ("veil", "a veil" if record.beta_per_m else "no veil"),
        ("wind", _step(record.wind_m_s)),
    )


def _strength(rate: float) -> str:
    """The name of the strength that a rate in mm/h falls into."""
    return next((name for name, level in LEVELS.items() if rate < level.high), "extreme")


def _step(wind: float) -> str:
    low = int(abs(wind) // 5) * 5
    return f"{low} to {low + 5} m/s"
