"""The figures of a downstream run, as data, as tables, and as files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rainkit.evaluation.downstream import detection, segmentation
from rainkit.evaluation.scores import Failure
from rainkit.render import text_tables
from rainkit.render.text_tables import finite, json_text, write_texts

__all__ = [
    "CLEAN",
    "COLUMNS",
    "FIGURES",
    "FILES",
    "INPUT",
    "Downstream",
    "Row",
    "latex",
    "markdown",
    "recovered",
    "write",
]

FIGURES: Mapping[str, tuple[str, ...]] = {
    "detection": detection.FIGURES,
    "segmentation": segmentation.FIGURES,
}
"""Names of the figures of each task; the first one is the main figure."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    task: ("dataset", "result", "images", *(c for f in figures for c in (f"{f} %", "recovered %")))
    for task, figures in FIGURES.items()
}
"""Headings of the table of each task."""

FILES = ("downstream.md", "downstream.json", "downstream.tex")
"""Files that :func:`write` makes."""

INPUT, CLEAN = "input", "clean"
_TEXTS = 2
_WHAT = {
    "detection": (
        "AP is the mean average precision over the overlaps .50 to .95, AP50 and AP75 are at one"
        " overlap, as pycocotools computes them"
    ),
    "segmentation": (
        "mIoU is the mean over classes of intersection over union of all pixels of the dataset,"
        " accuracy the share of pixels that are right"
    ),
}
_RECOVERED = (
    "recovered is (result - input) / (clean - input): 100 if the model does as well as on the clean"
    " pictures, 0 if deraining does not help, less if it harms; n/a where rain costs nothing"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The model's figures on one kind of pictures of a dataset.

    Attributes:
        dataset: name of the dataset.
        result: ``input``, ``clean``, or the name of a restored result.
        images: number of pictures.
        figures: figures by name, 0 to 1; NaN if undefined.
        recovered: the share of the loss by rain that a restored result recovers, by figure; NaN if
            the figure is no higher on the clean pictures than on the input.
    """

    dataset: str
    result: str
    images: int
    figures: Mapping[str, float]
    recovered: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Downstream:
    """The result of a downstream run.

    Attributes:
        task: ``detection`` or ``segmentation``.
        model: ``name``, ``sha256`` and ``runtime``.
        truth: ``labels``, or ``agreement`` with the model's own answer on the clean picture.
        rows: the rows of every dataset: the input, the results, the clean pictures.
        failures: pictures left out of all rows, with the name of their dataset.
        notices: what a reader of the figures must know.
        about: what defines the figures, and the versions of what computed them.
    """

    task: str
    model: Mapping[str, str]
    truth: str
    rows: tuple[Row, ...]
    failures: tuple[tuple[str, Failure], ...] = ()
    notices: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of :attr:`cells`."""
        return COLUMNS[self.task]

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Table as text; only the first row of a dataset has its name and number of pictures."""
        rows, last = [], None
        for row in self.rows:
            first, last = row.dataset != last, row.dataset
            cells = [row.dataset if first else "", row.result, str(row.images) if first else ""]
            for name in FIGURES[self.task]:
                cells.append(_percent(row.figures[name]))
                cells.append(_percent(row.recovered[name]) if name in row.recovered else "")
            rows.append(tuple(cells))
        return tuple(rows)

    @property
    def title(self) -> str:
        """Title of the table."""
        truth = "labels" if self.truth == "labels" else "its own answer on the clean pictures"
        return f"Downstream {self.task}: {self.model['name']} against {truth}"

    def to_data(self) -> dict[str, Any]:
        """Return everything for JSON, with null for NaN, in a stable order of keys."""
        return {
            "task": self.task,
            "model": dict(self.model),
            "truth": self.truth,
            **self.about,
            "notices": list(self.notices),
            "failed": [{"dataset": dataset, **asdict(each)} for dataset, each in self.failures],
            "rows": [
                {
                    "dataset": row.dataset,
                    "result": row.result,
                    "images": row.images,
                    "figures": {name: finite(each) for name, each in row.figures.items()},
                    "recovered": {name: finite(each) for name, each in row.recovered.items()},
                }
                for row in self.rows
            ],
        }


def recovered(result: float, rainy: float, clean: float) -> float:
    """Return the share of the loss by rain that a result recovers; NaN if rain costs nothing."""
    return (result - rainy) / (clean - rainy) if clean > rainy else math.nan


def markdown(found: Downstream) -> str:
    """Return the table as Markdown, with what defines and qualifies its figures."""
    table = text_tables.markdown(found.columns, found.cells, _TEXTS)
    lines = [f"**{found.title}**", "", *table, ""]
    lines.append(f"{_WHAT[found.task]}; {_RECOVERED}.")
    lines.append(f"Model {found.model['name']}, SHA-256 {found.model['sha256']}.")
    versions = found.about.get("versions", {})
    lines.append("Made with " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".")
    lines += [f"Note: {notice}." for notice in found.notices]
    lines += [f"Left out: {dataset}/{each.name}: {each.reason}" for dataset, each in found.failures]
    return "\n".join(lines) + "\n"


def latex(found: Downstream) -> str:
    """Return the table as LaTeX for the package booktabs, with thin rules between datasets."""
    starts = [number for number, cells in enumerate(found.cells) if cells[0] and number]
    lines = text_tables.latex(found.columns, found.cells, _TEXTS, rules=starts)
    return "\n".join(lines) + "\n"


def write(found: Downstream, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write :data:`FILES` to a folder, which is made if it does not exist, and return their paths.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
    """
    texts = (markdown(found), json_text(found.to_data()), latex(found))
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def _percent(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{100 * value:.1f}"
