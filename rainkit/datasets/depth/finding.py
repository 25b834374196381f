"""Finding the depth map of a photograph."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from rainkit.datasets.depth.files import SUFFIXES
from rainkit.errors import DatasetError

__all__ = ["find_beside", "find_in", "maps_among"]

_ENDINGS = ("_depth", ".depth", "_disparity")
_FOLDERS = ("depth", "disparity")
_CITYSCAPES = "_leftImg8bit"


def find_in(folder: Path, photo: Path) -> Path:
    """Return the depth map of a photograph in a folder of maps.

    The map lies in the folder itself or in a sub-folder that has the name of the photograph's
    folder. It has the photograph's name without suffix, to which ``_depth``, ``.depth`` or
    ``_disparity`` may be added. The map of Cityscapes' ``A_leftImg8bit`` may also be named ``A``.

    Raises:
        DatasetError: There is no map, or there are several in one folder.
    """
    home = Path(os.path.abspath(photo)).parent
    names = [stem + ending for stem in _stems(photo) for ending in ("", *_ENDINGS)]
    for start in range(1, len(home.parts) + 1):
        place = folder.joinpath(*home.parts[start:])
        if found := _only(_files(place, names, photo), photo):
            return found
    other = next((path.name for path in sorted(folder.glob("*")) if path.stem in names), "")
    raise DatasetError(
        f"{photo}: has no depth map in {folder}"
        + (f" ({other} is not one)" if other else "")
        + f"; add {photo.stem} with one of {', '.join(SUFFIXES)}, or leave the photograph out"
    )


def find_beside(photo: Path) -> Path | None:
    """Return the depth map that lies with a photograph, or None.

    The map of ``A`` is ``A_depth``, ``A.depth`` or ``A_disparity`` in the same folder, or one of
    these or ``A`` in a folder ``depth`` or ``disparity`` inside that folder or beside it.

    Raises:
        DatasetError: There are several maps.
    """
    home = Path(os.path.abspath(photo)).parent
    stems = _stems(photo)
    ended = [stem + ending for stem in stems for ending in _ENDINGS]
    found = list(_files(home, ended, photo))
    for parent in (home, home.parent):
        for name in _FOLDERS:
            found += _files(parent / name, [*stems, *ended], photo)
    return _only(found, photo)


def maps_among(paths: Collection[Path]) -> frozenset[Path]:
    """Return the pictures that :func:`find_beside` takes for the depth maps of others."""
    photos = {(path.parent, stem) for path in paths for stem in _stems(path)}
    cousins = {(folder.parent, stem) for folder, stem in photos if folder.name not in _FOLDERS}
    maps = set()
    for path in paths:
        home = path.parent
        bare = [path.stem.removesuffix(end) for end in _ENDINGS if path.stem.endswith(end)]
        places = {(home, stem) for stem in bare}
        if home.name in _FOLDERS:
            places |= {(home.parent, stem) for stem in (path.stem, *bare)}
        if places & photos or (home.name in _FOLDERS and places & cousins):
            maps.add(path)
    return frozenset(maps)


def _stems(photo: Path) -> list[str]:
    """Return the photograph's name and, for Cityscapes, the part that its files share."""
    stem = photo.stem
    shared = stem.removesuffix(_CITYSCAPES)
    return [stem] if shared == stem else [stem, shared]


def _files(folder: Path, names: Iterable[str], photo: Path) -> Iterator[Path]:
    """Yield the files with one of the names and a suffix of maps, except the photograph itself."""
    if not folder.is_dir():
        return
    for name in names:
        for suffix in SUFFIXES:
            spelled = (folder / f"{name}{end}" for end in (suffix, suffix.upper()))
            path = next((each for each in spelled if each.is_file()), None)
            if path is not None and os.path.abspath(path) != os.path.abspath(photo):
                yield path


def _only(found: Iterable[Path], photo: Path) -> Path | None:
    maps = list(found)
    if len(maps) > 1:
        raise DatasetError(f"{photo}: has two depth maps, {maps[0]} and {maps[1]}; keep one")
    return maps[0] if maps else None
