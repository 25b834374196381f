"""Pairs that a table lists: Hugging Face's ``metadata.jsonl``, ``.csv`` or ``.parquet``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rainkit.datasets.matching import CLEAN_FOLDERS, RAINY_FOLDERS, PairFiles
from rainkit.datasets.readers.options import ReadOptions
from rainkit.datasets.readers.rows import Row, pairs_of, text_of
from rainkit.errors import DatasetError, PairingError

__all__ = ["metadata_table"]

_TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_FILE = "file_name"


def metadata_table(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """ImageFolder: ``file_name`` and ``target_file_name``, or another column of a usual name.

    A table lies in the folder itself, or in each of its split folders. Tables of single pictures
    are left alone.
    """
    tables = _tables(root)
    if not tables:
        folders = [f for f in sorted(root.iterdir()) if f.is_dir() and split in (None, f.name)]
        tables, split = [table for folder in folders for table in _tables(folder)], None
    columns = {table: _columns(table) for table in tables}
    if not any(columns.values()):
        return None
    rows = [row for table, names in columns.items() if names for row in _rows(table, *names)]
    return pairs_of(
        root, (r for r in rows if split is None or PurePosixPath(r.rainy).parts[:1] == (split,))
    )


def _tables(folder: Path) -> list[Path]:
    return [folder / name for name in _TABLES if (folder / name).is_file()][:1]


def _columns(table: Path) -> tuple[str, str] | None:
    """Names of the rainy and of the clean column; None if it names no second picture.

    Raises:
        PairingError: several columns may be the clean one.
    """
    _, first = next(_records(table), (0, {}))
    names = [name for name in first if name == _FILE or name.endswith(f"_{_FILE}")]
    rainy = _of(names, RAINY_FOLDERS) or _FILE
    others = [name for name in names if name != rainy]
    clean = _of(others, CLEAN_FOLDERS) or (others[0] if len(others) == 1 else "")
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


def _of(names: Sequence[str], usual: frozenset[str]) -> str:
    return next((name for name in names if name.removesuffix(f"_{_FILE}") in usual), "")


def _rows(table: Path, rainy: str, clean: str) -> Iterator[Row]:
    for number, record in _records(table):
        for column in (rainy, clean):
            if not isinstance(record.get(column), str):
                raise DatasetError(f"{table}, line {number}: {column} names no file")
        yield Row(table, number, record[rainy], record[clean])


def _records(table: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with the numbers of their lines, or in Parquet of themselves."""
    if table.suffix == ".parquet":
        from rainkit.datasets import tabular

        yield from enumerate(tabular.read_parquet(table), start=1)
    elif table.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text_of(table)), restkey="")
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise DatasetError(f"{table}, line {reader.line_num}: is no CSV ({error})") from error
    else:
        for number, line in enumerate(text_of(table).split("\n"), start=1):
            if line.strip():
                yield number, _object(table, number, line)


def _object(table: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{table}, line {number}: is no JSON ({error})") from error
    if not isinstance(row, dict):
        raise DatasetError(f"{table}, line {number}: is no JSON object")
    return row
