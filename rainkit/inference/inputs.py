"""What a run takes: files, folders, patterns, lists, standard input and object stores.

    photos/ a.jpg 'trip/**/*.jpg'    what :func:`rainkit.images.find` finds
    @list.txt                        a file with an input on each line
    -                                standard input: such a list, or the bytes of a picture
    s3://bucket/photos/              whatever fsspec opens (``rainkit[fsspec]``)

A picture that is no file of this machine has a :class:`RemotePath`; :func:`read_bytes` reads all.
"""

from __future__ import annotations

import codecs
import glob
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rainkit import images
from rainkit.errors import FileError, ImageError, UsageError, one_line
from rainkit.files import expanded, natural, system_reason
from rainkit.images import SUFFIXES, PictureFile

__all__ = ["Found", "RemotePath", "Shard", "find", "fingerprint", "read_bytes"]

if TYPE_CHECKING:
    _Base = Path
else:
    _Base = type(Path())  # a path of this system; Path itself is not made to be derived from

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|\w+::\w+")

_SIGNATURES = (
    (b"\xff\xd8\xff", 0, ".jpg"),
    (b"\x89PNG\r\n\x1a\n", 0, ".png"),
    (b"WEBP", 8, ".webp"),
    (b"II*\0", 0, ".tif"),
    (b"MM\0*", 0, ".tif"),
    (b"II+\0", 0, ".tif"),
    (b"MM\0+", 0, ".tif"),
    (b"GIF8", 0, ".gif"),
    (b"ftypavi", 4, ".avif"),
    (b"ftyphe", 4, ".heic"),
    (b"ftypmif1", 4, ".heic"),
)
"""Bytes at an offset by which a picture on standard input is told from a list, and its suffix."""


class RemotePath(_Base):
    """Name of a picture in an object store, such as ``s3://bucket/a.jpg``, or elsewhere in fsspec.

    It has the parts of a path, and is no file of this machine.
    """

    def __str__(self) -> str:
        """Return the URL, whose two slashes a path has as one."""
        return re.sub(r":/(?=[^/])", "://", super().__str__().replace(os.sep, "/"))

    def fetch(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            ImageError: the store refuses.
        """
        try:
            system, place = _store(str(self))
            return bytes(system.cat_file(place))
        except Exception as error:  # a store may raise anything
            raise ImageError(f"{self}: cannot be read ({_reason(error)})") from error

    def fingerprint(self) -> str | None:
        """Return what the store tells of the file's content without reading it; None if nothing."""
        try:
            system, place = _store(str(self))
            return str(system.ukey(place))
        except Exception:
            return None


class _StandardInput(RemotePath):
    """Name of a picture whose bytes came through standard input."""

    data: bytes

    def fetch(self) -> bytes:
        return self.data

    def fingerprint(self) -> str | None:
        return None


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a picture file, wherever it is.

    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(path, RemotePath):
        return path.fetch()
    try:
        with images.open_file(path) as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({system_reason(error)})") from error


def fingerprint(path: Path) -> str | None:
    """Return a text that changes when a file is written anew, from its size and time.

    The result is None if there is no such text.
    """
    if isinstance(path, RemotePath):
        return path.fingerprint()
    try:
        stat = path.stat()
    except OSError:
        return None
    return f"{stat.st_size} {stat.st_mtime_ns}"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of the pictures, of which each run of an array job takes one.

    The name of a picture alone decides which part it belongs to, so that parts stay disjoint, and
    together complete, while pictures are added.

    Attributes:
        number: which part, 1 to ``of``.
        of: how many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``2/8``.

        Raises:
            UsageError: the text is not of this form, or the number not within 1 to ``of``.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if match is None:
            raise UsageError(f"--shard {text}: give a number and how many there are, such as 2/8")
        number, of = map(int, match.groups())
        if not 1 <= number <= of:
            more = "; shards count from 1: add 1 to a job number that counts from 0"
            raise UsageError(f"--shard {text}: choose 1/{of} to {of}/{of}{more if of else ''}")
        return cls(number, of)

    def holds(self, name: str) -> bool:
        """Return whether a picture of this name belongs to the part."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.of == self.number - 1

    def __str__(self) -> str:
        """Return the part as ``--shard`` takes it."""
        return f"{self.number}/{self.of}"


@dataclass(frozen=True, slots=True)
class Found:
    """The pictures of all inputs.

    Attributes:
        pictures: each once, in the order of the inputs.
        folders: inputs of this machine that may hold files which were passed over.
    """

    pictures: tuple[PictureFile, ...]
    folders: tuple[Path | str, ...]

    @property
    def piped(self) -> bool:
        """Whether a picture came through standard input."""
        return any(isinstance(each.path, _StandardInput) for each in self.pictures)

    def left_out(self) -> tuple[str, ...]:
        """Return what was passed over, see :func:`rainkit.images.left_out`."""
        return images.left_out(self.folders, videos=True)


def find(inputs: Sequence[Path | str]) -> Found:
    """Return the pictures of all inputs.

    The name of a file or folder that exists is taken literally. The pictures of a list have a
    common folder as their root, so that their tree is mirrored; names in a list that do not exist
    are found, too, since reading them tells, unless none exists.

    Raises:
        UsageError: an input does not exist or contains no picture, or fsspec is missing for a URL.
        FileError: a list, standard input or a store cannot be read.
    """
    if not inputs:
        raise UsageError("no input given: name a picture, a folder or a pattern")
    unique: dict[str, PictureFile] = {}
    folders: list[Path | str] = []
    for given in inputs:
        for one in _found(given, folders):
            path = one.path
            name = str(path) if isinstance(path, RemotePath) else os.path.abspath(path)
            unique.setdefault(name, one)
    return Found(tuple(unique.values()), tuple(folders))


def _found(given: Path | str, folders: list[Path | str]) -> Iterable[PictureFile]:
    text = str(given)
    if text == "-":
        data = _standard_input()
        if (suffix := _picture_suffix(data)) is None:
            return _listed(data, "standard input", folders)
        path = _StandardInput(f"stdin{suffix}")
        path.data = data
        return [PictureFile(path, Path(path.name))]
    if text.startswith("@") and not os.path.exists(text):
        name = expanded(text[1:])
        try:
            data = name.read_bytes()
        except OSError as error:
            raise FileError(f"{name}: the list cannot be read ({system_reason(error)})") from error
        return _listed(data, str(name), folders)
    if _is_url(text):
        return _in_store(text)
    local = _local(given)
    folders.append(local)
    return images.find([local], videos=True)


def _is_url(text: str) -> bool:
    return _URL.match(text) is not None and not text.lower().startswith("file://")


def _local(given: Path | str) -> Path | str:
    """Return the path of a ``file://`` URL; anything else as it is."""
    if not str(given).lower().startswith("file://"):
        return given
    return unquote(urlsplit(str(given)).path)


def _standard_input() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise FileError(f"standard input: cannot be read ({system_reason(error)})") from error


def _picture_suffix(data: bytes) -> str | None:
    for signature, place, suffix in _SIGNATURES:
        if data.startswith(signature, place):
            return suffix
    # A list may begin with these two letters, but it holds no zeros, except between names.
    bitmap = data.startswith(b"BM") and b"\0" in data[:14]
    return ".bmp" if bitmap else None


def _listed(data: bytes, name: str, folders: list[Path | str]) -> list[PictureFile]:
    """Return the pictures of a list; names are separated by line ends, or by zeros if it has any.

    Empty lines and those that begin with ``#`` are passed over.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    lines = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    names = [os.fsdecode(each) for each in lines if each.strip() and not each.startswith(b"#")]
    if not names:
        raise UsageError(f"{name}: the list is empty; write the name of an input on each line")
    local: list[PictureFile] = []
    remote: list[PictureFile] = []
    lost = 0
    for each in names:
        if _is_url(each):
            remote += _in_store(each)
            continue
        path = expanded(_local(each))
        if os.path.exists(path) or (glob.has_magic(str(path)) and glob.glob(str(path))):
            folders.append(path)
            local += images.find([path], videos=True)
        else:
            lost += 1
            local.append(PictureFile(path, Path(path.name)))
    if lost == len(names):
        raise UsageError(
            f"{name}: nothing in the list exists, for example {names[0]}; names that are not "
            "absolute are taken from the working folder"
        )
    return _mirrored(local) + remote


def _mirrored(pictures: Sequence[PictureFile]) -> list[PictureFile]:
    """Return pictures with the folder that is common to all as their root."""
    if not pictures:
        return []
    paths = [Path(os.path.abspath(each.path)) for each in pictures]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    here = Path.cwd()
    shown = root.relative_to(here) if root.is_relative_to(here) else root
    return [
        PictureFile(each.path, path.relative_to(root), shown)
        for each, path in zip(pictures, paths, strict=True)
    ]


def _store(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it.

    Raises:
        UsageError: fsspec, or its part for such URLs, is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(f"{url}: URLs need fsspec; pip install fsspec") from error
    try:
        system, place = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{url}: cannot be opened ({one_line(error)})") from error
    return system, str(place)


def _in_store(url: str) -> list[PictureFile]:
    """Return the picture at a URL, or those below it, or those that match a pattern."""
    system, place = _store(url)
    try:
        found = list(_search(system, place))
    except Exception as error:  # a store may raise anything
        raise FileError(f"{url}: cannot be listed ({_reason(error)})") from error
    if not found:
        raise UsageError(f"{url}: no such file or folder, or it holds no picture")
    return sorted(found, key=lambda each: [natural(part) for part in each.path.parts])


def _search(system: Any, place: str) -> Iterator[PictureFile]:
    if glob.has_magic(place) and not system.exists(place):
        fixed = re.split(r"[*?\[]", place)[0].rpartition("/")[0]
        for match in system.glob(place):
            if system.isdir(match):
                yield from _below(system, match, fixed)
            elif _is_picture(match):
                yield _remote(system, match, fixed)
    elif system.isfile(place):
        yield _remote(system, place, None)
    elif system.isdir(place):
        yield from _below(system, place, place)


def _below(system: Any, folder: str, root: str) -> Iterator[PictureFile]:
    for match in system.find(folder):
        # Windows takes the backslash in the name of an object for the end of a folder, too.
        inside = re.split(r"[/\\]", match.removeprefix(root).strip("/"))
        if _is_picture(match) and not any(part.startswith(".") for part in inside):
            yield _remote(system, match, root)


def _is_picture(name: str) -> bool:
    last = name.rpartition("/")[2]
    return not last.startswith(".") and Path(last).suffix.lower() in SUFFIXES


def _remote(system: Any, place: str, root: str | None) -> PictureFile:
    path = RemotePath(system.unstrip_protocol(place))
    if root is None:
        return PictureFile(path, Path(path.name))
    top = RemotePath(system.unstrip_protocol(root))
    return PictureFile(path, Path(place.removeprefix(root).strip("/")), top)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return system_reason(error) if isinstance(error, OSError) else one_line(error)
