"""What papers print, always labelled as published: their tables, and rows beside measured ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rainkit.api import Method, PublishedResult
from rainkit.render.text_tables import TextTable

__all__ = [
    "PaperTable",
    "PublishedRow",
    "paper_tables",
    "published_rows",
    "rows_on",
    "same_dataset",
]

_FIGURES = {"psnr": "PSNR dB", "ssim": "SSIM", "ap": "AP", "seconds": "seconds"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """A published result and the method in whose paper it stands.

    Attributes:
        source: name of the installed method whose paper prints the row.
        title: the paper's name of that method.
        paper: title, venue and year of the paper.
        result: the figures.
    """

    source: str
    title: str
    paper: str
    result: PublishedResult

    @property
    def name(self) -> str:
        """What the row is called: ``GraNet, Table 1``, or ``JORDER, GraNet's Table 1``."""
        who, place = _who(self.result, self.title), self.result.table or "text"
        if self.result.method:
            return f"{who}, {self.title}'s {place}"
        return f"{who if self.title in who else f'{self.title}: {who}'}, {place}"

    @property
    def note(self) -> str:
        """What a reader must know of the row: its training data, and the paper's contradictions."""
        trained = self.result.trained_on
        return "; ".join(filter(None, (trained and f"trained on {trained}", self.result.note)))

    def to_data(self) -> dict[str, Any]:
        """Return the row as plain data for JSON; ``kind`` is always ``published``."""
        about = {"kind": "published", "name": self.name, "source": self.source, "paper": self.paper}
        return about | asdict(self.result) | {"method": _who(self.result, self.title)}


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """A table of a paper: a row per method, a column per dataset.

    Attributes:
        table: title, columns and cells.
        texts: the columns that hold words, not figures.
        notes: lines to show below it.
    """

    table: TextTable
    texts: frozenset[str]
    notes: tuple[str, ...]


def published_rows(methods: Iterable[Method]) -> tuple[PublishedRow, ...]:
    """Return all rows that the papers of these methods print, in their order."""
    return tuple(
        PublishedRow(
            source=method.name,
            title=method.title,
            paper=", ".join(
                str(part)
                for part in (method.paper.title, method.paper.venue, method.paper.year)
                if part
            ),
            result=result,
        )
        for method in methods
        for result in method.paper.results
    )


def rows_on(rows: Iterable[PublishedRow], datasets: Iterable[str]) -> tuple[PublishedRow, ...]:
    """Return the rows that score pictures of one of the measured datasets."""
    measured = tuple(datasets)
    return tuple(
        row
        for row in rows
        if (row.result.psnr or row.result.ssim)
        and any(same_dataset(row.result.dataset, name) for name in measured)
    )


def same_dataset(printed: str, measured: str) -> bool:
    """Return whether a paper's name of a dataset and a folder's name mean the same one.

    Capitals, spaces and signs do not count, nor do the words "test set"; a paper may give a second
    name in brackets.

    >>> same_dataset("Rain-II (Rain100H)", "rain100h")
    True
    """
    names = {_plain(name) for name in (printed, *re.split(r"[()]", printed))}
    return _plain(measured) in names - {""}


def _plain(name: str) -> str:
    short = re.sub(r"\b(test|set|testset)\b", "", name.casefold().replace("_", " "))
    return "".join(letter for letter in short if letter.isalnum())


def paper_tables(method: Method, *, rivals: bool) -> tuple[PaperTable, ...]:
    """Return a paper's tables, with the digits that it prints.

    Args:
        method: the method whose paper it is.
        rivals: show the rows of other methods, too.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[PublishedResult]] = {}
    for result in method.paper.results:
        if rivals or not result.method:
            kinds = tuple(name for name in _FIGURES if getattr(result, name) is not None)
            kinds = ("psnr", "ssim") if "psnr" in kinds else kinds
            groups.setdefault((result.table, kinds), []).append(result)
    return tuple(
        _paper_table(method.title, place, kinds, results)
        for (place, kinds), results in groups.items()
    )


def _paper_table(
    title: str, place: str, kinds: tuple[str, ...], results: list[PublishedResult]
) -> PaperTable:
    told = {"trained on": "trained_on", "device": "device", "parameters": "parameters"}
    shared = [place or "Text", " / ".join(_FIGURES[kind] for kind in kinds) or "parameters"]
    own = {}
    for heading, field in told.items():
        values = {getattr(result, field) for result in results} - {None}
        if len(values) > 1 or (values and heading == "parameters"):
            own[heading] = field
        elif values - {""}:
            shared.append(f"{heading} {values.pop()}")
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for result in results:
        head = (_who(result, title), *(_text(getattr(result, field)) for field in own.values()))
        printed = [str(getattr(result, kind) or "-") for kind in kinds]
        rows.setdefault(head, {})[result.dataset] = " / ".join(printed)
    datasets = tuple(dict.fromkeys(result.dataset for result in results))
    columns = ("method", *own, *datasets)
    cells = ((*head, *(values.get(name, "") for name in datasets)) for head, values in rows.items())
    texts = frozenset({"method", "trained on", "device"} & {*columns})
    heading = ": ".join([shared[0], "; ".join(shared[1:])])
    return PaperTable(
        table=TextTable(heading, columns, tuple(cells)),
        texts=texts,
        notes=tuple(_notes(title, results)),
    )


def _notes(title: str, results: Sequence[PublishedResult]) -> Iterator[str]:
    """Yield every note once, with the rows or the columns that it is about."""
    every = [(_who(result, title), result.dataset) for result in results]
    about: dict[str, list[tuple[str, str]]] = {}
    for place, result in zip(every, results, strict=True):
        for note in filter(None, result.note.split("; ")):
            about.setdefault(note, []).append(place)
    for note, places in about.items():
        methods, datasets = ({*side} for side in zip(*places, strict=True))
        if set(places) == set(every):
            yield note
        elif all(place in places for place in every if place[1] in datasets):
            yield f"{', '.join(dict.fromkeys(name for _, name in places))}: {note}"
        elif all(place in places for place in every if place[0] in methods):
            yield f"{', '.join(dict.fromkeys(name for name, _ in places))}: {note}"
        else:
            where = dict.fromkeys(f"{who} on {dataset}" for who, dataset in places)
            yield f"{', '.join(where)}: {note}"


def _who(result: PublishedResult, title: str) -> str:
    if not result.method:
        return result.variant or title
    return ": ".join(filter(None, (result.method, result.variant)))


def _text(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value or ""
