"""Finding picture files by name, by folder and by glob pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.errors import UsageError
from rainkit.files import natural

__all__ = ["SUFFIXES", "PictureFile", "find"]

SUFFIXES = frozenset({".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes, in lower case, of the files that are taken from folders and patterns."""

_KINDS = "JPEG, PNG, WebP, TIFF or BMP"


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture file.

    Attributes:
        path: path of the file.
        relative: path of the file below ``root``, by which a tree can be mirrored; the name of a
            file that was given directly.
        root: the folder that was given, or the fixed part of a pattern; None for a file that was
            given directly.
    """

    path: Path
    relative: Path
    root: Path | None = None


def find(inputs: Sequence[Path | str]) -> list[PictureFile]:
    """Return the picture files of all inputs, each once.

    Folders are searched with their sub-folders, in natural order (2 before 10) and without hidden
    files and folders. A file that is given directly is taken whatever its suffix is; reading it
    shows whether it is a picture. The name of an existing file or folder is taken literally. Any
    other input with ``*``, ``?`` or ``[`` is a pattern, in which ``**`` stands for any number of
    folders.

    Raises:
        UsageError: An input does not exist or contains no picture.
    """
    if not inputs:
        raise UsageError("no input given: name a picture, a folder or a pattern")
    unique: dict[Path, PictureFile] = {}
    for each in inputs:
        found = list(_find(each))
        if not found:
            raise UsageError(f"{each}: holds no picture ({_KINDS})")
        for one in found:
            unique.setdefault(_absolute(one.path), one)
    return list(unique.values())


def _find(given: Path | str) -> Iterator[PictureFile]:
    if given == "":
        # Path("") would be the working folder.
        raise UsageError("an input is an empty name: name a picture, a folder or a pattern")
    path = Path(given).expanduser()
    if path.is_dir():
        yield from _in_folder(path, path)
    elif path.exists():
        yield PictureFile(path, Path(path.name))
    elif glob.has_magic(str(given)):
        yield from _matching(str(path))
    else:
        raise UsageError(f"{given}: no such file or folder")


def _matching(pattern: str) -> Iterator[PictureFile]:
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = Path(*fixed)
    for match in sorted(map(Path, glob.glob(pattern, recursive=True)), key=_natural):
        if match.is_dir():
            yield from _in_folder(match, root)
        elif _is_picture(match.name):
            yield PictureFile(match, match.relative_to(root), root)


def _in_folder(folder: Path, root: Path) -> Iterator[PictureFile]:
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent, name) for name in names if _is_picture(name)]
    for path in sorted(paths, key=_natural):
        yield PictureFile(path, path.relative_to(root), root)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def _natural(path: Path) -> list[tuple[str | int, ...]]:
    return [natural(part) for part in path.parts]


def _absolute(path: Path) -> Path:
    """Return the absolute path, by which one file has one name; links are not followed."""
    return Path(os.path.abspath(path))
