"""The files of an evaluation: writing per_image.csv, metrics.json and table.md, and reading."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from rainkit.evaluation.report.data import EvalReport, report_of
from rainkit.evaluation.report.means import (
    SummaryTable,
    emphasised,
    eval_markdown,
    labelled,
    summary,
)
from rainkit.evaluation.scores import Comparison, Score, SourceFile
from rainkit.files import system_reason
from rainkit.published import PublishedRow
from rainkit.render.text_tables import TextTable, json_text, write_texts

__all__ = [
    "COLUMNS",
    "FILES",
    "StoredMetric",
    "StoredResult",
    "file_data",
    "read",
    "same_protocol",
    "table_rows",
    "tables",
    "write",
]


_SHOWN = {"psnr": "PSNR dB", "ssim": "SSIM", "psnr_gain": "gain dB", "ssim_gain": "gain SSIM"}
COLUMNS = ("dataset", "images", "result", *_SHOWN.values())
"""The headings of :func:`tables`."""

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
FILES = ("per_image.csv", "metrics.json", "table.md")
"""The files that :func:`write` makes."""


def tables(
    *comparisons: Comparison, published: Sequence[PublishedRow] = ()
) -> tuple[TextTable, ...]:
    """Return one table per protocol, datasets in order, the input's row first.

    Several datasets end in their mean, every dataset counting alike, as the papers do. The best
    result is ``**bold**`` and the second best ``<ins>underlined</ins>``.
    """
    report = report_of(comparisons, published)
    protocols = {each.protocol: each.scores.protocol for each in report.results}
    return tuple(
        TextTable(
            f"Protocol {label}: PSNR and SSIM on {protocol.channel}",
            COLUMNS,
            tuple(table_rows(summary(report, label), sets=len(report.datasets))),
        )
        for label, protocol in protocols.items()
    )


def table_rows(table: SummaryTable, sets: int = 1) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a summary under :data:`COLUMNS`; a dataset is named in its first row.

    Args:
        table: the summary.
        sets: the number of datasets behind a mean.
    """
    places = {column.name: place for place, column in enumerate(table.columns)}
    for dataset in table.datasets:
        rows = [row for row in table.rows if row.dataset == dataset]
        head = (dataset, f"{sets} sets" if rows[0].count is None else str(rows[0].count))
        for row in rows:
            cells = (
                emphasised(row.cells[places[name]]) if name in places else "" for name in _SHOWN
            )
            yield (*head, labelled(row.method, row.kind), *cells)
            head = ("", "")


def write(
    comparisons: Sequence[Comparison],
    folder: Path,
    *,
    report: EvalReport | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write ``per_image.csv``, ``metrics.json`` and ``table.md``.

    Of several comparisons, metrics.json holds a list of them (``comparisons``).

    Args:
        comparisons: what was measured.
        folder: is made if it is missing.
        report: what table.md shows; None for the comparisons alone.
        overwrite: replace files that are there.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
    """
    table = eval_markdown(report_of(comparisons) if report is None else report)
    printed = report.published if report is not None else ()
    texts = (_csv(comparisons), _json(comparisons, printed), table)
    return write_texts(folder, dict(zip(FILES, texts, strict=True)), overwrite=overwrite)


def _csv(comparisons: Sequence[Comparison]) -> str:
    """Return a line per result, picture and protocol; what is undefined is empty."""
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
        for name, _ in row.rain_attributes
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
                values += [dict(row.rain_attributes).get(name) for name in known]
                cells = ["" if value is None or value != value else value for value in values]
                head = (comparison.restored, scores.dataset, scores.protocol.label)
                writer.writerow([*head, *cells])
    return text.getvalue()


def _json(comparisons: Sequence[Comparison], published: Sequence[PublishedRow]) -> str:
    found = [
        each.to_data() | {"files": [file_data(source) for source in each.files]}
        for each in comparisons
    ]
    data = found[0] if len(found) == 1 else {"comparisons": found}
    if published:
        data |= {"published": [row.to_data() for row in published]}
    return json_text(data)


def file_data(source: SourceFile) -> dict[str, Any]:
    """Return a file as data with its hash, so that figures can be traced to pictures.

    The hash is null if the file cannot be read. Both halves of a side-by-side picture have the
    hash of their file.
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
    """What defines the figures of a further metric; only equal ones can be compared.

    Attributes:
        name: the key of its figures.
        label: name and version, as printed.
        higher_is_better: which way is better; None for neither.
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
        file: the file it was read from.
        place: position of the comparison in the file, from 0, since a name may be there twice.
        restored: name of the method or folder.
        dataset: name of the dataset.
        protocol: name and version, such as ``prenet/1``.
        parameters: all that the file says of the protocol.
        rows: a score for each picture, by its name.
        targets: SHA-256 of the pictures' targets, as far as they are known.
        metrics: the metrics of the extras in the rows, by name.
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
    """Read all results of a file, in its order, without parts of methods.

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
        raise _not_one(file, system_reason(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        # The first part says which of the two kinds of file it was taken for.
        where = ".".join(map(str, first["loc"][1:]))
        raise _not_one(file, f"{where}: {first['msg']}" if where else first["msg"]) from error


def same_protocol(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether two protocols' parameters give comparable figures.

    A parameter that only one of them has is fixed by the protocol's version, and ``source`` is
    prose.
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
