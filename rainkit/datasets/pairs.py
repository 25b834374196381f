"""Finding rainy/clean pairs on disk, whatever the layout.

The layouts are tried in the order of :data:`READERS`; each reader says None for a folder that is
not of its kind. A new layout is one more function there. Pairs are matched by name, never by
position in a listing: one missing file would shift every later pair without anybody noticing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rainkit.errors import PairingError, UsageError
from rainkit.images import SUFFIXES

__all__ = [
    "CLEAN_FOLDERS",
    "RAINY_FOLDERS",
    "READERS",
    "Dataset",
    "PairFiles",
    "find_datasets",
    "find_matches",
    "find_pairs",
    "named_datasets",
    "natural",
]

MANIFEST = "manifest.jsonl"
RAINY_FOLDERS = frozenset(
    {"input", "rain", "rainy", "lq", "rainy_image", "input_val", "inputcrop", "in"}
)
CLEAN_FOLDERS = frozenset(
    {"target", "gt", "norain", "clean", "ground_truth", "label", "label_val", "cleancrop"}
    | {"groundtruth", "hq"}
)

_PREFIX = re.compile(r"^(?:no)?rain[-_](?=.)", re.IGNORECASE)
_LISTED = 5
"""File names that a message spells out before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class PairFiles:
    """One rainy picture and its clean one. ``name`` is unique in its dataset, without suffix."""

    name: str
    rainy: Path
    clean: Path


@dataclass(frozen=True, slots=True)
class Dataset:
    """The pairs of one folder, in natural order (2 before 10)."""

    name: str
    root: Path
    pairs: tuple[PairFiles, ...]


def find_pairs(root: Path, *, split: str | None = None) -> tuple[PairFiles, ...]:
    """The pairs of one dataset folder, in natural order of their names.

    Args:
        root: a folder with a ``manifest.jsonl``, with a rainy and a clean sub-folder under any of
            their usual names, or with ``rain-*`` and ``norain-*`` files.
        split: keep only the pairs in the sub-folder so named, such as ``test``.

    Raises:
        UsageError: ``root`` is not a folder.
        PairingError: no layout fits, a file has no partner, or more than one.
        DatasetError: the manifest cannot be read.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give the folder of a pairs dataset")
    pairs = _read(root, split)
    if pairs is None:
        raise PairingError(
            f"{root} holds no rainy/clean pairs; expected {MANIFEST}, two folders such as"
            " rainy/ and clean/ (or input/ and target/), or rain-* beside norain-* files"
        )
    if not pairs:
        where = f" of split {split!r}" if split else ""
        raise PairingError(f"{root} holds no pairs{where}; put pictures in, or name another folder")
    return pairs


def find_datasets(root: Path, *, split: str | None = None) -> tuple[Dataset, ...]:
    """``root`` as one dataset, or else each sub-folder that is one, in natural order.

    Raises:
        UsageError, PairingError, DatasetError: as :func:`find_pairs`.
    """
    if root.is_dir() and _read(root, split) is None:
        folders = sorted((f for f in root.iterdir() if f.is_dir()), key=lambda f: natural(f.name))
        found = [(f, _read(f, split)) for f in folders if not f.name.startswith(".")]
        datasets = tuple(Dataset(f.name, f, pairs) for f, pairs in found if pairs)
        if datasets:
            return datasets
    return (Dataset(root.resolve().name, root, find_pairs(root, split=split)),)


def named_datasets(roots: Iterable[Path]) -> tuple[Dataset, ...]:
    """All datasets of several folders under distinct names, the parent's name in front if need be.

    Raises:
        UsageError: a folder given twice, or two that cannot be told apart.
    """
    found = [each for root in roots for each in find_datasets(root)]
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

    Two files are a pair of their own. Names match as in :func:`find_pairs`.

    Raises:
        UsageError: an argument does not exist, or one is a file and the other a folder.
        PairingError: an empty folder, or files without a partner, which the message names.
    """
    for path in (restored, target):
        if not path.exists():
            raise UsageError(f"{path} does not exist; give two folders or two pictures")
    if restored.is_file() and target.is_file():
        return (PairFiles(restored.stem, restored, target),)
    if restored.is_file() or target.is_file():
        raise UsageError(f"{restored} and {target}: give two folders or two pictures, not one each")
    found = {folder: _pictures(folder) for folder in (restored, target)}
    for folder, pictures in found.items():
        if not pictures:
            raise PairingError(f"{folder} holds no pictures; give a folder of PNG or JPEG files")
    return _match(restored, found[restored], target, found[target])


def natural(text: str) -> tuple[str | int, ...]:
    """Sort key that counts: ``a2`` before ``a10``."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if i % 2 else part.casefold() for i, part in enumerate(parts))


def _read(root: Path, split: str | None) -> tuple[PairFiles, ...] | None:
    for reader in READERS:
        pairs = reader(root, split)
        if pairs is not None:
            return pairs
    if split is not None and (root / split).is_dir():
        return _read(root / split, None)
    return None


def _manifest(root: Path, split: str | None) -> tuple[PairFiles, ...] | None:
    """What ``rainkit synth`` writes; a split is the folder that the record's files lie in."""
    path = root / MANIFEST
    if not path.is_file():
        return None
    from rainkit.datasets import manifest  # pydantic: only where there is a manifest

    pairs = [
        PairFiles(
            Path(record.input).with_suffix("").as_posix(), root / record.input, root / record.target
        )
        for record in manifest.read(path)
        if split is None or Path(record.input).parts[0] == split
    ]
    missing = [str(p) for pair in pairs for p in (pair.rainy, pair.clean) if not p.is_file()]
    if missing:
        raise PairingError(f"{path} names files that are not there: {_listed(missing)}")
    return _named(pairs)


def _two_folders(root: Path, split: str | None) -> tuple[PairFiles, ...] | None:
    """``rainy/`` and ``clean/`` under any of their usual names; folder names outrank file names.

    JORDER-E and RCDNet call rainy files ``norain-1.png`` too.
    """
    rainy, clean = _sub_folder(root, RAINY_FOLDERS), _sub_folder(root, CLEAN_FOLDERS)
    if split is not None or rainy is None or clean is None:
        return None
    return _match(rainy, _pictures(rainy), clean, _pictures(clean))


def _one_folder(root: Path, split: str | None) -> tuple[PairFiles, ...] | None:
    """``norain-1.png`` beside ``rain-1.png``, or beside a folder of rainy files (Rain100H).

    Everything else (``rainregion-*``, ``rainstreak-*``) is left alone.
    """
    if split is not None:
        return None
    here = _pictures(root, deep=False)
    clean = [path for path in here if re.match(r"norain[-_]", path.name, re.IGNORECASE)]
    rainy = [path for path in here if re.match(r"rain[-_]", path.name, re.IGNORECASE)]
    folder = _sub_folder(root, RAINY_FOLDERS)
    if clean and rainy:
        return _match(root, rainy, root, clean)
    if clean and folder is not None:
        return _match(folder, _pictures(folder), root, clean)
    return None


READERS: tuple[Callable[[Path, str | None], tuple[PairFiles, ...] | None], ...] = (
    _manifest,
    _two_folders,
    _one_folder,
)
"""Layouts in the order in which they are tried; a reader answers None where it does not apply."""


def _sub_folder(root: Path, names: frozenset[str]) -> Path | None:
    found = [f for f in root.iterdir() if f.is_dir() and f.name.casefold() in names]
    if len(found) > 1:
        listed = _listed(sorted(f.name for f in found))
        raise PairingError(f"{root} has more than one folder of a kind: {listed}; keep one")
    return found[0] if found else None


def _pictures(folder: Path, *, deep: bool = True) -> list[Path]:
    paths = folder.rglob("*") if deep else folder.iterdir()
    return [path for path in paths if _is_picture(path.relative_to(folder)) and path.is_file()]


def _is_picture(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return relative.suffix.casefold() in SUFFIXES and not hidden


def _match(
    rainy_root: Path, rainy: Iterable[Path], clean_root: Path, clean: Sequence[Path]
) -> tuple[PairFiles, ...]:
    """Give every rainy file its clean one; many may share one, none may be left over."""
    index: defaultdict[str, set[Path]] = defaultdict(set)
    for path in clean:
        relative = path.relative_to(clean_root)
        stem = relative.with_suffix("").as_posix()
        for key in (relative.as_posix(), stem, _plain(stem)):
            index[key].add(path)
    pairs: list[PairFiles] = []
    unmatched: list[str] = []
    ambiguous: list[str] = []
    for path in rainy:
        relative = path.relative_to(rainy_root)
        stem = relative.with_suffix("").as_posix()
        partners = next((index[key] for key in _keys(relative) if key in index), set())
        if not partners:
            unmatched.append(str(path))
        elif len(partners) > 1:
            ambiguous.append(f"{path} ({', '.join(sorted(p.name for p in partners))})")
        else:
            pairs.append(PairFiles(stem, path, next(iter(partners))))
    left = [str(path) for path in set(clean) - {pair.clean for pair in pairs}]
    if ambiguous:
        raise PairingError(f"more than one partner for {_listed(ambiguous)}; keep one of each")
    if unmatched or left:
        raise PairingError(
            f"no partner for {_listed(unmatched + left)};"
            f" names in {rainy_root} and {clean_root} must match"
        )
    return _named(pairs)


def _keys(rainy: Path) -> Iterable[str]:
    """Names that the clean file may have, the likeliest first.

    ``901_1`` is a rainy version of ``901`` and ``im_0001_s80_a04`` one of ``im_0001``.
    """
    yield rainy.as_posix()
    stem = rainy.with_suffix("").as_posix()
    yield stem
    yield _plain(stem)
    while "_" in stem.rpartition("/")[2]:
        stem = stem.rpartition("_")[0]
        yield stem
        yield _plain(stem)


def _plain(stem: str) -> str:
    """Without ``rain-``/``norain-`` and without the padding of numbers: ``rain-001`` is ``1``."""
    folder, slash, name = stem.rpartition("/")
    name = re.sub(r"\d+", lambda digits: str(int(digits[0])), _PREFIX.sub("", name))
    return f"{folder}{slash}{name}"


def _named(pairs: list[PairFiles]) -> tuple[PairFiles, ...]:
    """In natural order; where two rainy files share a stem, the suffix becomes part of the name."""
    count: defaultdict[str, int] = defaultdict(int)
    for pair in pairs:
        count[pair.name] += 1
    named = (
        pair
        if count[pair.name] == 1
        else PairFiles(pair.name + pair.rainy.suffix.replace(".", "-"), pair.rainy, pair.clean)
        for pair in pairs
    )
    return tuple(sorted(named, key=lambda pair: natural(pair.name)))


def _listed(names: Sequence[str]) -> str:
    shown = sorted(names, key=natural)[:_LISTED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
