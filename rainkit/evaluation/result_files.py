"""The files of an evaluation: per_image.csv, metrics.json and table.md, written and read back."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)

from rainkit.errors import DatasetError, RainkitError, UsageError
from rainkit.evaluation.metrics.protocols import Protocol
from rainkit.evaluation.report.means import (
    Cell,
    Column,
    Kind,
    SummaryRow,
    emphasised,
    marked,
    shown,
)
from rainkit.evaluation.scores import Comparison, Score, Scores, SourceFile, Summary
from rainkit.render.text_tables import TextTable, json_text, markdown_row, write_texts

__all__ = [
    "COLUMNS",
    "FILES",
    "StoredMetric",
    "StoredResult",
    "about_results",
    "file_data",
    "markdown",
    "read",
    "same_protocol",
    "score_rows",
    "tables",
    "write",
]


_FIGURES = (
    Column(name="psnr", title="PSNR dB", form=".2f"),
    Column(name="ssim", title="SSIM", form=".4f"),
    Column(name="psnr_gain", title="gain dB", form="+.2f"),
    Column(name="ssim_gain", title="gain SSIM", form="+.4f"),
)
COLUMNS = ("dataset", "images", "result", *(column.title for column in _FIGURES))

_PER_IMAGE = (
    "dataset",
    "protocol",
    "name",
    "width",
    "height",
    "psnr",
    "ssim",
    "input_psnr",
    "input_ssim",
    "psnr_gain",
    "ssim_gain",
    "milliseconds",
)
_QUANTITIES = ("psnr", "ssim", "input_psnr", "input_ssim", "psnr_gain", "ssim_gain")
FILES = ("per_image.csv", "metrics.json", "table.md")
"""What :func:`write` makes."""


def tables(*comparisons: Comparison) -> tuple[TextTable, ...]:
    """One table per protocol, datasets in order: the input's row first, then those of the results.

    Several datasets end in their mean, every dataset counting alike, as the papers do.
    """
    protocols = dict.fromkeys(s.protocol for each in comparisons for s in each.scores)
    return tuple(
        _table(
            protocol,
            {
                each.restored: [s for s in each.scores if s.protocol == protocol]
                for each in comparisons
            },
            {each.restored for each in comparisons if each.part_of is not None},
        )
        for protocol in protocols
    )


def markdown(*comparisons: Comparison) -> str:
    """The tables as Markdown, with what defines and qualifies their figures."""
    lines: list[str] = []
    for table in tables(*comparisons):
        lines += [f"**{table.title}**", "", markdown_row(COLUMNS)]
        lines += ["|---|--:|---|--:|--:|--:|--:|", *map(markdown_row, table.rows), ""]
    for protocol in dict.fromkeys(s.protocol for each in comparisons for s in each.scores):
        parameters = "; ".join(f"{key} {value}" for key, value in protocol.parameters.items())
        lines.append(f"Protocol {protocol.label}: {parameters}.")
    versions: dict[str, str] = {}
    for each in comparisons:
        versions |= each.about.get("versions", {})
    lines.append(
        "Made with " + ", ".join(f"{key} {value}" for key, value in versions.items()) + "."
    )
    lines += [f"{line}." for line in about_results(comparisons).values()]
    notices = dict.fromkeys(notice for each in comparisons for notice in each.notices)
    whole = [each for each in comparisons if each.part_of is None]
    failures = dict.fromkeys(failure for each in whole for failure in each.failures)
    lines += [f"Note: {notice}." for notice in notices]
    lines += [f"Not scored: {dataset}/{each.name}: {each.reason}" for dataset, each in failures]
    return "\n".join(lines) + "\n"


def about_results(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """What made each result that a method made, in words, by its name."""
    return {
        each.restored: f"{each.restored}: {weights['name']}, SHA-256 {weights['sha256'][:12]},"
        f" {each.about['runtime']}"
        for each in comparisons
        if each.part_of is None and (weights := each.about.get("weights")) is not None
    }


def write(
    comparisons: Sequence[Comparison], folder: Path, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write ``per_image.csv``, ``metrics.json`` and ``table.md``.

    Of several comparisons, metrics.json holds a list of them (``comparisons``).

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
    """
    texts = (_csv(comparisons), _json(comparisons), markdown(*comparisons))
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def score_rows(
    name: str, found: Mapping[str, Scores], parts: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """Rows of means under :data:`COLUMNS`: the input's, where there is one, and each result's.

    The best result is ``**bold**`` and the second best ``<ins>underlined</ins>``.

    Args:
        name: of the dataset or group, which stands in the first row.
        found: scores by the results' names.
        parts: names of those that are parts of methods, and not ranked.
    """
    means = {
        restored: (str(len(each.rows)), {q: each.summary(q).mean for q in _QUANTITIES})
        for restored, each in found.items()
    }
    return _rows(name, means, parts)


def _table(
    protocol: Protocol, found: Mapping[str, Sequence[Scores]], parts: Collection[str]
) -> TextTable:
    """Of one protocol, the scores of each result by its name."""
    rows: list[tuple[str, ...]] = []
    datasets = dict.fromkeys(each.dataset for scores in found.values() for each in scores)
    for dataset in datasets:
        here = {
            restored: each
            for restored, scores in found.items()
            for each in scores
            if each.dataset == dataset
        }
        rows += score_rows(dataset, here, parts)
    if len(datasets) > 1:
        means = {
            restored: (
                f"{len(scores)} sets",
                {
                    name: Summary.of([each.summary(name).mean for each in scores]).mean
                    for name in _QUANTITIES
                },
            )
            for restored, scores in found.items()
        }
        rows += _rows("mean", means, parts)
    title = f"Protocol {protocol.label}: PSNR and SSIM on {protocol.channel}"
    return TextTable(title, COLUMNS, tuple(rows))


def _rows(
    dataset: str,
    found: Mapping[str, tuple[str, Mapping[str, float]]],
    parts: Collection[str],
) -> list[tuple[str, ...]]:
    """The input's row, where there is an input, and one for each result."""
    summaries: list[SummaryRow] = []
    counts = []
    for restored, (count, means) in found.items():
        with_input = not math.isnan(means["input_psnr"])
        if with_input and not summaries:
            before = (means["input_psnr"], means["input_ssim"], None, None)
            summaries.append(_summary("input", dataset, "input", before))
            counts.append(count)
        gains = (means["psnr_gain"], means["ssim_gain"]) if with_input else (None, None)
        kind: Kind = "part" if restored in parts else "measured"
        figures = (means["psnr"], means["ssim"], *gains)
        summaries.append(_summary(restored, dataset, kind, figures))
        counts.append(count)
    rows = []
    for place, row in enumerate(marked(summaries, _FIGURES)):
        head = ("", "") if place else (dataset, counts[0])
        rows.append((*head, row.method, *map(emphasised, row.cells)))
    return rows


def _summary(result: str, dataset: str, kind: Kind, values: Sequence[float | None]) -> SummaryRow:
    cells = (Cell(v, shown(v, c.form)) for v, c in zip(values, _FIGURES, strict=True))
    return SummaryRow(method=result, dataset=dataset, kind=kind, cells=tuple(cells))


def _csv(comparisons: Sequence[Comparison]) -> str:
    """One line per result, picture and protocol; infinite PSNR as inf, what is not as nothing."""
    extras = dict.fromkeys(
        name
        for comparison in comparisons
        for scores in comparison.scores
        for row in scores.rows[:1]
        for name, _ in row.extras
    )
    known = dict.fromkeys(
        name
        for comparison in comparisons
        for scores in comparison.scores
        for row in scores.rows
        for name, _ in row.conditions
    )
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["result", *_PER_IMAGE, *extras, *known])
    for comparison in comparisons:
        for scores in comparison.scores:
            for row in scores.rows:
                own = dict(row.extras)
                values = [getattr(row, name) for name in _PER_IMAGE[2:]]
                values += [own.get(name) for name in extras]
                values += [dict(row.conditions).get(name) for name in known]
                cells = ["" if value is None or value != value else value for value in values]
                head = (comparison.restored, scores.dataset, scores.protocol.label)
                writer.writerow([*head, *cells])
    return text.getvalue()


def _json(comparisons: Sequence[Comparison]) -> str:
    found = [
        each.to_data() | {"files": [file_data(source) for source in each.files]}
        for each in comparisons
    ]
    data = found[0] if len(found) == 1 else {"comparisons": found}
    return json_text(data)


def file_data(source: SourceFile) -> dict[str, Any]:
    """With its hash, so that figures can be traced to pictures; null for an unreadable one.

    A picture side by side with another has the hash of the file of both.
    """
    try:
        with source.stored.open() as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
    except (OSError, RainkitError):
        sha256 = None
    path = str(source.stored)
    place = {"dataset": source.dataset, "picture": source.picture, "role": source.role}
    return place | {"path": path, "sha256": sha256}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMetric:
    """What defines the figures of a further metric; figures of different ones do not compare.

    Attributes:
        name: the key of its figures.
        label: name and version, as printed.
        higher_is_better: which way is better; None = neither.
        weights: SHA-256 of the files it needed, by name.
    """

    name: str
    label: str
    higher_is_better: bool | None = None
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResult:
    """One result on one dataset under one protocol.

    Attributes:
        file: it was read from.
        place: of the comparison in the file, from 0; a name may stand there twice.
        restored: name of the method or folder.
        dataset: name of the dataset.
        protocol: name and version, such as ``prenet/1``.
        parameters: all that the file says of the protocol.
        rows: a score for each picture, by its name.
        targets: SHA-256 of the pictures' targets, as far as they are known.
        metrics: of the extras in the rows, by name.
    """

    file: Path
    place: int
    restored: str
    dataset: str
    protocol: str
    parameters: Mapping[str, Any]
    rows: Mapping[str, Score]
    targets: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, StoredMetric] = field(default_factory=dict)


def read(path: Path) -> tuple[StoredResult, ...]:
    """All results of a file, in its order; parts of methods are left out.

    Args:
        path: a ``metrics.json``, or the folder it lies in.

    Raises:
        UsageError: there is no such file.
        DatasetError: it cannot be read, or is not what ``rainkit eval`` wrote.
    """
    file = path / "metrics.json" if path.is_dir() else path
    try:
        found = _adapter().validate_json(file.read_bytes())
        comparisons = found.comparisons if isinstance(found, _Several) else (found,)
        return tuple(
            result
            for place, comparison in enumerate(comparisons)
            if comparison.part_of is None
            for result in _results(file, place, comparison)
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"{file} does not exist; give a metrics.json that rainkit eval --output wrote"
        ) from error
    except OSError as error:
        raise _not_one(file, error.strerror or str(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # The first part says which of the two kinds of file it was taken for.
        where = ".".join(map(str, first["loc"][1:]))
        raise _not_one(file, f"{where}: {first['msg']}" if where else first["msg"]) from error


def same_protocol(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two protocols' parameters give comparable figures.

    A parameter that one of the files lacks is as the protocol's version says: files of older
    rainkits hold fewer of them. Whose scripts a protocol follows is prose.
    """
    return all(a[key] == b[key] for key in (a.keys() & b.keys()) - {"source"})


_Figure = float | Literal["inf", "-inf"] | None
"""A figure as :func:`rainkit.evaluation.scores.stored` writes it."""

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_PARAMETERS = {"name": str, "version": int, "crop_border": int}


def _named(parameters: dict[str, Any]) -> dict[str, Any]:
    # Files of before borders could be cut off do not say that there is none.
    found = {"crop_border": 0} | parameters
    for key, kind in _PARAMETERS.items():
        if not isinstance(found.get(key), kind):
            raise ValueError(f"{key} is missing or no {kind.__name__}")
    return parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    width: int
    height: int
    psnr: _Figure
    ssim: _Figure
    input_psnr: _Figure = None
    input_ssim: _Figure = None
    milliseconds: float | None = None
    extras: dict[str, _Figure] = field(default_factory=dict)
    input_extras: dict[str, _Figure] = field(default_factory=dict)

    def score(self) -> Score:
        has_input = self.input_psnr is not None
        return Score(
            name=self.name,
            width=self.width,
            height=self.height,
            psnr=_number(self.psnr),
            ssim=_number(self.ssim),
            input_psnr=_number(self.input_psnr) if has_input else None,
            input_ssim=_number(self.input_ssim) if has_input else None,
            milliseconds=self.milliseconds,
            extras=_pairs(self.extras),
            input_extras=_pairs(self.input_extras),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    dataset: str
    protocol: Annotated[dict[str, Any], AfterValidator(_named)]
    rows: tuple[_Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    dataset: str
    role: str
    sha256: str | None
    picture: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Comparison:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    restored: str
    part_of: str | None = None
    results: Annotated[tuple[_Result, ...], Field(min_length=1)]
    metrics: tuple[StoredMetric, ...] = ()
    files: tuple[_File, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Several:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    comparisons: Annotated[tuple[_Comparison, ...], Field(min_length=1)]


def _kind(data: Any) -> str:
    return "several" if isinstance(data, dict) and "comparisons" in data else "one"


_Whole = Annotated[
    Annotated[_Comparison, Tag("one")] | Annotated[_Several, Tag("several")],
    Discriminator(_kind),
]


@cache
def _adapter() -> TypeAdapter[_Comparison | _Several]:
    return TypeAdapter(_Whole)


def _results(file: Path, place: int, comparison: _Comparison) -> Iterable[StoredResult]:
    metrics = {each.name: each for each in comparison.metrics}
    seen = set()
    for result in comparison.results:
        rows = {row.name: row.score() for row in result.rows}
        label = _label(result.protocol)
        if len(rows) < len(result.rows):
            raise _not_one(file, f"two rows of {result.dataset} have one name")
        if (result.dataset, label) in seen:
            raise _not_one(file, f"{result.dataset} is there twice under {label}")
        seen.add((result.dataset, label))
        yield StoredResult(
            file=file,
            place=place,
            restored=comparison.restored,
            dataset=result.dataset,
            protocol=label,
            parameters=result.protocol,
            rows=rows,
            targets=_targets(comparison, result),
            metrics=metrics,
        )


def _label(parameters: Mapping[str, Any]) -> str:
    return Protocol(
        name=parameters["name"],
        version=parameters["version"],
        source="",
        crop=parameters.get("crop_border", 0),
    ).label


def _targets(comparison: _Comparison, result: _Result) -> dict[str, str]:
    files = [
        file
        for file in comparison.files
        if file.role == "target" and file.dataset == result.dataset
    ]
    names = [file.picture for file in files]
    if None in names:
        # Files are in the order of the pictures; which one failed is not said.
        names = [row.name for row in result.rows]
        if len(names) != len(files):
            return {}
    return {
        name: file.sha256
        for name, file in zip(names, files, strict=True)
        if name is not None and file.sha256 is not None
    }


def _pairs(values: Mapping[str, _Figure]) -> tuple[tuple[str, float], ...]:
    return tuple((name, _number(value)) for name, value in values.items())


def _number(value: _Figure) -> float:
    return math.nan if value is None else float(value)


def _not_one(file: Path, why: str) -> DatasetError:
    reason = " ".join(why.split())
    return DatasetError(
        f"{file}: not a metrics.json of rainkit eval ({reason}); give one that"
        " rainkit eval --output wrote"
    )
