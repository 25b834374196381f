"""What the writers of all layouts share: the layout's interface, names, and files."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from rainkit import images
from rainkit.datasets.manifest import Record
from rainkit.errors import FileError, UsageError
from rainkit.files import atomic_path, is_device, write_text
from rainkit.images import RGB8

__all__ = [
    "Entry",
    "Layout",
    "Place",
    "encode_target",
    "parameters",
    "portable",
    "refuse_other_pairs",
    "save",
    "write_linked",
    "write_list",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A pair to be written.

    Attributes:
        scene: name of the scene, unique in the dataset even if case is ignored.
        variant: number of the scene's rain, from 1; one process writes a scene's variants in
            order.
        number: number of the pair in its split, from 1; a scene's variants have consecutive
            numbers. Pairs that could not be made leave gaps.
        scene_number: number of the scene in its split, from 1.
        count: planned number of pairs in the split.
        split: name of the split, such as ``train``; empty if the dataset is not split.
        suffix: suffix of both pictures, ``.png`` or ``.jpg``.
        frame: number of the frame in a sequence, from 1; None for a single picture.
    """

    scene: str
    variant: int
    number: int
    scene_number: int
    count: int
    split: str
    suffix: str
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a pair as two locators: paths relative to the dataset, with forward slashes.

    A member of a tar file is ``path::member``, half of a picture is ``path::left`` or
    ``path::right``. No other path holds ``::``.
    """

    input: str
    target: str


class Layout(ABC):
    """A layout in which a dataset is written.

    Attributes:
        name: name of the layout.
        doc: description for a list of layouts.
        sequences: whether the layout supports frames of sequences.
    """

    name: ClassVar[str]
    doc: ClassVar[str]
    sequences: ClassVar[bool] = False

    def place(self, entry: Entry) -> Place:
        """Return the place of a pair in the finished dataset.

        Raises:
            UsageError: the pair is a frame of a sequence, which the layout does not support.
        """
        if entry.frame is not None and not self.sequences:
            raise UsageError(
                f"--layout {self.name}: has no place for sequences; use --layout restormer"
            )
        return self._place(entry)

    def renumbered(self, entry: Entry, path: str) -> Entry:
        """Return a pair with the numbers that it has in ``path``, its place in this layout.

        Scenes that could not be made leave gaps in the numbers, which are to stay where the dataset
        is made again. Layouts that do not number their files return the pair as it is.
        """
        return entry

    def write(self, out: Path, entry: Entry, rainy: RGB8, clean: RGB8, *, overwrite: bool) -> None:
        """Write both pictures, the rainy one last; no file is ever written in part.

        Args:
            out: the dataset's folder.
            entry: the pair.
            rainy: the rainy picture, uint8 [H,W,3].
            clean: the clean picture, uint8 [H,W,3].
            overwrite: replace files that exist; a target that is equal already is kept.

        Raises:
            FileError: a file exists and ``overwrite`` is False, or the system refuses to write.
            UsageError: as :meth:`place`.
        """
        place = self.place(entry)
        before = entry.variant - 1
        first = self.place(replace(entry, variant=1, number=entry.number - before))
        target, like = self._file(out, place.target), self._file(out, first.target)
        write_linked(encode_target(clean, entry.suffix), like, target, overwrite=overwrite)
        save(rainy, self._file(out, place.input), overwrite=overwrite)

    def finish(
        self, out: Path, records: Sequence[Record], *, overwrite: bool, parquet: bool = False
    ) -> None:
        """Write lists and tables of the pairs, and pack pictures if the layout has packed files.

        It may be called again after a kill, or with more records. The same records give the same
        bytes in any order.

        Args:
            out: the dataset's folder.
            records: records of all its pairs.
            overwrite: replace lists and packed files that hold other pairs too.
            parquet: write tables as Parquet if the layout has tables.

        Raises:
            FileError: a file holds other pairs and ``overwrite`` is False, or the system refuses
                to write.
            DatasetError: a packed file is damaged, or pictures to pack are missing.
        """
        for name, lines in self._lists(records).items():
            write_list(out / name, lines, overwrite=overwrite)

    def pattern(self, split: str) -> str:
        """Return a glob for a split's files for Hugging Face's ``datasets``, or an empty text."""
        return ""

    @abstractmethod
    def _place(self, entry: Entry) -> Place: ...

    def _file(self, out: Path, locator: str) -> Path:
        """Return the file that :meth:`write` writes for a locator of the finished dataset."""
        return out / locator

    def _lists(self, records: Sequence[Record]) -> Mapping[str, Sequence[str]]:
        """Return names of text files with their lines."""
        return {}


_FORBIDDEN = r'<>:"/\\|?*%'
"""Characters that Windows forbids in file names, and the percent sign that replaces them."""


def portable(name: str, *, also: str = "") -> str:
    """Return a scene's name as part of a file name that is valid on every system.

    Characters that a system or ``also`` forbids, control characters, bytes that are not UTF-8 and
    a leading dot become ``%`` and two hex digits per byte, and so do the first letter of what is a
    device on Windows (``aux``) and a dot or space at the end. The percent sign is replaced too, so
    that different names stay different. All other characters of any alphabet are kept. What would
    be too long for a file with a number and a suffix is cut, and ends in a hash of the whole name.
    """
    odd = rf"[{_FORBIDDEN}{re.escape(also)}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|^\.|[. ]$"
    if is_device(name):
        odd = f"^.|{odd}"
    safe = re.sub(odd, lambda found: "".join(f"%{b:02X}" for b in os.fsencode(found[0])), name)
    if len(safe.encode()) <= _LONGEST:
        return safe
    whole = hashlib.sha256(safe.encode()).hexdigest()[:8]
    return f"{safe.encode()[: _LONGEST - 9].decode(errors='ignore')}-{whole}"


_LONGEST = 200
"""Bytes of a scene's name in a file name. Systems take 255, temporary names included."""

_JPEG_QUALITY = 95

_last: tuple[RGB8, str, bytes] | None = None
"""A copy of the last target with its suffix and its encoded file."""


def encode_target(clean: RGB8, suffix: str) -> bytes:
    """Encode a target; equal targets in a row are encoded once, since it takes the most time."""
    global _last
    if _last is None or _last[1] != suffix or not np.array_equal(_last[0], clean):
        data = images.encode(images.Picture(clean), suffix, quality=_JPEG_QUALITY)
        _last = (clean.copy(), suffix, data)
    return _last[2]


def save(rgb: RGB8, path: Path, *, overwrite: bool) -> None:
    """Write a picture to a file of its own."""
    images.write(path, images.Picture(rgb), overwrite=overwrite, quality=_JPEG_QUALITY)


def write_linked(data: bytes, first: Path, path: Path, *, overwrite: bool) -> None:
    """Write a file as a hard link to ``first`` if that holds the same data and links are possible.

    A file that holds the data already is left as it is.

    Raises:
        FileError: another file exists and ``overwrite`` is False, or the system refuses to write.
    """
    if _holds(path, data):
        return
    with atomic_path(path, overwrite=overwrite) as temporary:
        if _holds(first, data):
            try:
                os.link(first, temporary)
            except OSError:  # the file system has no hard links, or allows no more of this file
                temporary.write_bytes(data)
        else:
            temporary.write_bytes(data)


def write_list(path: Path, lines: Iterable[str], *, overwrite: bool) -> None:
    """Write lines to a text file; a file that holds some of them already is brought up to date.

    Raises:
        FileError: the file has other lines and ``overwrite`` is False, or the system refuses.
    """
    text = "".join(f"{line}\n" for line in lines)
    if not overwrite and path.is_file():
        # Only \n ends a line: names may hold other Unicode line separators.
        held = path.read_text(encoding="utf-8", errors="replace").split("\n")
        refuse_other_pairs(path, held, text.split("\n"))
    write_text(path, text, overwrite=True)


def refuse_other_pairs(path: Path, held: Iterable[str], wanted: Iterable[str]) -> None:
    """Refuse to replace a file that holds other pairs than those in ``wanted``.

    Raises:
        FileError: the file holds other pairs.
    """
    if not set(held) <= set(wanted):
        raise FileError(f"{path}: holds other pairs; pass --overwrite, or write somewhere else")


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def parameters(record: Record) -> dict[str, str | int | float]:
    """Return the main parameters of a record as columns of a table.

    Readers infer the type of a column from its first values, in each split by itself. For this
    reason a column has the same type everywhere and no missing values: a missing level is an empty
    text, and missing noise or rain is 0. A scene's name is left out, as it could look like a date.
    """
    return {
        "id": record.id,
        "variant": record.variant,
        "degradation": record.degradation,
        "preset": record.preset,
        "level": record.level or "",
        "rate_mm_h": float(record.rate_mm_h),
        "wind_m_s": float(record.wind_m_s),
        "beta_per_m": float(record.beta_per_m),
        "sigma": float(record.sigma or 0),
        "mean_dy": float(record.stats.mean_dy),
        "coverage": float(record.stats.coverage),
    }
