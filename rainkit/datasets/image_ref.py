"""References to images in a dataset: files, members of archives, halves of images."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.errors import DatasetError, ImageError, UsageError
from rainkit.files import system_reason

__all__ = [
    "LMDB",
    "TAR",
    "ImageRef",
    "is_container",
    "names",
    "open_member",
]


TAR = ".tar"
LMDB = ".lmdb"

_one_lmdb = threading.Lock()
"""No LMDB may be opened twice in one process."""


def is_container(path: Path) -> bool:
    """By its suffix."""
    return path.suffix in (TAR, LMDB)


def names(path: Path) -> tuple[str, ...]:
    """Names of the files in a tar archive, in order, or keys of an LMDB.

    Raises:
        ImageError: there is no such file.
        DatasetError: it is damaged, or a name would lead out of a folder.
        UsageError: LMDB is not installed.
    """
    if path.suffix == TAR:
        found = tuple(_places(path))
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


def open_member(path: Path, name: str) -> BinaryIO:
    """The file of one member, to be read from its start.

    Raises:
        ImageError: there is no such file.
        DatasetError: it is damaged, or has no such member.
        UsageError: LMDB is not installed.
    """
    if path.suffix == TAR:
        place = _places(path).get(name)
        if place is not None:
            return io.BufferedReader(_Window(path, *place))
    else:
        with _transaction(path) as transaction:
            value = transaction.get(name.encode())
            if value is not None:
                return io.BytesIO(value)
    raise DatasetError(f"{path}: holds no file {name}; put the whole dataset in place again")


class _Window(io.RawIOBase):
    """Part of a file, as a file."""

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


def _places(path: Path) -> Mapping[str, tuple[int, int]]:
    """Offset and size in bytes of each file in a tar archive."""
    try:
        about = path.stat()
        return _index(path, about.st_mtime_ns, about.st_size)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({system_reason(error)})") from error
    except tarfile.TarError as error:
        raise DatasetError(
            f"{path}: is no uncompressed tar archive ({error}); decompress it, or get it again if"
            " it is damaged"
        ) from error


@lru_cache(maxsize=256)
def _index(path: Path, _modified: int, _size: int) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.isreg():
                found[info.name] = info.offset_data, info.size
            elif info.islnk() and info.linkname in found:
                found[info.name] = found[info.linkname]
        # tarfile takes whatever is no header for the end.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it does not end as it should")
    return found


@contextmanager
def _transaction(path: Path) -> Iterator[Any]:
    try:
        import lmdb
    except ImportError as error:
        raise UsageError(f'{path}: needs lmdb; pip install "rainkit[lmdb]"') from error
    options = {"readonly": True, "lock": False, "readahead": False, "create": False}
    try:
        # To open one takes 50 microseconds.
        with _one_lmdb, lmdb.open(str(path), **options) as whole, whole.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DatasetError(f"{path}: cannot be read as LMDB ({error}); get it again") from error


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where a picture is kept.

    Attributes:
        path: the file.
        member: name in it, if it is a tar archive; key, if it is an LMDB folder.
        half: ``left`` or ``right``, if two pictures lie side by side in it.
        crop: height and width to cut it to from the top left, if not whole.
    """

    path: Path
    member: str = ""
    half: str = ""
    crop: tuple[int, int] | None = None

    @classmethod
    def at(cls, root: Path, locator: str) -> ImageRef:
        """What a manifest's locator names: ``path``, ``path::member``, ``path::left|right``.

        Raises:
            DatasetError: it leads out of ``root``, or is none.
        """
        name, _, inner = locator.partition("::")
        relative = PurePosixPath(name)
        odd = relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name
        if odd or not relative.parts:
            raise DatasetError(f"{locator!r} is not a path inside {root}; make the dataset again")
        path = root / relative
        if not path.resolve().is_relative_to(root.resolve()):
            raise DatasetError(f"{path}: is a link that leaves {root}; put the file itself there")
        if is_container(path):
            return cls(path, member=inner)
        if inner not in ("", "left", "right"):
            raise DatasetError(f"{locator!r}: {name} has a left and a right half, but no {inner!r}")
        return cls(path, half=inner)

    def open(self) -> BinaryIO:
        """The encoded picture, whole even if this is half of it.

        Raises:
            ImageError: there is no such file.
            DatasetError: the container is damaged or does not hold it.
        """
        if self.member:
            return open_member(self.path, self.member)
        return images.open_file(self.path)

    def read(self) -> NDArray[np.uint8]:
        """Decode it: uint8 [H,W,3] RGB; 16-bit pictures are rounded to 8 bit.

        Raises:
            ImageError: it is missing, no picture, or not made of two halves.
            DatasetError: as :meth:`open`.
        """
        with self.open() as file:
            rgb = images.to_uint8(images.decode(file.read(), self._file).rgb)
        if self.half:
            middle = self._middle(rgb.shape[1])
            rgb = rgb[:, :middle] if self.half == "left" else rgb[:, middle:]
        if self.crop is not None:
            rgb = rgb[: self.crop[0], : self.crop[1]]
        return np.ascontiguousarray(rgb)

    def size(self) -> tuple[int, int]:
        """Width and height in px, from the picture's header.

        Raises:
            ImageError, DatasetError: as :meth:`read`.
        """
        if self.crop is not None:
            return self.crop[1], self.crop[0]
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
