"""Finding photographs that have no ground truth, with or without results made elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit import images
from rainkit.datasets.matching import PairFiles, named
from rainkit.datasets.pairs import find_matches
from rainkit.datasets.sizes import cropped
from rainkit.datasets.stored import Stored
from rainkit.errors import UsageError

__all__ = ["Photograph", "found_photographs", "matched_photographs"]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A rainy picture without ground truth; ``name`` is unique in its ``dataset``."""

    dataset: str
    name: str
    rainy: Stored


def found_photographs(
    folders: Sequence[Path], *, limit: int | None = None
) -> tuple[Photograph, ...]:
    """All pictures of folders and files, each once; those of a folder in natural order.

    A file named directly belongs to the folder it lies in. Folders of one name have their parent's
    in front.

    Args:
        folders: searched through all their levels.
        limit: pictures per folder at most.

    Raises:
        UsageError: a path without pictures, or folders that cannot be told apart.
    """
    pairs: dict[Path, list[PairFiles]] = {}
    for found in images.find(folders):
        root = (found.path.parent if found.root is None else found.root).resolve()
        name, stored = found.relative.with_suffix("").as_posix(), Stored(found.path)
        # As pairs, each its own partner, they are named as those of datasets.
        pairs.setdefault(root, []).append(PairFiles(name, stored, stored))
    names = _names(pairs)
    return tuple(
        Photograph(names[root], pair.name, pair.rainy)
        for root, own in pairs.items()
        for pair in named(own)[:limit]
    )


def matched_photographs(
    folder: Path, restored: Path, *, limit: int | None = None, crop_to_common: bool = False
) -> dict[Photograph, Stored]:
    """The photographs of one folder with their results, matched by name; or of one file.

    Args:
        folder: of rainy pictures.
        restored: of results.
        limit: pictures at most.
        crop_to_common: cut the two to their common size.

    Raises:
        UsageError, PairingError: as :func:`rainkit.datasets.pairs.find_matches`.
    """
    for option, given in (("", restored), ("--input ", folder)):
        if not given.exists():
            raise UsageError(f"{option}{given}: does not exist; give a folder or a picture")
    path = folder.resolve()
    dataset = path.name if path.is_dir() else path.parent.name
    results = {}
    for match in find_matches(restored, folder)[:limit]:
        result, rainy = match.rainy, match.clean
        if crop_to_common:
            result, rainy = cropped((result, rainy))
        results[Photograph(dataset, match.name, rainy)] = result
    return results


def _names(roots: Iterable[Path]) -> dict[Path, str]:
    """Distinct ones, the parent's name in front if need be."""
    roots = tuple(roots)
    count = Counter(root.name for root in roots)
    names = {
        root: root.name if count[root.name] == 1 else f"{root.parent.name}/{root.name}"
        for root in roots
    }
    for name, times in Counter(names.values()).items():
        if times > 1:
            raise UsageError(f"two folders are called {name}; rename one")
    return names
