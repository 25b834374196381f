"""Files that hold many others, read in any order: tar archives and LMDB folders.

Nothing stays open from one read to the next: a process may fork, be spawned, or be one of many.
"""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from rainkit.errors import DatasetError, ImageError, UsageError

__all__ = ["LMDB", "TAR", "is_container", "names", "open_member"]

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
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
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
