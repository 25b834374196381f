"""Hugging Face's ImageFolder: pictures with a table in each split."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rainkit.datasets.manifest import Record
from rainkit.datasets.parquet import read_parquet, write_parquet
from rainkit.datasets.writers.base import (
    Entry,
    Layout,
    Place,
    parameters,
    portable,
    refuse_other_pairs,
    write_list,
)
from rainkit.errors import FileError

__all__ = ["HuggingFace"]

_LINES, _PARQUET = "metadata.jsonl", "metadata.parquet"
_WHOLE = "train"
"""Folder of a dataset without splits, since ``datasets`` looks for folders named like splits."""


class HuggingFace(Layout):
    """Tables for ``load_dataset("imagefolder", data_dir=...)``: ``image``, ``target`` and more.

    A table lies in the folder of its split and names files relative to itself. ``file_name`` is
    the rainy picture, and any other ``*_file_name`` another one, which several rows may share
    (``datasets`` 3.4 or newer).
    """

    name = "hf"
    doc = "train/ and test/ with a metadata table each, as Hugging Face's ImageFolder reads them"

    def finish(
        self, out: Path, records: Sequence[Record], *, overwrite: bool, parquet: bool = False
    ) -> None:
        """Write the only table of each split; see :meth:`Layout.finish`."""
        for split, rows in _tables(records).items():
            path, other = out / split / _LINES, out / split / _PARQUET
            if parquet:
                path, other = other, path
            if other.exists() and not overwrite:
                raise FileError(f"{other}: exists as a table; pass --overwrite, or remove it")
            other.unlink(missing_ok=True)
            texts = [json.dumps(row, allow_nan=False) for row in rows]
            if not parquet:
                write_list(path, texts, overwrite=overwrite)
                continue
            if path.exists() and not overwrite:
                refuse_other_pairs(path, map(json.dumps, read_parquet(path)), texts)
            write_parquet(path, rows, overwrite=True)

    def pattern(self, split: str) -> str:
        """Return a glob for the folder of the split."""
        return f"{split or _WHOLE}/**"

    def _place(self, entry: Entry) -> Place:
        folder, scene = f"{entry.split or _WHOLE}/", portable(entry.scene)
        return Place(
            f"{folder}input/{scene}_{entry.variant:02d}{entry.suffix}",
            f"{folder}target/{scene}{entry.suffix}",
        )


def _tables(records: Sequence[Record]) -> Mapping[str, Sequence[dict[str, Any]]]:
    """Return the rows by split; ``datasets`` requires the same types in all of them."""
    tables = defaultdict(list)
    for record in sorted(records, key=lambda record: record.input):
        split, _, name = record.input.partition("/")
        tables[split].append(
            {
                "file_name": name,
                "target_file_name": record.target.removeprefix(f"{split}/"),
                **parameters(record),
            }
        )
    return tables
