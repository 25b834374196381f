"""References to pictures in a dataset: files, members of archives, halves of pictures."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from rainkit import images
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.files import system_reason

__all__ = [
    "ImageRef",
    "member_names",
]


@dataclass(frozen=True, slots=True)
class ImageRef:
    """The place where a picture is stored.

    Attributes:
        path: file that holds the picture.
        member: member name if the file is a tar archive, or key if it is an LMDB folder.
        half: ``left`` or ``right`` if the file holds two pictures side by side.
        crop: top, left, height and width of the part that is meant; None for all of it.
    """

    path: Path
    member: str = ""
    half: str = ""
    crop: tuple[int, int, int, int] | None = None

    @classmethod
    def from_locator(cls, root: Path, locator: str) -> ImageRef:
        """Return the picture that a locator names below ``root``.

        A locator, as manifests hold it, is ``path``, ``path::member`` or ``path::left|right``.

        Raises:
            DatasetError: the locator leads out of ``root``, or is not a valid one.
        """
        name, _, inner = locator.partition("::")
        relative = PurePosixPath(name)
        odd = relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name
        if odd or not relative.parts:
            raise DatasetError(f"{locator!r} is not a path inside {root}; make the dataset again")
        path = root / relative
        if not path.resolve().is_relative_to(root.resolve()):
            raise DatasetError(f"{path}: is a link that leaves {root}; put the file itself there")
        if path.suffix in (_TAR, _LMDB):
            return cls(path, member=inner)
        if inner not in ("", "left", "right"):
            raise DatasetError(f"{locator!r}: {name} has a left and a right half, but no {inner!r}")
        return cls(path, half=inner)

    def open(self) -> BinaryIO:
        """Open the encoded picture; a half or a crop gives the whole picture that it is part of.

        Raises:
            ImageError: the file does not exist.
            DatasetError: the archive is damaged or does not hold the picture.
        """
        if self.member:
            return _open_member(self.path, self.member)
        return images.open_file(self.path)

    def read(self) -> images.RGB8:
        """Decode the picture as uint8 [H,W,3] RGB; 16-bit pictures are rounded to 8 bits.

        Raises:
            ImageError: the picture is missing, cannot be decoded, or does not have two halves.
            DatasetError: as :meth:`open`.
        """
        with self.open() as file:
            rgb = images.to_uint8(images.decode(file.read(), self._file).rgb)
        if self.half:
            middle = self._middle(rgb.shape[1])
            rgb = rgb[:, :middle] if self.half == "left" else rgb[:, middle:]
        if self.crop is not None:
            top, left, height, width = self.crop
            rgb = rgb[top : top + height, left : left + width]
        return np.ascontiguousarray(rgb)

    def size(self) -> tuple[int, int]:
        """Return width and height in px; only the picture's header is read.

        Raises:
            ImageError, DatasetError: as :meth:`read`.
        """
        if self.crop is not None:
            return self.crop[3], self.crop[2]
        with self.open() as file:
            width, height = images.size(file, self._file)
        return (self._middle(width) if self.half else width), height

    def __str__(self) -> str:
        return f"{self._file}::{self.half}" if self.half else self._file

    @property
    def _file(self) -> str:
        return f"{self.path}::{self.member}" if self.member else str(self.path)

    def _middle(self, width: int) -> int:
        if width % 2:
            raise ImageError(f"{self._file}: is {width} px wide, which is not two equal halves")
        return width // 2


_TAR = ".tar"
_LMDB = ".lmdb"


def member_names(path: Path) -> tuple[str, ...]:
    """Return the names of the files in a tar archive, in order, or the keys of an LMDB.

    Raises:
        ImageError: the archive does not exist.
        DatasetError: the archive is damaged, or a name in it leads out of a folder.
        UsageError: LMDB is not installed.
    """
    if path.suffix == _TAR:
        found = tuple(_tar_members(path))
    else:
        with _transaction(path) as transaction:
            found = tuple(
                key.decode("utf-8", "replace")
                for key in transaction.cursor().iternext(keys=True, values=False)
            )
    for name in found:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts:
            raise DatasetError(f"{path}: holds {name!r}, which leads out of it; pack it again")
    return found


def _open_member(path: Path, name: str) -> BinaryIO:
    """Open one member of a tar archive or an LMDB for reading from its start."""
    if path.suffix == _TAR:
        place = _tar_members(path).get(name)
        if place is not None:
            return io.BufferedReader(_FileSection(path, *place))
    else:
        with _transaction(path) as transaction:
            value = transaction.get(os.fsencode(name))
            if value is not None:
                return io.BytesIO(value)
    raise DatasetError(f"{path}: holds no file {name}; put the whole dataset in place again")


class _FileSection(io.RawIOBase):
    """A section of a file that can be read as a file of its own."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._start, self._size = start, size
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        return self._file.seek(self._start + max(0, origin + offset)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def readinto(self, buffer: Any, /) -> int:
        left = max(0, self._size - self.tell())
        return self._file.readinto(memoryview(buffer)[:left]) or 0

    def close(self) -> None:
        self._file.close()
        super().close()


def _tar_members(path: Path) -> Mapping[str, tuple[int, int]]:
    """Return the offset and the size in bytes of each file in a tar archive."""
    try:
        about = path.stat()
        return _index(path, about.st_mtime_ns, about.st_size)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({system_reason(error)})") from error
    except tarfile.TarError as error:
        raise DatasetError(
            f"{path}: is not an uncompressed tar archive ({error}); decompress it, or get it"
            " again if it is damaged"
        ) from error


@lru_cache(maxsize=256)
def _index(path: Path, _modified: int, _size: int) -> Mapping[str, tuple[int, int]]:
    """Index a tar archive; a change of its time or size makes a new index."""
    found: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.isreg():
                found[info.name] = info.offset_data, info.size
            elif info.islnk() and info.linkname in found:
                found[info.name] = found[info.linkname]
        # tarfile takes a damaged header for the end of the archive.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it does not end as it should")
    return found


_one_lmdb = threading.Lock()
"""LMDB forbids opening a database twice in one process."""


@contextmanager
def _transaction(path: Path) -> Iterator[Any]:
    try:
        import lmdb
    except ImportError as error:
        raise UsageError(f"{path}: needs lmdb; pip install lmdb") from error
    options = {"readonly": True, "lock": False, "readahead": False, "create": False}
    try:
        # Opening takes 50 microseconds, so nothing is kept open between reads.
        with _one_lmdb, lmdb.open(str(path), **options) as whole, whole.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DatasetError(f"{path}: cannot be read as LMDB ({error}); get it again") from error
