"""Finding pictures: files, folders and glob patterns."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.errors import UsageError

__all__ = ["SUFFIXES", "Found", "find"]

SUFFIXES = frozenset({".bmp", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
"""Suffixes, in lower case, of the files that folders and patterns are searched for."""

_KINDS = "JPEG, PNG, WebP, TIFF or BMP"


@dataclass(frozen=True, slots=True)
class Found:
    """A picture file.

    Attributes:
        path: the file.
        relative: its path below ``root``, to mirror a tree; the name for a file named directly.
        root: the folder given, or the fixed part of a pattern; None for a file named directly.
    """

    path: Path
    relative: Path
    root: Path | None = None


def find(inputs: Sequence[Path | str]) -> list[Found]:
    """Picture files of all inputs, each once; those of a folder in natural order (2 before 10).

    Folders are searched through all their levels; hidden files and folders are passed over. A file
    named directly is taken whatever its suffix: reading it tells whether it is a picture. What
    exists is taken literally; anything else with ``*``, ``?`` or ``[`` is a pattern, in which
    ``**`` stands for any number of folders.

    Raises:
        UsageError: an input does not exist, or holds no picture.
    """
    if not inputs:
        raise UsageError("no input given: name a picture, a folder or a pattern")
    unique: dict[Path, Found] = {}
    for each in inputs:
        found = list(_look(each))
        if not found:
            raise UsageError(f"{each}: holds no picture ({_KINDS})")
        for one in found:
            unique.setdefault(_absolute(one.path), one)
    return list(unique.values())


def _look(given: Path | str) -> Iterator[Found]:
    if given == "":
        # Path("") would be the working folder.
        raise UsageError("an input is an empty name: name a picture, a folder or a pattern")
    path = Path(given).expanduser()
    if path.is_dir():
        yield from _in_folder(path, path)
    elif path.exists():
        yield Found(path, Path(path.name))
    elif glob.has_magic(str(given)):
        yield from _matching(str(path))
    else:
        raise UsageError(f"{given}: no such file or folder")


def _matching(pattern: str) -> Iterator[Found]:
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
            yield Found(match, match.relative_to(root), root)


def _in_folder(folder: Path, root: Path) -> Iterator[Found]:
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(parent, name) for name in names if _is_picture(name)]
    for path in sorted(paths, key=_natural):
        yield Found(path, path.relative_to(root), root)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def _natural(path: Path) -> list[list[tuple[bool, int, str]]]:
    """Sorts numbers by value, before letters, which have no case; folder by folder."""
    return [
        [
            (not digits, int(digits or 0), text.casefold())
            for digits, text in re.findall(r"(\d+)|(\D+)", part)
        ]
        for part in path.parts
    ]


def _absolute(path: Path) -> Path:
    """Of the same file named in two ways, but not of a link and its target."""
    return Path(os.path.abspath(path))
