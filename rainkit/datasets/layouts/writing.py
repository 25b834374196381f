"""Files of a layout: pictures, targets that several pairs share, and lists."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.errors import FileError
from rainkit.files import atomic_path

__all__ = ["RGB", "encoded", "refuse_others", "save", "share", "write_list"]

RGB = NDArray[np.uint8]
"""[H,W,3]."""

_QUALITY = 95  # of JPEG

_last: tuple[RGB, str, bytes] | None = None
"""A copy of the last target, and its file: a scene's variants have the same one."""


def encoded(clean: RGB, suffix: str) -> bytes:
    """The file of a target; encoding, which takes longest, is done once for equal ones in a row."""
    global _last
    if _last is None or _last[1] != suffix or not np.array_equal(_last[0], clean):
        data = images.encode(images.Picture(clean), suffix, quality=_QUALITY)
        _last = (clean.copy(), suffix, data)
    return _last[2]


def save(rgb: RGB, path: Path, *, overwrite: bool) -> None:
    """Write a picture of its own."""
    images.write(path, images.Picture(rgb), overwrite=overwrite, quality=_QUALITY)


def share(data: bytes, first: Path, path: Path, *, overwrite: bool) -> None:
    """Write a file of which ``first`` may be a copy: a hard link to it where there can be one.

    A ``path`` that holds the data already is left as it is.

    Raises:
        FileError: another file exists and ``overwrite`` is False, or the system refuses to write.
    """
    if _holds(path, data):
        return
    with atomic_path(path, overwrite=overwrite) as temporary:
        if _holds(first, data):
            try:
                os.link(first, temporary)
            except OSError:  # the file system has none, or no more of this file
                temporary.write_bytes(data)
        else:
            temporary.write_bytes(data)


def write_list(path: Path, lines: Iterable[str], *, overwrite: bool) -> None:
    """Write a text file of lines; one that has some of them already is brought up to date.

    Raises:
        FileError: the file has other lines and ``overwrite`` is False, or the system refuses.
    """
    text = "".join(f"{line}\n" for line in lines)
    if not overwrite and path.is_file():
        # Only \n ends a line: names may hold any other separator that Unicode knows.
        held = path.read_text(encoding="utf-8", errors="replace").split("\n")
        refuse_others(path, held, text.split("\n"))
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def refuse_others(path: Path, held: Iterable[str], wanted: Iterable[str]) -> None:
    """Refuse to write ``wanted`` over a file that holds anything else.

    Raises:
        FileError: it does.
    """
    if not set(held) <= set(wanted):
        raise FileError(f"{path}: holds other pairs; pass --overwrite, or write somewhere else")


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False
