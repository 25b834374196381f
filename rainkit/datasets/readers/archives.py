"""Pairs in archives: WebDataset's tars and BasicSR's LMDB folders."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

from rainkit.datasets import image_ref
from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    PairFiles,
    listed,
    with_unique_names,
)
from rainkit.datasets.readers.lists import SHAPE
from rainkit.datasets.readers.rows import ReadOptions
from rainkit.errors import DatasetError, PairingError
from rainkit.images import SUFFIXES

__all__ = ["lmdb_folders", "tar_files"]


def tar_files(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """Read WebDataset's ``*.tar``: ``KEY.input.png`` beside ``KEY.target.png``, or similar names.

    If a split is given, those tar files are read whose names begin with it: ``train-000000.tar``.
    Tar files without any such sample, such as one that the dataset came in, are ignored.
    """
    tars = [path for path in sorted(root.glob("*.tar")) if not path.name.startswith(".")]
    if split is not None:
        tars = [path for path in tars if re.match(rf"{re.escape(split)}(?![^\W_])", path.name)]
    samples = [(path, key, both) for path in tars for key, both in _samples(path).items()]
    if not samples:
        return None
    if wrong := [f"{path}::{key}" for path, key, both in samples if [*map(len, both)] != [1, 1]]:
        raise PairingError(f"not one rainy and one clean picture in {listed(wrong)}")
    times = Counter(key for _, key, _ in samples)
    return with_unique_names(
        [
            PairFiles(
                key if times[key] == 1 else f"{path.stem}/{key}",
                ImageRef(path, rainy[0]),
                ImageRef(path, clean[0]),
            )
            for path, key, (rainy, clean) in samples
        ]
    )


def lmdb_folders(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """Read BasicSR's LMDB folders: ``lq.lmdb`` and ``gt.lmdb``, or names that end alike."""
    folders = [path for path in sorted(root.glob("*.lmdb")) if path.is_dir()]
    if split is not None or not folders:
        return None
    rainy = [path for path in folders if _ends_in(path.stem, RAINY_FOLDERS)]
    clean = [path for path in folders if _ends_in(path.stem, CLEAN_FOLDERS)]
    if len(rainy) != 1 or len(clean) != 1:
        raise PairingError(
            f"{root}: holds {listed([path.name for path in folders])}; expected one rainy and one"
            " clean LMDB, such as lq.lmdb and gt.lmdb"
        )
    ours, theirs = _keys(rainy[0]), _keys(clean[0])
    if alone := [f"{rainy[0]}::{key}" for key in ours - theirs] + [
        f"{clean[0]}::{key}" for key in theirs - ours
    ]:
        raise PairingError(f"no partner for {listed(alone)}; keys of both LMDBs must match")
    return with_unique_names(
        [PairFiles(key, ImageRef(rainy[0], key), ImageRef(clean[0], key)) for key in ours]
    )


def _samples(tar: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return the rainy and the clean member names by key.

    That is the part before the first dot; or, where nothing behind it names a side, as in
    ``2.5.input.png``, before the last two.
    """
    samples: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for member in image_ref.member_names(tar):
        place = PurePosixPath(member)
        key, _, fields = place.name.partition(".")
        ways = [(key, *fields.casefold().partition(".")[::2])]
        if fields.count(".") > 1:
            key, field, suffix = place.name.rsplit(".", 2)
            ways.append((key, field.casefold(), suffix.casefold()))
        for key, field, suffix in ways:
            if key and (not suffix or f".{suffix}" in SUFFIXES):
                for side, usual in enumerate((RAINY_FOLDERS, CLEAN_FOLDERS)):
                    if field in usual:
                        samples[str(place.with_name(key))][side].append(member)
    return samples


def _ends_in(stem: str, usual: frozenset[str]) -> bool:
    """Return whether a name ends in a usual one as a word; ``norain`` does not end in ``rain``."""
    return any(re.search(rf"(?:^|[\W_]){name}$", stem.casefold()) for name in usual)


def _keys(folder: Path) -> set[str]:
    """Return all keys, or those that ``meta_info.txt`` lists: ``baboon.png (120,125,3) 1``."""
    held = set(image_ref.member_names(folder))
    path = folder / "meta_info.txt"
    if not path.is_file():
        return held
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); get it again") from error
    keys = set()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            name = SHAPE.sub("", line.strip())
            key = name.removesuffix(PurePosixPath(name).suffix)
            if key not in held:
                raise DatasetError(f"{path}, line {number}: {key} is not in the LMDB; get it again")
            keys.add(key)
    return keys
