"""``manifest.jsonl``: what a synthesised dataset holds and how each rainy picture was made.

A manifest is one file of JSON lines, or one of Parquet, or the parts that the shards of a run
leave until the last of them is there: ``manifest-00001-of-00004.jsonl`` and so on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rainkit.datasets import tabular
from rainkit.datasets.records import VERSION, DepthUsed, Hashes, Record, Stats
from rainkit.errors import DatasetError
from rainkit.files import atomic_path

__all__ = [
    "MANIFEST",
    "PARQUET",
    "DepthUsed",
    "Hashes",
    "Record",
    "Stats",
    "find",
    "part_name",
    "read",
    "records_from_data",
    "write",
    "write_parquet",
]

MANIFEST = "manifest.jsonl"
"""The manifest's name in a dataset folder."""
PARQUET = "manifest.parquet"
"""The same as Parquet."""

_PART = re.compile(r"manifest-(\d{5})-of-(\d{5})\.jsonl")
_REMEDY = "put the original manifest back, or make the dataset again"
_RECORD = TypeAdapter(Record)


def part_name(shard: int, shards: int) -> str:
    """Name of the manifest of shard 1 to ``shards``."""
    return f"manifest-{shard:05d}-of-{shards:05d}.jsonl"


def write(path: Path, records: Iterable[Record], *, overwrite: bool = False) -> None:
    """Write records, one JSON object a line, in the order given.

    Raises:
        FileError: the file exists and ``overwrite`` is False, or the system refuses to write.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        lines = (json.dumps(asdict(record), allow_nan=False) + "\n" for record in records)
        temporary.write_text("".join(lines), encoding="utf-8")


def write_parquet(path: Path, records: Iterable[Record], *, overwrite: bool = False) -> None:
    """Write records as Parquet, see :func:`rainkit.datasets.tabular.write_parquet`.

    Raises:
        UsageError: pyarrow is not installed.
        FileError: as :func:`write`.
    """
    tabular.write_parquet(path, [asdict(record) for record in records], overwrite=overwrite)


def find(path: Path) -> tuple[Path, ...]:
    """The files of a manifest: ``path`` itself, or what there is in the folder ``path``.

    Raises:
        DatasetError: none there, or a shard's part is missing.
    """
    if not path.is_dir():
        return (path,)
    for name in (MANIFEST, PARQUET):
        if (path / name).is_file():
            return (path / name,)
    parts = {name[0]: name for name in map(_PART.fullmatch, _names(path)) if name}
    if not parts:
        raise DatasetError(f"{path}: holds no {MANIFEST}; name the folder of a dataset")
    counts = {int(part[2]) for part in parts.values()}
    wanted = [part_name(shard, max(counts)) for shard in range(1, max(counts) + 1)]
    missing = [name for name in wanted if name not in parts]
    if missing or len(counts) > 1:
        raise DatasetError(
            f"{path}: {', '.join(missing) or 'parts of different runs'} among its shards' "
            "manifests; run the missing shards of rainkit synth, of one --shard I/N"
        )
    return tuple(path / name for name in wanted)


def read(path: Path, *, root: Path | None = None) -> list[Record]:
    """Read a manifest back: a file, or the folder that it or all parts of it lie in.

    Args:
        path: JSON lines, Parquet, or a folder.
        root: folder that the paths in it start from; default: the one it lies in.

    Raises:
        DatasetError: a file that cannot be read, a line that is no record, or that names a file
            outside the dataset's folder; it names the line.
    """
    files = find(path)
    found = [pair for file in files for pair in _read_one(file)]
    folder = root if root is not None else files[0].parent
    outside = cache(_leaves)
    for where, record in found:
        _check_paths(where, record, folder, outside)
    for field, names in {
        "id": Counter(record.id for _, record in found),
        "input": Counter(record.input for _, record in found),
    }.items():
        twice = next((name for name, times in names.items() if times > 1), None)
        if twice is not None:
            raise DatasetError(f"{path}: {field} {twice} stands there twice; {_REMEDY}")
    return [record for _, record in found]


def records_from_data(data: Iterable[Any]) -> tuple[Record, ...]:
    """Records from plain data as ``asdict`` makes it, unchecked where their paths lead.

    Raises:
        DatasetError: one of them is no record.
    """
    return tuple(_validated(json.dumps(each), "record") for each in data)


def _read_one(path: Path) -> list[tuple[str, Record]]:
    """Records with where they stand."""
    if path.suffix == ".parquet":
        rows = enumerate(tabular.read_parquet(path), start=1)
        return [
            (where := f"{path}, row {number}", _validated(json.dumps(row), where))
            for number, row in rows
        ]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a manifest ({error})") from error
    return [
        (f"{path}, line {number}", _validated(line, f"{path}, line {number}"))
        # Only \n ends a line: names may hold any other separator that Unicode knows.
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _validated(line: str, where: str) -> Record:
    try:
        record = _RECORD.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{where}: {field or 'record'}: {first['msg']}; {_REMEDY}") from error
    if not 1 <= record.v <= VERSION:
        raise DatasetError(
            f"{where}: version {record.v} of the manifest, this rainkit reads up to {VERSION}"
        )
    return record


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({error.strerror})") from error


def _check_paths(where: str, record: Record, root: Path, leaves: Any) -> None:
    """Refuse what would lead out of the dataset: the manifest may come from anywhere."""
    named = {"input": record.input, "target": record.target}
    if record.depth is not None:
        named["depth.path"] = record.depth.path
    for field, locator in named.items():
        path = locator.partition("::")[0]
        pure = PurePosixPath(path)
        plain = pure.as_posix() == path and ".." not in pure.parts and path not in ("", ".")
        if not plain or pure.is_absolute() or re.search(r"[\\\0]|^[A-Za-z]:", path):
            raise DatasetError(
                f"{where}: {field} {locator!r} is not a plain path below the dataset's folder; "
                f"{_REMEDY}"
            )
        if leaves(root, pure.parent) or ((root / path).is_symlink() and _leaves(root, pure)):
            raise DatasetError(
                f"{where}: {field} {locator!r} is a link that leaves the dataset's folder; "
                "copy what it points to into the dataset"
            )


def _leaves(root: Path, below: PurePosixPath) -> bool:
    return not (root / below).resolve().is_relative_to(root.resolve())
