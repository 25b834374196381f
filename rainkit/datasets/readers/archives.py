"""Pairs in archives: WebDataset's tars and BasicSR's LMDB folders."""

from __future__ import annotations

from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from rainkit.datasets.matching import CLEAN_FOLDERS, RAINY_FOLDERS, PairFiles, listed, named
from rainkit.datasets.readers.options import ReadOptions
from rainkit.datasets.stored import Stored, members
from rainkit.errors import DatasetError, PairingError, UsageError
from rainkit.images import SUFFIXES

__all__ = ["lmdb_folders", "tar_files"]


def tar_files(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """WebDataset: in ``*.tar``, ``KEY.input.png`` beside ``KEY.target.png``, under usual names.

    With a split those tars whose names begin with it.
    """
    tars = sorted(path for path in root.glob("*.tar") if not path.name.startswith("."))
    if split is not None:
        tars = [path for path in tars if path.name.startswith(split)]
    if not tars:
        return None
    pairs: list[PairFiles] = []
    alone: list[str] = []
    for path in tars:
        about = path.stat()
        samples: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for member in members(path, about.st_mtime_ns, about.st_size):
            place = PurePosixPath(member)
            key, _, fields = place.name.partition(".")
            field, _, suffix = fields.rpartition(".")
            if f".{suffix}".casefold() in SUFFIXES:
                samples[str(place.with_name(key))][field.casefold()] = member
        for name, found in samples.items():
            rainy = [found[field] for field in found if field in RAINY_FOLDERS]
            clean = [found[field] for field in found if field in CLEAN_FOLDERS]
            if len(rainy) == 1 and len(clean) == 1:
                pairs.append(PairFiles(name, Stored(path, rainy[0]), Stored(path, clean[0])))
            else:
                alone.append(f"{path}::{name}")
    if alone:
        raise PairingError(f"no rainy and clean picture for {listed(alone)}")
    return named(pairs)


def lmdb_folders(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """BasicSR: ``rainy.lmdb`` and ``clean.lmdb`` under usual names, keys from ``meta_info.txt``."""
    folders = [path for path in sorted(root.glob("*.lmdb")) if path.is_dir()]
    if split is not None or not folders:
        return None
    if find_spec("lmdb") is None:
        raise UsageError(f'{root}: reading LMDB needs pip install "rainkit[lmdb]"')
    rainy = [path for path in folders if path.stem.casefold() in RAINY_FOLDERS]
    clean = [path for path in folders if path.stem.casefold() in CLEAN_FOLDERS]
    if len(rainy) != 1 or len(clean) != 1:
        raise PairingError(f"{root}: expected one rainy and one clean .lmdb, such as lq and gt")
    keys = [_keys(path) for path in (rainy[0], clean[0])]
    if alone := sorted(keys[0] ^ keys[1]):
        raise PairingError(f"{root}: no partner for the keys {listed(alone)}")
    return named([PairFiles(k, Stored(rainy[0], k), Stored(clean[0], k)) for k in keys[0]])


def _keys(folder: Path) -> set[str]:
    """First word of each line of ``meta_info.txt``, without suffix."""
    path = folder / "meta_info.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read; BasicSR writes one ({error})") from error
    return {str(Path(line.split()[0]).with_suffix("")) for line in lines if line.split()}
