"""Tables as Parquet: rows of plain data that come back exactly as they were."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rainkit.errors import DatasetError, UsageError
from rainkit.files import atomic_path

__all__ = ["read_parquet", "write_parquet"]

_JSON = {b"rainkit": b"json"}
"""Marks columns that hold JSON texts."""


def write_parquet(
    path: Path, rows: Sequence[Mapping[str, Any]], *, overwrite: bool = False
) -> None:
    """Write rows of plain data, all with the keys of the first.

    A column of one kind of scalars, or of lists of them, is one of that type. Any other, such as
    one of mappings or of numbers and texts, holds JSON texts.

    Raises:
        UsageError: pyarrow is not installed.
        FileError: the file exists and ``overwrite`` is False, or the system refuses to write.
    """
    pa = _pyarrow(path)
    import pyarrow.parquet as pq

    names = list(rows[0]) if rows else []
    columns, fields = [], []
    for name in names:
        column, metadata = _column(pa, [row[name] for row in rows])
        columns.append(column)
        fields.append(pa.field(name, column.type, metadata=metadata))
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    with atomic_path(path, overwrite=overwrite) as temporary:
        pq.write_table(table, temporary)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Rows of a Parquet file, with the columns of :func:`write_parquet` as they were.

    Raises:
        UsageError: pyarrow is not installed.
        DatasetError: the file cannot be read.
    """
    pa = _pyarrow(path)
    import pyarrow.parquet as pq

    try:
        # Not read_table, which takes a file in a folder such as "split=a" for a part of a set.
        table = pq.ParquetFile(path).read()
        columns = {
            field.name: [
                json.loads(value) if _JSON.items() <= (field.metadata or {}).items() else value
                for value in table.column(field.name).to_pylist()
            ]
            for field in table.schema
        }
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{path}: cannot be read as Parquet ({reason})") from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _column(pa: Any, values: list[Any]) -> tuple[Any, Mapping[bytes, bytes] | None]:
    """Values as an array, and what to note of its column."""
    texts = [json.dumps(value) for value in values]
    try:
        array = pa.array(values)
    except (OverflowError, TypeError, ValueError):  # pyarrow's own are the last two
        pass
    else:
        kind = array.type.value_type if pa.types.is_list(array.type) else array.type
        # 1 among 1.5 would come back as 1.0.
        exact = [json.dumps(value) for value in array.to_pylist()] == texts
        if exact and not pa.types.is_nested(kind):
            return array, None
    return pa.array(texts), _JSON


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError(f'{path}: needs pyarrow; pip install "rainkit[parquet]"') from error
    return pyarrow
