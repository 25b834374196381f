"""Finding rainy/clean pairs on disk in any layout; :mod:`rainkit.datasets.readers` has these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    PairFiles,
    cropped_to_common,
    match_by_name,
    pictures_in,
    without_originals,
)
from rainkit.datasets.readers import LAYOUTS, ReadOptions, read
from rainkit.errors import PairingError, UsageError
from rainkit.files import natural

__all__ = [
    "CLEAN_FOLDERS",
    "LAYOUTS",
    "RAINY_FOLDERS",
    "Dataset",
    "PairFiles",
    "ReadOptions",
    "find_datasets",
    "find_matches",
    "find_pairs",
    "find_unpaired",
    "holds_pairs",
    "named_datasets",
]

_AS_FOUND = ReadOptions()


@dataclass(frozen=True, slots=True)
class Dataset:
    """The pairs of a folder, or of one split of it, in natural order (2 before 10).

    Attributes:
        name: name of the folder.
        root: the folder.
        pairs: its pairs.
        split: the split that the pairs belong to; None for all pairs of the folder.
        beside: folders beside it that hold pictures, but no pairs.
    """

    name: str
    root: Path
    pairs: tuple[PairFiles, ...]
    split: str | None = None
    beside: tuple[Path, ...] = ()


def find_pairs(
    root: Path,
    *,
    split: str | None = None,
    prefer: Sequence[str] = (),
    options: ReadOptions = _AS_FOUND,
) -> tuple[PairFiles, ...]:
    """Return the pairs of one dataset folder in natural order of their names.

    Args:
        root: a folder in one of :data:`LAYOUTS`.
        split: name of the split, or of the sub-folder, whose pairs are wanted, such as ``test``.
        prefer: names of splits; if ``split`` is None, the first of them that exists is taken, and
            if none exists, all pairs.
        options: the layout, if it is not to be detected, and what to do about different sizes.

    Raises:
        UsageError: ``root`` is not a folder, or the layout is not known.
        PairingError: no layout fits, or a file does not have exactly one partner.
        DatasetError: a manifest, list or archive cannot be read.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give the folder of a pairs dataset")
    found = _find(root, split, prefer, options)
    if found is None and options.layout is not None:
        raise PairingError(
            f"{root} does not have the layout {options.layout}; leave out --layout to detect it"
        )
    if found is None:
        held = "pictures without partners" if find_unpaired(root) else "no rainy/clean pairs"
        where = f" of a split {split!r}" if split else ""
        raise PairingError(
            f"{root} holds {held}{where}; expected manifest.jsonl, two folders such as"
            " rainy/ and clean/ (or input/ and target/), rain-* beside norain-* files, or another"
            f" of the layouts {', '.join(LAYOUTS)}; for photographs without clean versions there is"
            " rainkit no-target, and rainkit synth makes pairs of clean ones"
        )
    if not found.pairs:
        where = f" of split {split!r}" if split else ""
        raise PairingError(f"{root} holds no pairs{where}; put pictures in, or name another folder")
    return found.pairs


def holds_pairs(
    root: Path, *, prefer: Sequence[str] = (), options: ReadOptions = _AS_FOUND
) -> bool:
    """Return whether a folder, or a folder in it or in one of its splits, has a layout of pairs.

    Args:
        root: the folder.
        prefer: names of splits, as for :func:`find_datasets`.
        options: the layout, if it is not to be detected.

    Raises:
        PairingError, DatasetError: a layout fits, but the files do not agree with it.
    """
    for home in (root, *(root / name for name in prefer if (root / name).is_dir())):
        inside = (f for f in home.iterdir() if f.is_dir() and not f.name.startswith("."))
        if any(read(folder, None, options) is not None for folder in (home, *inside)):
            return True
    return False


def find_unpaired(root: Path) -> tuple[ImageRef, ...]:
    """Return all pictures in and below a folder, in natural order, for scores without a target."""
    paths = sorted(pictures_in(root), key=lambda path: natural(path.relative_to(root).as_posix()))
    return tuple(ImageRef(path) for path in paths)


def find_datasets(
    root: Path,
    *,
    split: str | None = None,
    prefer: Sequence[str] = (),
    options: ReadOptions = _AS_FOUND,
) -> tuple[Dataset, ...]:
    """Return ``root`` as one dataset, or else each sub-folder that is one, in natural order.

    If a preferred split is a folder of datasets, the result holds these and no others. Each knows
    the sub-folders with pictures that are none.

    Raises:
        UsageError, PairingError, DatasetError: as :func:`find_pairs`.
    """
    whole = _find(root, split, prefer, options) if root.is_dir() else None
    if whole is not None and whole.pairs:
        return (whole,)
    if root.is_dir() and whole is None:
        for name in (*(name for name in prefer if (root / name).is_dir()), None):
            home = root if name is None else root / name
            folders = (f for f in home.iterdir() if f.is_dir() and not f.name.startswith("."))
            ordered = sorted(folders, key=lambda folder: natural(folder.name))
            found = {folder: _find(folder, split, prefer, options) for folder in ordered}
            if datasets := [each for each in found.values() if each and each.pairs]:
                beside = tuple(
                    folder
                    for folder, each in found.items()
                    if not (each and each.pairs) and pictures_in(folder)
                )
                return tuple(
                    replace(each, split=each.split or name, beside=beside) for each in datasets
                )
    return (Dataset(root.name, root, find_pairs(root, split=split, options=options)),)  # or why not


def named_datasets(
    roots: Iterable[Path], *, prefer: Sequence[str] = (), options: ReadOptions = _AS_FOUND
) -> tuple[Dataset, ...]:
    """Return all datasets of several folders under distinct names.

    Datasets of the same name get their parent folder's name in front.

    Raises:
        UsageError: a folder is given twice, or two folders cannot be told apart.
    """
    found = [each for root in roots for each in find_datasets(root, prefer=prefer, options=options)]
    count = Counter(each.name for each in found)
    named = tuple(
        each
        if count[each.name] == 1
        else replace(each, name=f"{each.root.resolve().parent.name}/{each.name}")
        for each in found
    )
    for name, times in Counter(each.name for each in named).items():
        if times > 1:
            raise UsageError(
                f"two datasets are called {name}; give each once, or rename one folder"
            )
    return named


def find_matches(restored: Path, target: Path) -> tuple[PairFiles, ...]:
    """Match two folders by name; in the result ``rainy`` is the file of ``restored``.

    Two files form one pair, whatever their names. Names match as in :func:`find_pairs`.

    Raises:
        UsageError: an argument does not exist, or one is a file and the other a folder.
        PairingError: a folder is empty, or files have no partner; the message names them.
    """
    for path in (restored, target):
        if not path.exists():
            raise UsageError(f"{path} does not exist; give two folders or two pictures")
    if restored.is_file() and target.is_file():
        return (PairFiles(restored.stem, ImageRef(restored), ImageRef(target)),)
    if restored.is_file() or target.is_file():
        raise UsageError(f"{restored} and {target}: give two folders or two pictures, not one each")
    found = {folder: pictures_in(folder) for folder in (restored, target)}
    for folder, pictures in found.items():
        if not pictures:
            raise PairingError(f"{folder} holds no pictures; give a folder of PNG or JPEG files")
    results = without_originals(found[restored], found[target])
    return match_by_name(restored, results, target, found[target], results=True)


def _find(
    root: Path, split: str | None, prefer: Sequence[str], options: ReadOptions
) -> Dataset | None:
    """Return the first split with pairs, or the whole folder; None if no layout fits."""
    for name in (split,) if split is not None else (*prefer, None):
        pairs = read(root, name, options)
        if pairs or (pairs is not None and name == split):
            if options.crop_to_common:
                pairs = tuple(_cropped(pair) for pair in pairs)
            return Dataset(root.resolve().name, root, pairs, name)
    return None


def _cropped(pair: PairFiles) -> PairFiles:
    rainy, clean = cropped_to_common((pair.rainy, pair.clean))
    return replace(pair, rainy=rainy, clean=clean)
