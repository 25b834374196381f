"""Tables as Parquet: rows of plain data are read back exactly as they were written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rainkit.errors import DatasetError, UsageError
from rainkit.files import atomic_path

__all__ = ["read_parquet", "write_parquet"]

_JSON = {b"rainkit": b"json"}
"""Metadata of columns that hold JSON texts."""


def write_parquet(
    path: Path, rows: Sequence[Mapping[str, Any]], *, overwrite: bool = False
) -> None:
    """Write rows of plain data; all of them have the keys of the first.

    A column of scalars of one type, or of lists of them, is stored with that type. Any other
    column, such as one of mappings or of numbers and texts, is stored as JSON texts.

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
    """Read the rows of a Parquet file; JSON texts of :func:`write_parquet` are decoded.

    Raises:
        UsageError: pyarrow is not installed.
        DatasetError: the file cannot be read.
    """
    pa = _pyarrow(path)
    import pyarrow.parquet as pq

    try:
        # read_table would take a file in a folder such as "split=a" for a part of a larger table.
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
    """Return the values as an array, and the metadata of their column."""
    texts = [json.dumps(value) for value in values]
    try:
        array = pa.array(values)
    except (OverflowError, TypeError, ValueError):  # pyarrow's own errors derive from these
        pass
    else:
        kind = array.type.value_type if pa.types.is_list(array.type) else array.type
        # In a column with 1.5, the number 1 would be read back as 1.0.
        exact = [json.dumps(value) for value in array.to_pylist()] == texts
        if exact and not pa.types.is_nested(kind):
            return array, None
    return pa.array(texts), _JSON


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError(f"{path}: needs pyarrow; pip install pyarrow") from error
    return pyarrow
