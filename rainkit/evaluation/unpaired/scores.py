"""What was measured on photographs without ground truth, as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rainkit.evaluation.comparison import SourceFile
from rainkit.evaluation.measures import Metric, Ready
from rainkit.evaluation.scores import Failure, Summary
from rainkit.evaluation.texts import finite

__all__ = ["NO_TARGET", "Unpaired", "UnpairedScore", "UnpairedScores", "left_out_notices"]

NO_TARGET = "no ground truth"
"""Stands wherever other evaluations name their protocol."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpairedScore:
    """One result on one photograph.

    Attributes:
        name: of the photograph, unique in its dataset.
        width: in px.
        height: in px.
        figures: by metric; NaN where undefined.
        input_figures: the photograph's own, of the metrics that compare with nothing.
        milliseconds: what deraining took; None where nothing was derained.
    """

    name: str
    width: int
    height: int
    figures: Mapping[str, float]
    input_figures: Mapping[str, float] = field(default_factory=dict)
    milliseconds: float | None = None

    def to_data(self) -> dict[str, Any]:
        """For JSON: NaN becomes null."""
        figures = {name: finite(value) for name, value in self.figures.items()}
        before = {f"input_{name}": finite(value) for name, value in self.input_figures.items()}
        size = {"name": self.name, "width": self.width, "height": self.height}
        return size | figures | before | {"milliseconds": self.milliseconds}


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpairedScores:
    """One result on all photographs of one dataset.

    Attributes:
        dataset: the folder's name.
        result: the method, with its weights if they were chosen, or the folder of results.
        rows: one per photograph that was measured.
        failures: the others.
        files: of the results, where they are kept.
    """

    dataset: str
    result: str
    rows: tuple[UnpairedScore, ...]
    failures: tuple[Failure, ...] = ()
    files: tuple[SourceFile, ...] = ()

    def summary(self, metric: str) -> Summary:
        """Of the result."""
        return Summary.of([row.figures[metric] for row in self.rows])

    def input_summary(self, metric: str) -> Summary:
        """Of the photographs themselves; of no values if the metric compares with them."""
        return Summary.of([r.input_figures[metric] for r in self.rows if metric in r.input_figures])

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
        first = self.rows[0] if self.rows else None
        summary = {name: self.summary(name).to_data() for name in (first.figures if first else ())}
        for name in first.input_figures if first else ():
            summary[f"input_{name}"] = self.input_summary(name).to_data()
        return {
            "dataset": self.dataset,
            "result": self.result,
            "protocol": NO_TARGET,
            "images": len(self.rows),
            "failed": [asdict(failure) for failure in self.failures],
            "summary": summary,
            "rows": [row.to_data() for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpaired:
    """What an evaluation without ground truth found.

    Attributes:
        metrics: what was measured.
        scores: one per dataset and result; datasets in order, results within.
        about: of each result, by its name: method, weights and runtime.
        versions: of everything that decodes or computes.
        notices: what a reader of the figures must know.
        files: the photographs.
    """

    metrics: tuple[Ready, ...]
    scores: tuple[UnpairedScores, ...]
    about: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    notices: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()

    @property
    def failures(self) -> tuple[tuple[str, Failure], ...]:
        """Photographs that could not be measured and why, with the name of their dataset."""
        pairs = ((each.dataset, failure) for each in self.scores for failure in each.failures)
        return tuple(dict.fromkeys(pairs))

    @property
    def exit_code(self) -> int:
        """1 when a picture failed, else 0."""
        return 1 if self.failures else 0

    def to_data(self) -> dict[str, Any]:
        """For JSON; the key order is stable."""
        return {
            "protocol": NO_TARGET,
            "sources": [{"result": result, **about} for result, about in self.about.items()],
            "metrics": [each.to_data() for each in self.metrics],
            "versions": dict(self.versions),
            "notices": list(self.notices),
            "results": [each.to_data() for each in self.scores],
        }


def left_out_notices(
    scores: Sequence[UnpairedScores], metrics: Iterable[Metric]
) -> tuple[str, ...]:
    """Say which photographs the means leave out, and where results differ in that."""
    notices = []
    for dataset in dict.fromkeys(each.dataset for each in scores):
        own = [each for each in scores if each.dataset == dataset]
        if len({frozenset(row.name for row in each.rows) for each in own}) > 1:
            notices.append(f"{dataset}: the results were not measured on the same pictures")
        for metric in metrics:
            undefined = {
                row.name: min(row.width, row.height) < metric.smallest
                for each in own
                for row in each.rows
                if math.isnan(row.figures[metric.name])
            }
            small = sum(undefined.values())
            reasons = {
                f"smaller than its {metric.smallest} px": small,
                "without what it measures": len(undefined) - small,
            }
            for reason, count in reasons.items():
                if count:
                    are = "picture is" if count == 1 else "pictures are"
                    notices.append(
                        f"{dataset}: {metric.name}: {count} {are} {reason} and left out of the mean"
                    )
    return tuple(notices)
