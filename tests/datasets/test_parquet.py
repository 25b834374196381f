"""Parquet gives back exactly what was written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rainkit.datasets.parquet import read_parquet, write_parquet
from rainkit.errors import DatasetError, FileError, UsageError

COLUMNS: dict[str, list[Any]] = {
    "text": ["größe", "", "a\nb"],
    "texts or none": [None, "x", None],
    "nothing": [None, None, None],
    "odd text": ["\udcff", "plain", None],
    "whole": [1, -(2**63), 2**63 - 1],
    "huge": [2**64 - 1, 0, 2**80],
    "truth": [True, False, None],
    "float": [0.1, 1e-300, -0.0],
    "float or none": [None, 1 / 3, 2.0],
    "one of each": [1, 2.5, 3],
    "number or text": [12.5, "map", None],
    "truth or number": [True, 1, 0],
    "list": [[1.5, None], [], [2.0]],
    "lists or none": [None, [1], [2, 3]],
    "empty lists": [[], [], []],
    "lists of lists": [[[1]], [[2, 3], []], []],
    "mixed list": [[0, 2**64 - 1, 1], ["a", 1.5], [None]],
    "mapping": [{"a": 1, "b": {"c": None}}, {"a": 2, "b": {"c": 0.5}}, {"a": 3, "b": {"c": None}}],
    "other keys": [{"a": 1}, {"b": "x"}, {}],
    "empty mappings": [{}, {}, {}],
}
ROWS = [{name: values[i] for name, values in COLUMNS.items()} for i in range(3)]


def test_every_value_comes_back_with_its_type(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(path, ROWS)
    # Text tells 1 from 1.0 and from True.
    assert json.dumps(read_parquet(path)) == json.dumps(ROWS)


def test_tuples_come_back_as_lists(tmp_path: Path) -> None:
    write_parquet(tmp_path / "table.parquet", [{"rgb": (1.0, 2.0)}])
    assert read_parquet(tmp_path / "table.parquet") == [{"rgb": [1.0, 2.0]}]


def test_plain_columns_have_types_of_their_own(tmp_path: Path) -> None:
    from pyarrow import parquet

    write_parquet(tmp_path / "table.parquet", ROWS)
    schema = parquet.read_schema(tmp_path / "table.parquet")
    types = {name: str(schema.field(name).type) for name in ("whole", "float", "text", "list")}
    assert types == {
        "whole": "int64",
        "float": "double",
        "text": "string",
        "list": "list<element: double>",
    }


def test_a_table_of_somebody_else_is_read(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [{"file_name": "a.png", "size": {"w": 1}}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "table.parquet")
    assert read_parquet(tmp_path / "table.parquet") == rows


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    write_parquet(one, ROWS)
    write_parquet(two, [dict(row) for row in ROWS])
    assert one.read_bytes() == two.read_bytes()


def test_no_rows(tmp_path: Path) -> None:
    write_parquet(tmp_path / "table.parquet", [])
    assert read_parquet(tmp_path / "table.parquet") == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_parquet(path, ROWS)
    with pytest.raises(FileError, match="--overwrite"):
        write_parquet(path, ROWS[:1])
    write_parquet(path, ROWS[:1], overwrite=True)
    assert len(read_parquet(path)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no table at all"])
def test_damaged_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"table\.parquet: cannot be read as Parquet"):
        read_parquet(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_parquet(tmp_path / "none.parquet")


def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda path: write_parquet(path, ROWS), read_parquet):
        with pytest.raises(UsageError, match="pip install pyarrow"):
            call(tmp_path / "table.parquet")
    assert not list(tmp_path.iterdir())
