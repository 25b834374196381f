"""Rows of lists and tables, which name the files of pairs, and the options of all readers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairing import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    PairFiles,
    listed,
    with_unique_names,
)
from rainkit.errors import DatasetError, PairingError, UsageError

__all__ = [
    "ReadOptions",
    "Row",
    "pairs_from_rows",
    "read_text",
    "swap_if_reversed",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """Options for reading folders of pairs.

    Attributes:
        layout: name of the layout; None to detect it.
        rainy_side: ``left`` or ``right`` half of side-by-side pictures; None to detect it.
        crop_to_common: crop pairs of two sizes to their common size instead of refusing them.
    """

    layout: str | None = None
    rainy_side: str | None = None
    crop_to_common: bool = False

    def __post_init__(self) -> None:
        if self.rainy_side not in (None, "left", "right"):
            raise UsageError(f"--rainy-side {self.rainy_side}: choose left or right")


class Row(NamedTuple):
    """A line of a list or table that names a pair.

    Attributes:
        file: the list or table; the names are relative to its folder.
        line: number of the line, from 1.
        rainy: name of the rainy picture.
        clean: name of the clean picture.
    """

    file: Path
    line: int
    rainy: str
    clean: str


def read_text(path: Path) -> str:
    """Read a text file; names of files that are not UTF-8 become what Python calls the files.

    Raises:
        DatasetError: the file cannot be read as text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        if "\0" in text:
            text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as text ({error}); get it again") from error
    return text


def swap_if_reversed(row: Row) -> Row:
    """Swap the two pictures of a row if their folders' names say that they are reversed."""
    rainy, clean = ({p.casefold() for p in PurePosixPath(n).parts[:-1]} for n in row[2:])
    if rainy & CLEAN_FOLDERS and clean & RAINY_FOLDERS and not rainy & RAINY_FOLDERS:
        return row._replace(rainy=row.clean, clean=row.rainy)
    return row


def pairs_from_rows(root: Path, rows: Iterable[Row]) -> tuple[PairFiles, ...]:
    """Return pairs in natural order, named by their rainy files; repeated rows count once.

    Raises:
        PairingError: files do not exist, or a rainy picture has two clean ones.
        DatasetError: a name leads out of the folder.
    """
    pairs: dict[ImageRef, PairFiles] = {}
    missing: dict[str, None] = {}
    for row in rows:
        try:
            rainy, clean = (
                ImageRef.from_locator(row.file.parent, name.removeprefix("/")) for name in row[2:]
            )
        except DatasetError as error:
            raise DatasetError(f"{row.file}, line {row.line}: {error}") from error
        missing |= {str(each): None for each in (rainy, clean) if not each.path.is_file()}
        name = rainy.path.relative_to(root).with_suffix("").as_posix()
        pair = PairFiles(f"{name}-{rainy.half}" if rainy.half else name, rainy, clean)
        if pairs.setdefault(rainy, pair) != pair:
            raise PairingError(
                f"{row.file}, line {row.line}: {rainy} has another partner above; keep one of them"
            )
    if missing:
        raise PairingError(
            f"the lists in {root} name files that are not there: {listed([*missing])}; put them"
            " in place, or take their lines out"
        )
    return with_unique_names([*pairs.values()])
