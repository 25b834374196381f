"""Finding picture files by name, by folder and by glob pattern."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

from rainkit.errors import UsageError
from rainkit.files import counted, each_of, expanded, natural, system_reason
from rainkit.images import heif

__all__ = ["SUFFIXES", "VIDEO_SUFFIXES", "PictureFile", "find", "left_out", "pictures_below"]

_CONTAINERS = {"HEIC": heif.HEIC_SUFFIXES, "AVIF": heif.AVIF_SUFFIXES}

SUFFIXES = frozenset(
    {".apng", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
).union(*(suffixes for kind, suffixes in _CONTAINERS.items() if heif.readable(kind)))
"""Suffixes, in lower case, of the files that are taken from folders and patterns.

HEIC and AVIF files are among them if they can be read here."""

VIDEO_SUFFIXES = frozenset({".m4v", ".mkv", ".mov", ".mp4", ".webm"})
"""Suffixes, in lower case, of the files that are taken for videos."""

_VIDEOS = VIDEO_SUFFIXES if find_spec("av") is not None else frozenset()

_KINDS = "JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF"

_COMPANIONS = frozenset(
    {".aae", ".cfg", ".css", ".csv", ".db", ".gz", ".htm", ".html", ".ini", ".ipynb", ".js"}
    | {".json", ".jsonl", ".lock", ".log", ".m", ".mat", ".md", ".mdb", ".npy", ".npz", ".parquet"}
    | {".pdf", ".pt", ".pth", ".py", ".safetensors", ".sh", ".tar", ".tex", ".toml", ".tsv"}
    | {".txt", ".xml", ".xmp", ".yaml", ".yml", ".zip"}
)
"""Suffixes of files that nobody takes for pictures; files of other suffixes are mentioned."""


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


def find(inputs: Sequence[Path | str] | Path | str, *, videos: bool = False) -> list[PictureFile]:
    """Return the picture files of all inputs, each once.

    Folders are searched with their sub-folders, in natural order (2 before 10) and without hidden
    files and folders. Links to folders are followed, but each folder is searched once, see
    :func:`left_out`. A file that is given directly is taken whatever its suffix is; reading it
    shows whether it is a picture. The name of an existing file or folder is taken literally. Any
    other input with ``*``, ``?`` or ``[`` is a pattern, in which ``**`` stands for any number of
    folders.

    Args:
        inputs: files, folders and patterns; a lone one need not be in a list.
        videos: take videos, too, if they can be read here.

    Raises:
        UsageError: An input does not exist or contains no picture.
    """
    if not inputs:
        raise UsageError("no input given: name a picture, a folder or a pattern")
    unique: dict[Path, PictureFile] = {}
    for each in each_of(inputs):
        found = list(_find(each, SUFFIXES | _VIDEOS if videos else SUFFIXES))
        if not found:
            more = "".join(f"; {line}" for line in left_out([each], videos=videos))
            raise UsageError(f"{each}: holds no picture ({_KINDS}){more}")
        for one in found:
            unique.setdefault(_absolute(one.path), one)
    return list(unique.values())


def _find(given: Path | str, suffixes: frozenset[str]) -> Iterator[PictureFile]:
    if given == "":
        # Path("") would be the working folder.
        raise UsageError("an input is an empty name: name a picture, a folder or a pattern")
    path = expanded(given)
    if path.is_dir():
        yield from _in_folder(path, path, suffixes)
    elif os.path.exists(path):  # False for names that are too long
        yield PictureFile(path, Path(path.name))
    elif glob.has_magic(str(given)):
        yield from _matching(str(path), suffixes)
    else:
        raise UsageError(f"{given}: no such file or folder")


def _matching(pattern: str, suffixes: frozenset[str]) -> Iterator[PictureFile]:
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = Path(*fixed)
    wanted = Path(pattern).relative_to(root).parts
    if "**" in wanted:
        # glob would follow links that lead round in circles for ever.
        for path in _below(root, suffixes):
            if _matches(path.relative_to(root).parts, wanted):
                yield PictureFile(path, path.relative_to(root), root)
        return
    for match in sorted(map(Path, glob.glob(pattern)), key=_natural):
        if match.is_dir():
            yield from _in_folder(match, root, suffixes)
        elif _is_one(match.name, suffixes):
            yield PictureFile(match, match.relative_to(root), root)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path, or a folder that holds it, matches a pattern with ``**``."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or bool(parts and _matches(parts[1:], pattern))
    return bool(parts and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:]))


def _in_folder(folder: Path, root: Path, suffixes: frozenset[str]) -> Iterator[PictureFile]:
    for path in _below(folder, suffixes):
        yield PictureFile(path, path.relative_to(root), root)


def pictures_below(folder: Path) -> list[Path]:
    """Return the picture files of a folder and of those below it, as :func:`find` does."""
    return _below(folder, SUFFIXES)


def _below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    found = (path for path in _walk(folder).files if _is_one(path.name, suffixes))
    return sorted(found, key=_natural)


def left_out(inputs: Iterable[Path | str] | Path | str, *, videos: bool = False) -> tuple[str, ...]:
    """Return a line for what :func:`find` leaves out of folders, and for what it cannot follow.

    Such a line is ``5 files passed over (4 HEIC, 1 MOV)``. Hidden files, and files that nobody
    takes for pictures, such as text, are not mentioned.

    Args:
        inputs: files, folders and patterns; a lone one need not be in a list.
        videos: whether :func:`find` took videos, too.
    """
    taken = SUFFIXES | (_VIDEOS if videos else frozenset())
    passed: Counter[str] = Counter()
    loops: list[Path] = []
    refused: list[str] = []
    for folder in dict.fromkeys(expanded(each) for each in each_of(inputs) if each != ""):
        if folder.is_dir():
            walked = _walk(folder)
            suffixes = (path.suffix.lower() for path in walked.files)
            passed.update(s for s in suffixes if s and s not in taken | _COMPANIONS)
            loops += walked.loops
            refused += walked.refused
    lines = []
    if passed:
        kinds = [(suffix[1:].upper(), count) for suffix, count in passed.most_common()]
        told = ", ".join(f"{count} {kind}" for kind, count in kinds)
        only = kinds[0][0] if len(kinds) == 1 else told
        remedies = [
            f"; to read {kind}, {heif.remedy(kind)}"
            for kind, suffixes in _CONTAINERS.items()
            if passed.keys() & suffixes
        ]
        if videos and passed.keys() & VIDEO_SUFFIXES:
            remedies.append("; to read videos, pip install av")
        line = f"{counted(passed.total(), 'file')} passed over ({only})"
        lines.append(line + "".join(remedies))
    lines += [f"{path}: not followed, since it links to a folder that holds it" for path in loops]
    return (*lines, *refused)


@dataclass(frozen=True, slots=True)
class _Walked:
    """All files in and below a folder that are not hidden, and links that lead to a loop.

    ``refused`` are lines about folders that cannot be listed.
    """

    files: list[Path]
    loops: list[Path]
    refused: list[str]


def _walk(folder: Path) -> _Walked:
    """List a folder and all folders below it; each real folder is searched once.

    A link to a folder that is found without it, or by another link, adds nothing.
    """
    walked = _Walked([], [], [])
    seen: set[str] = set()
    links: list[Path] = []

    def refused(error: OSError) -> None:
        walked.refused.append(f"{error.filename}: cannot be listed ({system_reason(error)})")

    def search(top: Path) -> None:
        for parent, folders, names in os.walk(top, onerror=refused):
            seen.add(os.path.realpath(parent))
            folders[:] = sorted((f for f in folders if not f.startswith(".")), key=natural)
            links.extend(path for f in folders if (path := Path(parent, f)).is_symlink())
            walked.files.extend(Path(parent, name) for name in names if not name.startswith("."))

    search(folder)
    for link in links:  # grows while links are followed
        real = os.path.realpath(link)
        if Path(os.path.realpath(link.parent)).is_relative_to(real):
            walked.loops.append(link)
        elif real not in seen:
            search(link)
    return walked


def _is_one(name: str, suffixes: frozenset[str]) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in suffixes


def _natural(path: Path) -> list[tuple[str | int, ...]]:
    return [natural(part) for part in path.parts]


def _absolute(path: Path) -> Path:
    """Return the absolute path, by which one file has one name; links are not followed."""
    return Path(os.path.abspath(path))
