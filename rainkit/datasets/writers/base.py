"""What the writers of all layouts share: entries, names, and files."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.datasets.manifest import Record
from rainkit.errors import FileError, UsageError
from rainkit.files import atomic_path, write_text

__all__ = [
    "RGB",
    "Entry",
    "Layout",
    "Place",
    "encoded",
    "parameters",
    "portable",
    "refuse_others",
    "save",
    "share",
    "write_list",
]


_FORBIDDEN = r'<>:"/\\|?*%'
"""Not allowed in file names on Windows, but for the percent sign that stands for all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One pair to be written.

    Attributes:
        scene: name of the scene, unique in the dataset even where case does not count.
        variant: the scene's rain, from 1; a scene's variants are written in turn, by one process.
        number: of the pair in its split, from 1, a scene's variants one after another. Pairs that
            were to be and could not be made leave gaps.
        scene_number: of the scene in its split, from 1.
        count: pairs that were to be in the split.
        split: such as ``train``; empty in a dataset without a split.
        suffix: ``.png`` or ``.jpg``, for both pictures.
        frame: of a sequence, from 1; None for a single picture.
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
    """Where a pair lies, as locators: paths relative to the dataset, with forward slashes.

    A member of a tar file is ``path::member``, half of a picture ``path::left`` or
    ``path::right``. No path holds ``::`` otherwise.
    """

    input: str
    target: str


def portable(name: str, *, also: str = "") -> str:
    """A scene's name as part of a file name that every system takes.

    Characters that some system or ``also`` forbids, control characters, bytes that are no UTF-8
    and a leading dot become ``%`` and two hex digits a byte; so does the percent sign itself, so
    that different names stay different. All others, of any alphabet, stay.
    """
    odd = rf"[{_FORBIDDEN}{re.escape(also)}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|^\."
    return re.sub(odd, lambda found: "".join(f"%{b:02X}" for b in os.fsencode(found[0])), name)


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
    write_text(path, text, overwrite=True)


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


def parameters(record: Record) -> dict[str, str | int | float]:
    """Columns for readers that infer types from the first values they meet, split by split.

    Hence every column has one type throughout and no value is missing: no level is an empty text,
    and no noise, or no rain, is 0. None is a text that could be taken for a date, as a scene's name
    could.
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


class Layout(ABC):
    """Names of a dataset's files, and how they are written.

    Attributes:
        name: of the layout.
        doc: what it looks like, for a list of layouts.
        sequences: whether it has a place for the frames of a sequence.
    """

    name: ClassVar[str]
    doc: ClassVar[str]
    sequences: ClassVar[bool] = False

    def place(self, entry: Entry) -> Place:
        """Where a pair lies once the dataset is finished.

        Raises:
            UsageError: a frame of a sequence, for which the layout has no place.
        """
        if entry.frame is not None and not self.sequences:
            raise UsageError(
                f"--layout {self.name}: has no place for sequences; use --layout restormer"
            )
        return self._place(entry)

    def write(self, out: Path, entry: Entry, rainy: RGB, clean: RGB, *, overwrite: bool) -> None:
        """Write both pictures, the rainy one last; every file is there whole or not at all.

        Args:
            out: the dataset's folder.
            entry: the pair.
            rainy: [H,W,3].
            clean: [H,W,3].
            overwrite: replace files that exist. A target that is the same already stays.

        Raises:
            FileError: a file exists and ``overwrite`` is False, or the system refuses to write.
            UsageError: as :meth:`place`.
        """
        place = self.place(entry)
        before = entry.variant - 1
        first = self.place(replace(entry, variant=1, number=entry.number - before))
        target, like = self._file(out, place.target), self._file(out, first.target)
        share(encoded(clean, entry.suffix), like, target, overwrite=overwrite)
        save(rainy, self._file(out, place.input), overwrite=overwrite)

    def finish(
        self, out: Path, records: Sequence[Record], *, overwrite: bool, parquet: bool = False
    ) -> None:
        """Write lists and tables of the pairs, and pack what has to be packed.

        May be called again: after a kill, or with more records. The same records give the same
        bytes, whatever their order.

        Args:
            out: the dataset's folder.
            records: of all its pairs.
            overwrite: replace lists and packed files that hold other pairs too.
            parquet: write Parquet where the layout has tables.

        Raises:
            FileError: such a file exists and ``overwrite`` is False, or the system refuses.
            DatasetError: a packed file is damaged, or pictures to pack are gone.
        """
        for name, lines in self._lists(records).items():
            write_list(out / name, lines, overwrite=overwrite)

    def pattern(self, split: str) -> str:
        """What of a split's files Hugging Face's ``datasets`` reads; empty if it cannot."""
        return ""

    @abstractmethod
    def _place(self, entry: Entry) -> Place: ...

    def _file(self, out: Path, locator: str) -> Path:
        """Where :meth:`write` puts what ends up at ``locator``."""
        return out / locator

    def _lists(self, records: Sequence[Record]) -> Mapping[str, Sequence[str]]:
        """Names of text files, and their lines."""
        return {}
