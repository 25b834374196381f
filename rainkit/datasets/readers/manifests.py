"""Datasets with a manifest, as ``rainkit synth`` writes them."""

from __future__ import annotations

from pathlib import Path

from rainkit.datasets import image_ref
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import PairFiles, listed, with_unique_names
from rainkit.datasets.readers.rows import ReadOptions
from rainkit.errors import PairingError

__all__ = ["has_manifest", "manifest_records"]

_NAMES = ("manifest.jsonl", "manifest.parquet", "manifest-*-of-*.jsonl")


def has_manifest(root: Path) -> bool:
    """Return whether a folder holds a manifest, or parts of one."""
    return any(path.is_file() for name in _NAMES for path in root.glob(name))


def manifest_records(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """Read the pairs of a manifest; a split is that of the records, or their files' folder."""
    if not has_manifest(root):
        return None
    from rainkit.datasets import manifest  # it loads pydantic, which other layouts do not need

    pairs = [
        PairFiles(
            record.id if "::" in record.input else Path(record.input).with_suffix("").as_posix(),
            ImageRef.from_locator(root, record.input),
            ImageRef.from_locator(root, record.target),
        )
        for record in manifest.read(root)
        if split is None or split in (record.split, Path(record.input).parts[0])
    ]
    if missing := _missing({ref for pair in pairs for ref in (pair.rainy, pair.clean)}):
        raise PairingError(
            f"the manifest in {root} names files that are not there: {listed(missing)}; put them"
            " in place, or make the dataset again"
        )
    return with_unique_names(pairs)


def _missing(pictures: set[ImageRef]) -> list[str]:
    """Return those of the pictures that do not exist."""
    there = {path: path.exists() for path in {picture.path for picture in pictures}}
    members = {
        picture.path: frozenset(image_ref.member_names(picture.path))
        for picture in pictures
        if picture.member and there[picture.path]
    }
    return [
        str(picture)
        for picture in pictures
        if not there[picture.path]
        or (picture.member and picture.member not in members[picture.path])
    ]
