"""Reading back the ``metrics.json`` that an evaluation wrote."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)

from rainkit.errors import DatasetError, UsageError
from rainkit.evaluation.protocols import Protocol
from rainkit.evaluation.scores import Score

__all__ = ["StoredMetric", "StoredResult", "read", "same_protocol"]


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
    psnr: float | None
    ssim: float | None
    input_psnr: float | None = None
    input_ssim: float | None = None
    milliseconds: float | None = None
    extras: dict[str, float | None] = field(default_factory=dict)
    input_extras: dict[str, float | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def score(self) -> Score:
        """JSON has neither inf nor NaN; the notes say which a null is."""
        before = self._number("input_psnr", self.input_psnr)
        has_input = self.input_psnr is not None or before == math.inf
        return Score(
            name=self.name,
            width=self.width,
            height=self.height,
            psnr=self._number("psnr", self.psnr),
            ssim=_number(self.ssim),
            input_psnr=before if has_input else None,
            input_ssim=_number(self.input_ssim) if has_input else None,
            milliseconds=self.milliseconds,
            extras=_pairs(self.extras),
            input_extras=_pairs(self.input_extras),
        )

    def _number(self, name: str, value: float | None) -> float:
        infinite = any(note.startswith(f"{name} is infinite") for note in self.notes)
        return math.inf if value is None and infinite else _number(value)


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


def _pairs(values: Mapping[str, float | None]) -> tuple[tuple[str, float], ...]:
    return tuple((name, _number(value)) for name, value in values.items())


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _not_one(file: Path, why: str) -> DatasetError:
    reason = " ".join(why.split())
    return DatasetError(
        f"{file}: not a metrics.json of rainkit eval ({reason}); give one that"
        " rainkit eval --output wrote"
    )
