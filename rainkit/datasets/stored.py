"""A picture in a dataset: a file, a member of an archive, or half of a side-by-side file."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rainkit import images
from rainkit.errors import DatasetError, ImageError

__all__ = ["Stored", "members"]

_HALVES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a picture is kept.

    Attributes:
        path: the file.
        member: name in it, if it is a tar archive.
        half: ``left`` or ``right``, if two pictures lie side by side in it.
        crop: height and width to cut it to from the top left, if not whole.
    """

    path: Path
    member: str = ""
    half: str = ""
    crop: tuple[int, int] | None = None

    @classmethod
    def at(cls, root: Path, locator: str) -> Stored:
        """What a manifest's locator names: ``path``, ``path::member``, ``path::left|right``.

        Raises:
            DatasetError: it leads out of ``root``.
        """
        name, _, inner = locator.partition("::")
        relative = PurePosixPath(name)
        if not name or relative.is_absolute() or ".." in relative.parts or "\\" in name:
            raise DatasetError(f"{locator}: is not a path inside {root}; make the dataset again")
        path = root / relative
        if not path.resolve().is_relative_to(root.resolve()):
            raise DatasetError(f"{path}: is a link that leaves {root}; put the file itself there")
        if inner in _HALVES:
            return cls(path, half=inner)
        return cls(path, member=inner)

    def read(self) -> NDArray[np.uint8]:
        """Decode it: uint8 [H, W, 3] RGB.

        Raises:
            ImageError: it is missing or no picture.
            DatasetError: the archive is damaged or does not hold it.
        """
        data = self._bytes() if self.member else None
        picture = images.read(self.path) if data is None else images.decode(data, str(self))
        rgb = images.to_uint8(picture.rgb)
        if self.half:
            middle = rgb.shape[1] // 2
            rgb = rgb[:, :middle] if self.half == "left" else rgb[:, middle:]
        if self.crop is not None:
            rgb = rgb[: self.crop[0], : self.crop[1]]
        return np.ascontiguousarray(rgb)

    def size(self) -> tuple[int, int]:
        """Width and height in px, from the file's header.

        Raises:
            ImageError, DatasetError: as :meth:`read`.
        """
        if self.crop is not None:
            return self.crop[1], self.crop[0]
        if self.member:
            height, width = images.decode(self._bytes(), str(self)).rgb.shape[:2]
        else:
            width, height = _header_size(self.path)
        return (width // 2 if self.half else width), height

    def __str__(self) -> str:
        return (
            f"{self.path}::{self.member or self.half}"
            if self.member or self.half
            else str(self.path)
        )

    def _bytes(self) -> bytes:
        if self.path.suffix == ".lmdb":
            return self._value()
        try:
            about = self.path.stat()
            first, size = members(self.path, about.st_mtime_ns, about.st_size)[self.member]
            with self.path.open("rb") as file:
                file.seek(first)
                return file.read(size)
        except OSError as error:
            raise ImageError(f"{self}: cannot be read ({error.strerror or error})") from error
        except KeyError as error:
            raise DatasetError(f"{self.path}: holds no file {self.member}") from error

    def _value(self) -> bytes:
        import lmdb

        try:
            with _environment(self.path).begin() as transaction:
                value = transaction.get(self.member.encode())
        except lmdb.Error as error:
            raise DatasetError(f"{self.path}: cannot be read ({error})") from error
        if value is None:
            raise DatasetError(f"{self.path}: holds no key {self.member}")
        return bytes(value)


@lru_cache(maxsize=8)
def _environment(path: Path) -> Any:
    """One open LMDB for each process; it may not be opened twice."""
    import lmdb

    return lmdb.open(str(path), readonly=True, lock=False, readahead=False)


@lru_cache(maxsize=64)
def members(path: Path, _modified: int, _size: int) -> Mapping[str, tuple[int, int]]:
    """Offset and size in bytes of each regular file in an uncompressed tar archive, in order.

    Raises:
        DatasetError: it is no such archive.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            return {each.name: (each.offset_data, each.size) for each in archive if each.isreg()}
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: is no uncompressed tar archive ({error})") from error


def _header_size(path: Path) -> tuple[int, int]:
    """Width and height as shown, turned by the EXIF orientation."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) >= 5
    except Exception:  # whatever is wrong, read() says it in one line
        height, width = images.read(path).rgb.shape[:2]
        return width, height
    return (height, width) if turned else (width, height)
