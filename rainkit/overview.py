"""The installed methods at a glance: what each is good at, how it scores, how long it takes.

Every plugin is imported, but neither torch nor any network; a broken one is a row with its problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from rainkit import plugins
from rainkit.api import MeasuredPhotographs, MeasuredResult, Timing
from rainkit.errors import RainkitError
from rainkit.gains import RainKind, best

__all__ = ["MethodRow", "common_sets", "common_timing", "methods_at_a_glance", "suited"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodRow:
    """One installed method.

    Attributes:
        name: its name, with that of its package if several packages claim it.
        distribution: the package that brings it.
        version: version of that package.
        summary: one-line summary of that package.
        good_at: what it takes out well; its summary if the plugin does not say it.
        weights: name of its default weights; None if it ships none.
        results: scores of these weights on pairs that their training never saw, as the plugin
            declares them.
        photographs: what these weights leave of the rain in photographs.
        gflop: work of their network on a picture of 512x512.
        timings: how long the network takes on machines that are named.
        problem: why it cannot be used; None if there is no reason that is known.
    """

    name: str
    distribution: str
    version: str
    summary: str
    good_at: str = ""
    weights: str | None = None
    results: tuple[MeasuredResult, ...] = ()
    photographs: MeasuredPhotographs | None = None
    gflop: float | None = None
    timings: tuple[Timing, ...] = ()
    problem: str | None = None

    def to_data(self) -> dict[str, Any]:
        """Return the row as plain data for ``--json``."""
        return asdict(self)

    def on(self, dataset: str) -> MeasuredResult | None:
        """Return the score on a set of pairs; None if there is none."""
        return next((each for each in self.results if each.dataset == dataset), None)


def methods_at_a_glance() -> tuple[MethodRow, ...]:
    """Return a row for each installed method, sorted by name; this raises no error."""
    return tuple(map(_row, plugins.installed()))


def _row(found: plugins.Installed) -> MethodRow:
    row = MethodRow(
        name=found.name,
        distribution=found.distribution,
        version=found.version,
        summary=found.summary,
        problem=found.problem,
    )
    if found.problem is not None:
        return row
    try:
        method = plugins.get(found.name)
    except RainkitError as error:
        return replace(row, problem=str(error))
    row = replace(row, good_at=method.good_at or method.summary, timings=method.timings)
    if not method.weights:
        return row
    first = method.weights[0]
    return replace(
        row,
        weights=f"{method.name}.{first.tag}",
        results=first.results,
        photographs=first.photographs,
        gflop=first.gflop,
    )


def suited(rows: Iterable[MethodRow]) -> dict[str, tuple[RainKind, ...]]:
    """Return for which kinds of rain each method is taken if no method is named.

    This is what the plugins declare; headers of weights files, options and the hash of a file may
    change it when a picture is derained.
    """
    figures = [
        _Figures(row.name, row.results, row.photographs, row.gflop)
        for row in rows
        if row.weights is not None and row.problem is None
    ]
    kinds: dict[str, tuple[RainKind, ...]] = {}
    for kind, (name, _) in best(figures).items():
        kinds[name] = (*kinds.get(name, ()), kind)
    return kinds


class _Figures(NamedTuple):
    name: str
    results: tuple[MeasuredResult, ...]
    photographs: MeasuredPhotographs | None
    gflop: float | None


def common_sets(rows: Iterable[MethodRow], most: int = 2) -> tuple[str, ...]:
    """Return the sets of pairs on which most methods were scored alike.

    Sets whose scores are of different protocols or numbers of pictures are left out.

    Args:
        rows: the methods.
        most: number of sets.
    """
    kinds: dict[str, set[tuple[str, int]]] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        for each in row.results:
            kinds.setdefault(each.dataset, set()).add((each.protocol, each.images))
            counts[each.dataset] += 1
    alike = [name for name in counts if len(kinds[name]) == 1]
    return tuple(sorted(alike, key=lambda name: -counts[name])[:most])


def common_timing(rows: Sequence[MethodRow]) -> Timing | None:
    """Return a timing whose machine, size and precision most methods were timed with; or None."""
    ways = Counter(_way(each) for row in rows for each in row.timings)
    if not ways:
        return None
    way = ways.most_common(1)[0][0]
    return next(each for row in rows for each in row.timings if _way(each) == way)


def _way(timing: Timing) -> tuple[str, str, str]:
    return timing.machine, timing.size, timing.precision
