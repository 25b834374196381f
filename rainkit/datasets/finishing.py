"""What stands in a dataset's folder once all its pairs are there, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rainkit.datasets import folder, manifest
from rainkit.datasets.layouts import LAYOUTS, write_card
from rainkit.datasets.records import Record
from rainkit.datasets.splits import SPLITS, splits_to_data
from rainkit.files import remove_temporary, write_json

__all__ = ["count_depths", "count_splits", "write_lists"]


def write_lists(
    out: Path,
    records: Sequence[Record],
    *,
    layout: str,
    parquet: bool,
    split: Mapping[str, Any] | None,
    command: str = "",
    former: Sequence[str] = (),
) -> None:
    """Write what lists the pairs, the manifest last: a folder with a manifest is finished.

    Args:
        out: the dataset's folder.
        records: of all its pairs.
        layout: of its files.
        parquet: write tables as Parquet too.
        split: how the split was asked for; None in a dataset without one.
        command: for the card.
        former: files of an overwritten dataset, deleted unless they are of this one.

    Raises:
        FileError, DatasetError: the system refuses to write.
    """
    LAYOUTS[layout].finish(out, records, overwrite=True, parquet=parquet)
    if split is not None:
        write_json(out / SPLITS, splits_to_data(records, split))
    if records:
        write_card(out, records, command, layout=LAYOUTS[layout], overwrite=True)
    if parquet:
        manifest.write_parquet(out / manifest.PARQUET, records, overwrite=True)
    folder.remove_former(out, former, records)
    remove_temporary(out)
    manifest.write(out / manifest.MANIFEST, records, overwrite=True)


def count_splits(records: Sequence[Record]) -> dict[str, tuple[int, int]]:
    """Scenes and pairs of each split; empty in a dataset without splits."""
    pairs = Counter(record.split for record in records if record.split is not None)
    return {
        split: (len({r.scene for r in records if r.split == split}), pairs[split])
        for split in sorted(pairs, reverse=True)
    }


def count_depths(records: Sequence[Record]) -> dict[str, int]:
    """Scenes by the source of their depth, ``flat`` or ``none`` among them; most usual first."""
    sources = {}
    for record in records:
        flat = "none" if record.distance is None else "flat"
        sources[record.scene] = flat if record.depth is None else record.depth.source
    return dict(Counter(sources.values()).most_common())
