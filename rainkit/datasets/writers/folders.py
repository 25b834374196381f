"""Layouts of plain files in folders: as published datasets have them, and as ImageFolder."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rainkit.datasets.manifest import Record
from rainkit.datasets.parquet import read_parquet, write_parquet
from rainkit.datasets.writers.base import (
    Entry,
    Layout,
    Place,
    parameters,
    portable,
    refuse_other_pairs,
    save,
    write_list,
)
from rainkit.errors import FileError
from rainkit.images import RGB8

__all__ = [
    "Ddn",
    "Did",
    "HuggingFace",
    "Rain100",
    "Restormer",
    "Spa",
]


class Restormer(Layout):
    """Equal names in two folders; the targets of a scene's variants are hard links to one file."""

    name = "restormer"
    doc = "input/ and target/ with equal names, as Restormer and BasicSR read them; sequences"
    sequences = True

    def _place(self, entry: Entry) -> Place:
        folder = _folder(entry.split)
        name = f"{portable(entry.scene)}_{entry.variant:02d}"
        if entry.frame is not None:
            folder += f"seq/{name}/"
            return Place(f"{folder}{entry.frame:04d}{entry.suffix}", f"{folder}clean{entry.suffix}")
        name += entry.suffix
        return Place(f"{folder}input/{name}", f"{folder}target/{name}")


class Rain100(Layout):
    """Numbered pairs in one folder; the targets of a scene's variants are hard links."""

    name = "rain100"
    doc = "rain-001.png beside norain-001.png, as Rain100L and Rain100H"

    def _place(self, entry: Entry) -> Place:
        digits = max(3, len(str(entry.count)))
        folder, name = _folder(entry.split), f"rain-{entry.number:0{digits}d}{entry.suffix}"
        return Place(f"{folder}{name}", f"{folder}no{name}")

    def renumbered(self, entry: Entry, path: str) -> Entry:
        """Return a pair with its number in ``rain-001.png``; see :meth:`Layout.renumbered`."""
        digits = re.search(r"rain-(\d+)\.\w+$", path)
        if digits is None:
            return entry
        least = 10 ** (len(digits[1]) - 1) if len(digits[1]) > 3 else 1
        return replace(entry, number=int(digits[1]), count=max(entry.count, least))


class Ddn(Layout):
    """Many rainy pictures to one clean one, matched by the number before the last underscore."""

    name = "ddn"
    doc = "rainy_image/901_1.png to ground_truth/901.png, one target a scene, as Rain1400"

    def _place(self, entry: Entry) -> Place:
        folder, scene = _folder(entry.split), entry.scene_number
        return Place(
            f"{folder}rainy_image/{scene}_{entry.variant}{entry.suffix}",
            f"{folder}ground_truth/{scene}{entry.suffix}",
        )

    def renumbered(self, entry: Entry, path: str) -> Entry:
        """Return a pair with the scene's number in ``901_1.png``; see :meth:`Layout.renumbered`."""
        digits = re.search(r"(\d+)_\d+\.\w+$", path)
        return entry if digits is None else replace(entry, scene_number=int(digits[1]))


class Did(Layout):
    """Both pictures in one file. PNG is better than JPEG, whose colours leak across the seam."""

    name = "did"
    doc = "one picture a pair, rainy on the left, as DID-MDN (better as PNG: JPEG blurs the seam)"

    def _place(self, entry: Entry) -> Place:
        name = f"{portable(entry.scene)}_{entry.variant:02d}{entry.suffix}"
        path = _folder(entry.split) + name
        return Place(f"{path}::left", f"{path}::right")

    def write(self, out: Path, entry: Entry, rainy: RGB8, clean: RGB8, *, overwrite: bool) -> None:
        """Write the pair as one picture; see :meth:`Layout.write`."""
        path = self.place(entry).input.removesuffix("::left")
        save(np.hstack((rainy, clean)), out / path, overwrite=overwrite)


class Spa(Layout):
    """Lists of pairs. Spaces in names become ``%20``, since readers split lines at spaces.

    Some readers split at the spaces of Unicode, too, such as the narrow one that macOS puts into
    the names of screenshots.
    """

    name = "spa"
    doc = "lists of rainy and clean paths (train.txt, test.txt or pairs.txt), as SPA-Data"

    def _place(self, entry: Entry) -> Place:
        spaces = {letter for letter in entry.scene if letter.isspace()}
        scene = portable(entry.scene, also="".join(sorted(spaces)))
        folder = _folder(entry.split)
        return Place(
            f"{folder}rain/{scene}_{entry.variant:02d}{entry.suffix}",
            f"{folder}norain/{scene}{entry.suffix}",
        )

    def _lists(self, records: Sequence[Record]) -> Mapping[str, Sequence[str]]:
        lines = defaultdict(list)
        for record in sorted(records, key=lambda record: record.input):
            lines[f"{record.split or 'pairs'}.txt"].append(f"/{record.input} /{record.target}")
        return lines


def _folder(split: str) -> str:
    return f"{split}/" if split else ""


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
