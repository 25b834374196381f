"""Pairs that a text file or a table lists."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rainkit.datasets import parquet
from rainkit.datasets.pairing import CLEAN_FOLDERS, RAINY_FOLDERS, PairFiles, sub_folder
from rainkit.datasets.readers.rows import (
    ReadOptions,
    Row,
    pairs_from_rows,
    read_text,
    swap_if_reversed,
)
from rainkit.errors import DatasetError, PairingError
from rainkit.images import SUFFIXES

__all__ = [
    "SHAPE",
    "meta_info",
    "metadata_table",
    "path_list",
]


_TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_FILE = "file_name"

SHAPE = re.compile(r"\s+\(\d+(?:\s*,\s*\d+)*,?\)(?:\s+\d+)?$")
"""BasicSR's note after a name: the shape ``(480,320,3)`` and perhaps the compression level."""


def path_list(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """Read SPA-Data's lists: text files with a rainy and a clean path in each line.

    The paths are relative to the list's folder. If a split is given, the list of that name is read,
    or else all lists.
    """
    texts = [path for path in sorted(root.glob("*.txt")) if not path.stem.startswith("meta_info")]
    lists = [path for path in texts if split in (None, path.stem) and _is_list(path)]
    if not lists:
        return None
    return pairs_from_rows(
        root, (_row(path, n, line) for path in lists for n, line in _lines(path))
    )


def meta_info(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """Read BasicSR's lists: a clean and a rainy path with a comma, or one name for both folders.

    If a split is given, the list whose name ends in it is read: ``meta_info_train.txt``.
    """
    lists = [
        path
        for path in sorted(root.glob("meta_info*.txt"))
        if split is None or path.stem.endswith(f"_{split}")
    ]
    rainy, clean = sub_folder(root, RAINY_FOLDERS), sub_folder(root, CLEAN_FOLDERS)
    if not lists:
        return None

    def rows() -> Iterator[Row]:
        for path in lists:
            for number, text in _lines(path):
                line = SHAPE.sub("", text)
                names = [name.strip() for name in line.split(",")]
                if len(names) == 2 and all(map(_is_picture, names)):
                    yield swap_if_reversed(Row(path, number, names[1], names[0]))
                elif rainy is not None and clean is not None and _is_picture(line):
                    yield Row(path, number, f"{rainy.name}/{line}", f"{clean.name}/{line}")
                else:
                    raise DatasetError(
                        f"{path}, line {number}: is neither a clean and a rainy path with a comma"
                        " between them, nor the name of a picture in two folders such as gt/ and"
                        " lq/"
                    )

    return pairs_from_rows(root, rows())


def _row(path: Path, number: int, line: str) -> Row:
    names = [name.strip() for name in line.split("\t" if "\t" in line else None)]
    if len(names) != 2:
        raise DatasetError(f"{path}, line {number}: is not two paths with a space between them")
    return swap_if_reversed(Row(path, number, *names))


def _is_list(path: Path) -> bool:
    """Return whether the first line of a text file holds two paths of pictures."""
    try:
        _, line = next(_lines(path), (0, ""))
        return all(map(_is_picture, _row(path, 1, line)[2:]))
    except DatasetError:
        return False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers; only line feeds end lines, as names may hold the others."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.casefold() in SUFFIXES


def metadata_table(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """Read Hugging Face's ImageFolder: ``file_name`` and ``target_file_name`` or a similar column.

    A table lies in the folder itself, or in each of its split folders. Tables of single pictures
    are ignored.
    """
    tables = _tables(root)
    if not tables:
        folders = [f for f in sorted(root.iterdir()) if f.is_dir() and split in (None, f.name)]
        tables, split = [table for folder in folders for table in _tables(folder)], None
    columns = {table: _columns(table) for table in tables}
    if not any(columns.values()):
        return None
    rows = [row for table, names in columns.items() if names for row in _rows(table, *names)]
    return pairs_from_rows(
        root, (r for r in rows if split is None or PurePosixPath(r.rainy).parts[:1] == (split,))
    )


def _tables(folder: Path) -> list[Path]:
    return [folder / name for name in _TABLES if (folder / name).is_file()][:1]


def _columns(table: Path) -> tuple[str, str] | None:
    """Return the names of the rainy and the clean column; None if there is no second picture.

    Raises:
        PairingError: several columns may be the clean one.
    """
    _, first = next(_records(table), (0, {}))
    names = [name for name in first if name == _FILE or name.endswith(f"_{_FILE}")]
    rainy = _first_of(names, RAINY_FOLDERS) or _FILE
    others = [name for name in names if name != rainy]
    clean = _first_of(others, CLEAN_FOLDERS) or (others[0] if len(others) == 1 else "")
    if not clean and _FILE in others:
        clean = _FILE
    if rainy not in names or not others:
        return None
    if not clean:
        raise PairingError(
            f"{table}: which column names the clean pictures? Call it target_{_FILE}"
            f" (there are {', '.join(others)})"
        )
    return rainy, clean


def _first_of(names: Sequence[str], usual: frozenset[str]) -> str:
    return next((name for name in names if name.removesuffix(f"_{_FILE}") in usual), "")


def _rows(table: Path, rainy: str, clean: str) -> Iterator[Row]:
    for number, record in _records(table):
        for column in (rainy, clean):
            if not isinstance(record.get(column), str):
                raise DatasetError(f"{table}, line {number}: {column} names no file")
        yield Row(table, number, record[rainy], record[clean])


def _records(table: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield records with the numbers of their lines, or of their rows in a Parquet file."""
    if table.suffix == ".parquet":
        yield from enumerate(parquet.read_parquet(table), start=1)
    elif table.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(read_text(table)), restkey="")
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise DatasetError(f"{table}, line {reader.line_num}: is not CSV ({error})") from error
    else:
        for number, line in enumerate(read_text(table).split("\n"), start=1):
            if line.strip():
                yield number, _object(table, number, line)


def _object(table: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{table}, line {number}: is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise DatasetError(f"{table}, line {number}: is not a JSON object")
    return row
