"""What ``rainkit synth`` writes."""

from __future__ import annotations

from pathlib import Path

from rainkit.datasets.matching import PairFiles, listed, named
from rainkit.datasets.readers.options import ReadOptions
from rainkit.datasets.stored import Stored
from rainkit.errors import PairingError

__all__ = ["manifest_records"]

_NAMES = ("manifest.jsonl", "manifest.parquet")


def manifest_records(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """Pairs as recorded; a split is the records' own, or the folder that their files lie in."""
    path = next((root / name for name in _NAMES if (root / name).is_file()), root)
    if path == root and not any(root.glob("manifest-*-of-*.jsonl")):
        return None
    from rainkit.datasets import manifest  # pydantic: only where there is a manifest

    pairs = [
        PairFiles(
            record.id if "::" in record.input else Path(record.input).with_suffix("").as_posix(),
            Stored.at(root, record.input),
            Stored.at(root, record.target),
        )
        for record in manifest.read(path)
        if split is None or split in (record.split, Path(record.input).parts[0])
    ]
    files = {stored.path for pair in pairs for stored in (pair.rainy, pair.clean)}
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise PairingError(f"{path} names files that are not there: {listed(missing)}")
    return named(pairs)
