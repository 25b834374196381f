"""Choosing a source of depth: maps, a network, or the heuristic."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rainkit.datasets.depth.finding import find_beside, find_in
from rainkit.datasets.depth.heuristic import guess
from rainkit.datasets.depth.maps import FORMATS, read_map
from rainkit.datasets.depth.network import Network
from rainkit.datasets.depth.source import Picture, Source
from rainkit.datasets.depth.values import Depth
from rainkit.errors import UsageError

__all__ = ["open_source"]

_GUESSED_FOG = 0.5  # a guessed distance may be twice the true one


def open_source(
    name: str, *, form: str | None = None, camera: Path | None = None, device: str = "auto"
) -> Source:
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
            f"--depth-format {form}: is not a known format; choose from {', '.join(FORMATS)}"
        )
    if camera is not None and not camera.is_file():
        raise UsageError(f"--depth-camera {camera}: no such file")
    if name == "auto":
        return _Auto(form, camera)
    folder = Path(name).expanduser()
    if name != "none" and folder.is_dir() and not (folder / "config.json").is_file():
        return _Folder(folder, form, camera)
    if form is not None or camera is not None:
        option = "--depth-format" if form is not None else "--depth-camera"
        raise UsageError(
            f"{option}: is for depth maps, and --depth {name} reads none: leave it out"
        )
    return _Nothing() if name == "none" else Network(name, device)


class _Nothing(Source):
    """The source ``none``, which knows no depth."""

    def of(self, photo: Path, clean: Picture) -> None:
        return None


class _Folder(Source):
    """A folder with a map for every photograph."""

    def __init__(self, folder: Path, form: str | None, camera: Path | None) -> None:
        self._folder, self._form, self._camera = folder, form, camera

    def of(self, photo: Path, clean: Picture) -> Depth:
        path = find_in(self._folder, photo)
        return read_map(path, clean, form=self._form, camera=self._camera)


class _Auto(Source):
    """The map beside a photograph, or else the heuristic."""

    def __init__(self, form: str | None, camera: Path | None) -> None:
        self._form, self._camera = form, camera

    def of(self, photo: Path, clean: Picture) -> Depth | None:
        path = find_beside(photo)
        if path is not None:
            return read_map(path, clean, form=self._form, camera=self._camera)
        z = guess(clean)
        if z is None:
            return None
        return Depth(
            z=z,
            valid=np.ones(z.shape, bool),
            metric=False,
            kind="heuristic",
            source="heuristic",
            fog_scale=_GUESSED_FOG,
        )
