"""Pairs that a list names: SPA-Data's, Hugging Face's metadata, BasicSR's meta_info."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rainkit.datasets.matching import PairFiles, listed, named
from rainkit.datasets.readers.options import ReadOptions
from rainkit.datasets.stored import Stored
from rainkit.errors import DatasetError, PairingError
from rainkit.images import SUFFIXES

__all__ = ["meta_info", "metadata_table", "path_list"]

_TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_TARGET = "target_file_name"
_FILE = "file_name"


def path_list(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """SPA-Data: text files with two paths a line, rainy and clean, from the list's folder on.

    With a split it is the list so named, without one all lists.
    """
    lists = [
        path
        for path in sorted(root.glob("*.txt"))
        if not path.stem.startswith("meta_info") and _is_list(path)
    ]
    if split is not None:
        lists = [path for path in lists if path.stem == split]
    if not lists:
        return None
    return _paired(root, ((path, number, two) for path in lists for number, two in _lines(path)))


def meta_info(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """BasicSR's ``meta_info*.txt``: clean path, a comma, rainy path."""
    lists = sorted(root.glob("meta_info*.txt"))
    if split is not None or not lists:
        return None
    rows = ((p, number, (rainy, clean)) for p in lists for number, (clean, rainy) in _lines(p, ","))
    return _paired(root, rows)


def metadata_table(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """Hugging Face's ImageFolder: ``file_name`` and ``target_file_name``, or one other of its kind.

    A table may lie in the folder itself or in each of its split folders.
    """
    tables = _tables(root)
    if not tables:
        folders = [f for f in sorted(root.iterdir()) if f.is_dir() and split in (None, f.name)]
        tables = [table for folder in folders for table in _tables(folder)]
    elif split is not None:
        return None
    if not tables:
        return None
    rows = ((path, n, _columns(path, n, row)) for path in tables for n, row in _rows(path))
    return _paired(root, rows)


def _tables(folder: Path) -> list[Path]:
    return [folder / name for name in _TABLES if (folder / name).is_file()][:1]


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        from rainkit.datasets import tabular

        yield from enumerate(tabular.read_parquet(path), start=1)
        return
    lines = _text(path).splitlines()
    if path.suffix == ".csv":
        yield from enumerate(csv.DictReader(lines), start=2)
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DatasetError(f"{path}, line {number}: is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise DatasetError(f"{path}, line {number}: is no JSON object")
            yield number, row


def _columns(path: Path, number: int, row: Mapping[str, Any]) -> tuple[str, str]:
    others = [name for name in row if name.endswith("_" + _FILE)]
    target = _TARGET if _TARGET in row else (others[0] if len(others) == 1 else None)
    if target is None or not isinstance(row.get(_FILE), str) or not isinstance(row[target], str):
        raise DatasetError(f"{path}, line {number}: needs {_FILE} and {_TARGET}")
    return row[_FILE], row[target]


def _is_list(path: Path) -> bool:
    """Its first line is two paths of pictures."""
    try:
        with path.open(encoding="utf-8") as file:
            words = file.readline().split()
    except (OSError, UnicodeDecodeError):
        return False
    return len(words) == 2 and all(Path(word).suffix.casefold() in SUFFIXES for word in words)


def _lines(path: Path, separator: str | None = None) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, line in enumerate(_text(path).splitlines(), start=1):
        words = [word.strip() for word in line.split(separator)]
        if words in ([], [""]):
            continue
        if len(words) != 2:
            between = "a comma" if separator else "a space"
            raise DatasetError(f"{path}, line {number}: is not two paths with {between} between")
        yield number, (words[0], words[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as text ({error})") from error


def _paired(root: Path, rows: Iterable[tuple[Path, int, tuple[str, str]]]) -> tuple[PairFiles, ...]:
    pairs: list[PairFiles] = []
    missing: list[str] = []
    for path, number, names in rows:
        try:
            rainy, clean = (Stored.at(path.parent, name.lstrip("/")) for name in names)
        except DatasetError as error:
            raise DatasetError(f"{path}, line {number}: {error}") from error
        missing += [str(each.path) for each in (rainy, clean) if not each.path.is_file()]
        name = rainy.path.relative_to(root).with_suffix("").as_posix()
        pairs.append(PairFiles(f"{name}-{rainy.half}" if rainy.half else name, rainy, clean))
    if missing:
        raise PairingError(f"the lists in {root} name files that are not there: {listed(missing)}")
    return named(pairs)
