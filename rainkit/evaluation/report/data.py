"""Data of an evaluation's report: its scores, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from rainkit.datasets.image_ref import ImageRef
from rainkit.errors import DatasetError, UsageError
from rainkit.evaluation.scores import Comparison, Score, Scores
from rainkit.published import PublishedRow, rows_on

__all__ = [
    "EvalReport",
    "EvalResult",
    "PanelPictures",
    "about_results",
    "report_of",
]

RGB8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class PanelPictures:
    """The pictures behind one score, HWC uint8 RGB of equal size."""

    restored: RGB8
    target: RGB8
    rainy: RGB8 | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalResult:
    """The scores of one method on one dataset under one protocol.

    Attributes:
        method: its name in tables; the same name is the same row and colour everywhere.
        scores: one row per picture.
        load: returns the pictures behind the score of a name. It is called only for those that a
            page shows, and may raise a RainkitError, which the page then shows. None if the page
            shows no pictures of this result.
        part_of: the method that this is a part of. Parts are in tables, but not ranked, and their
            names begin with the method's. None for the method itself.
        of_rain: whether the pictures are of rain and scored against the rain itself.
        average: ``mean`` or ``median`` and the number of frames, if these are averages of frames.
        parameters: number of trainable parameters; None if no network made the pictures.
    """

    method: str
    scores: Scores
    load: Callable[[str], PanelPictures] | None = None
    part_of: str | None = None
    of_rain: bool = False
    average: tuple[str, int] | None = None
    parameters: int | None = None

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.scores.dataset

    @property
    def protocol(self) -> str:
        """Name and version of the protocol, such as ``prenet/1``."""
        return self.scores.protocol.label

    @property
    def pictures(self) -> tuple[Score, ...]:
        """The scores of the pictures."""
        return self.scores.rows


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalReport:
    """All that the page, tables and plots of an evaluation show.

    Attributes:
        title: the page's heading.
        results: in the order of the tables. Plots and pictures show the protocol of the first one,
            tables show all protocols.
        facts: versions, weights and devices, by what they belong to.
        published: rows from papers.
        notes: what a reader of the figures must know.
        failures: pairs of a picture that could not be scored and the reason.
    """

    title: str
    results: tuple[EvalResult, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    published: tuple[PublishedRow, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods, each once, in order, without parts."""
        return tuple(dict.fromkeys(each.method for each in self.results if each.part_of is None))

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names of the datasets, each once, in order."""
        return tuple(dict.fromkeys(each.dataset for each in self.results))

    @property
    def protocols(self) -> dict[str, str]:
        """What defines each protocol, in words, by its name and version."""
        return {
            each.protocol: "; ".join(
                f"{key} {value}" for key, value in each.scores.protocol.parameters.items()
            )
            for each in self.results
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """Names and versions of the protocols, each once, in order."""
        return tuple(dict.fromkeys(each.protocol for each in self.results))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the further metrics, each once, in order."""
        firsts = (row for each in self.results for row in each.pictures[:1])
        return tuple(dict.fromkeys(name for row in firsts for name, _ in row.extras))

    def under(self, protocol: str) -> tuple[EvalResult, ...]:
        """Return the results of one protocol, parts among them."""
        return tuple(each for each in self.results if each.protocol == protocol)

    @property
    def leading(self) -> tuple[EvalResult, ...]:
        """The results that plots and pictures show: of the first protocol, without parts."""
        return tuple(
            each for each in self.under(self.labels[0] if self.labels else "") if not each.part_of
        )


def report_of(
    comparisons: Sequence[Comparison],
    published: Sequence[PublishedRow] = (),
    notices: Sequence[str] = (),
) -> EvalReport:
    """Return several evaluations as one report, in their order.

    Args:
        comparisons: what was measured.
        published: rows from papers; those on other datasets are left out.
        notices: what a reader of the figures must know beside what the comparisons say.

    Raises:
        UsageError: two of them have the same name and dataset.
    """
    places = [
        (each.restored, scores.dataset, scores.protocol)
        for each in comparisons
        for scores in each.scores
    ]
    if len(set(places)) < len(places):
        names = ", ".join(each.restored for each in comparisons)
        raise UsageError(f"{names}: two results of one name cannot be told apart")
    whole = [each for each in comparisons if each.part_of is None]
    versions: dict[str, str] = {}
    for comparison in whole:
        versions |= comparison.about.get("versions", {})
    results = tuple(
        EvalResult(
            method=comparison.restored,
            scores=scores,
            load=_loader(comparison, scores.dataset),
            part_of=comparison.part_of,
            of_rain=comparison.about.get("estimates") == "rain",
            average=_average(comparison, scores.dataset),
            parameters=comparison.about.get("parameters"),
        )
        for comparison in comparisons
        for scores in comparison.scores
    )
    datasets = dict.fromkeys(each.dataset for each in results)
    shown = rows_on(published, datasets)
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    return EvalReport(
        title=f"{', '.join(each.restored for each in whole)} on {', '.join(datasets)}",
        results=results,
        facts={
            "Made with": made,
            **about_results(comparisons),
            **{f"{row.title}'s paper": row.paper for row in shown},
        },
        published=shown,
        notes=tuple(
            dict.fromkeys([*notices, *(note for each in comparisons for note in each.notices)])
        ),
        failures=tuple(
            (f"{comparison.restored}: {dataset}/{failure.name}", failure.reason)
            for comparison in whole
            for dataset, failure in comparison.failures
        ),
    )


def about_results(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Return what made each method's result, in words, by the result's name."""
    return {
        each.restored: f"{weights['name']}, SHA-256 {weights['sha256'][:12]},"
        f" {each.about['runtime']}"
        for each in comparisons
        if each.part_of is None and (weights := each.about.get("weights")) is not None
    }


def _average(comparison: Comparison, dataset: str) -> tuple[str, int] | None:
    about = comparison.about.get("average")
    if about is None:
        return None
    frames = about["frames"] or about.get("frames_of_a_scene", {}).get(dataset)
    return None if frames is None else (about["by"], frames)


def _loader(comparison: Comparison, dataset: str) -> Callable[[str], PanelPictures] | None:
    files: dict[str, dict[str, ImageRef]] = {}
    for each in comparison.files:
        if each.dataset == dataset:
            files.setdefault(each.picture, {})[each.role] = each.stored
    whole = all({"restored", "target"} <= roles.keys() for roles in files.values())
    return partial(_load, files) if whole and files else None


def _load(files: dict[str, dict[str, ImageRef]], name: str) -> PanelPictures:
    if name not in files:
        raise DatasetError(f"{name}: its files are not known")
    read = {role: np.asarray(stored.read(), np.uint8) for role, stored in files[name].items()}
    return PanelPictures(read["restored"], read["target"], read.get("rainy"))
