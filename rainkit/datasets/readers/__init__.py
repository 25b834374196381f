"""The layouts of pairs that can be read.

A reader takes a folder, the name of a split (or None) and the options; it returns None for a folder
that does not have its layout. To add a layout, write a reader, add it to
:data:`LAYOUTS`, and name it in :class:`rainkit.choices.Layout`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from rainkit.datasets.pairing import PairFiles
from rainkit.datasets.readers.archives import lmdb_folders, tar_files
from rainkit.datasets.readers.folders import one_folder, side_by_side, two_folders
from rainkit.datasets.readers.lists import meta_info, metadata_table, path_list
from rainkit.datasets.readers.manifests import manifest_records
from rainkit.datasets.readers.rows import ReadOptions
from rainkit.errors import UsageError

__all__ = ["LAYOUTS", "ReadOptions", "read"]

Reader = Callable[[Path, str | None, ReadOptions], tuple[PairFiles, ...] | None]

LAYOUTS: Mapping[str, Reader] = MappingProxyType(
    {
        "rainkit": manifest_records,
        "wds": tar_files,
        "hf": metadata_table,
        "spa": path_list,
        "folders": two_folders,
        "rain100": one_folder,
        "side-by-side": side_by_side,
        "lmdb": lmdb_folders,
        "meta-info": meta_info,
    }
)
"""Readers by the names that ``--layout`` takes, in the order in which they are tried."""

_WRITTEN = {"restormer": "folders", "ddn": "folders", "did": "side-by-side"}
"""Names that ``rainkit synth`` has for some of these layouts."""


def read(root: Path, split: str | None, options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """Return the pairs of a folder, or of its split or sub-folder; None if no layout fits.

    Raises:
        UsageError: the layout is not known.
        PairingError, DatasetError: the folder has a layout, but its files do not agree with it.
    """
    layout = _WRITTEN.get(options.layout or "", options.layout)
    if layout is not None and layout not in LAYOUTS:
        known = ", ".join((*LAYOUTS, *_WRITTEN))
        raise UsageError(f"--layout {options.layout}: choose from {known}")
    for name, reader in LAYOUTS.items():
        if layout in (None, name):
            pairs = reader(root, split, options)
            if pairs is not None:
                return pairs
    if split is not None and (root / split).is_dir():
        return read(root / split, None, options)
    return None
