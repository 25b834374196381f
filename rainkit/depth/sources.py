"""Choosing a source of depth: maps, a network, or the heuristic."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np

from rainkit.depth.depth_map import DepthMap, DepthSource
from rainkit.depth.files import FORMATS, SUFFIXES, read_map
from rainkit.depth.heuristic import estimate_depth
from rainkit.depth.network import Network
from rainkit.errors import DatasetError, UsageError
from rainkit.images import RGB8

__all__ = ["maps_among", "open_source"]

_GUESSED_FOG = 0.5  # a guessed distance may be twice the true one

_ENDINGS = ("_depth", ".depth", "_disparity")
_FOLDERS = ("depth", "disparity")
_CITYSCAPES = "_leftImg8bit"


def open_source(
    name: str, *, form: str | None = None, camera: Path | None = None, device: str = "auto"
) -> DepthSource:
    """Return the source of depth with a given name. A network is loaded on first use only.

    Args:
        name: ``auto`` for the map beside a photograph or else the heuristic, ``none``, a folder of
            maps, or a network: its folder, or its name on the Hugging Face hub if a copy is in the
            local cache. Nothing is ever downloaded.
        form: format of the maps, one of FORMATS; None to go by the file.
        camera: camera file for Cityscapes disparity; None for the one beside each map.
        device: device of a network: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: The format is unknown, a folder, file or network is missing, or a package is.
    """
    if form is not None and form not in FORMATS:
        raise UsageError(
            f"--set depth_format={form}: is not a known format; choose from {', '.join(FORMATS)}"
        )
    if camera is not None and not camera.is_file():
        raise UsageError(f"--set depth_camera={camera}: no such file")
    if name == "auto":
        return _Auto(form, camera)
    folder = Path(name).expanduser()
    if name != "none" and folder.is_dir() and not (folder / "config.json").is_file():
        return _Folder(folder, form, camera)
    if form is not None or camera is not None:
        option = "depth_format" if form is not None else "depth_camera"
        raise UsageError(
            f"--set {option}: is for depth maps, and --depth {name} reads none: leave it out"
        )
    return _Nothing() if name == "none" else Network(name, device)


class _Nothing(DepthSource):
    """The source ``none``, which knows no depth."""

    def of(self, photo: Path, clean: RGB8) -> None:
        return None


class _Folder(DepthSource):
    """A folder with a map for every photograph."""

    def __init__(self, folder: Path, form: str | None, camera: Path | None) -> None:
        self._folder, self._form, self._camera = folder, form, camera

    def of(self, photo: Path, clean: RGB8) -> DepthMap:
        path = _map_in_folder(self._folder, photo)
        return read_map(path, clean, form=self._form, camera=self._camera)


class _Auto(DepthSource):
    """The map beside a photograph, or else the heuristic."""

    def __init__(self, form: str | None, camera: Path | None) -> None:
        self._form, self._camera = form, camera

    def of(self, photo: Path, clean: RGB8) -> DepthMap | None:
        path = _map_beside(photo)
        if path is not None:
            return read_map(path, clean, form=self._form, camera=self._camera)
        z = estimate_depth(clean)
        if z is None:
            return None
        return DepthMap(
            z=z,
            valid=np.ones(z.shape, bool),
            metric=False,
            kind="heuristic",
            source="heuristic",
            fog_scale=_GUESSED_FOG,
        )


def _map_in_folder(folder: Path, photo: Path) -> Path:
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


def _map_beside(photo: Path) -> Path | None:
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
    """Return the pictures that are the depth maps of others by their names and folders."""
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
    # os.path.isfile, since Path.is_file raises where a name is too long for the system.
    for name in names:
        for suffix in SUFFIXES:
            spelled = (folder / f"{name}{end}" for end in (suffix, suffix.upper()))
            path = next((each for each in spelled if os.path.isfile(each)), None)
            if path is not None and os.path.abspath(path) != os.path.abspath(photo):
                yield path


def _only(found: Iterable[Path], photo: Path) -> Path | None:
    maps = list(found)
    if len(maps) > 1:
        raise DatasetError(f"{photo}: has two depth maps, {maps[0]} and {maps[1]}; keep one")
    return maps[0] if maps else None
