"""Pairs that a text file lists: SPA-Data's, and BasicSR's ``meta_info*.txt``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rainkit.datasets.matching import CLEAN_FOLDERS, RAINY_FOLDERS, PairFiles, sub_folder
from rainkit.datasets.readers.options import ReadOptions
from rainkit.datasets.readers.rows import Row, pairs_of, text_of, turned
from rainkit.errors import DatasetError
from rainkit.images import SUFFIXES

__all__ = ["meta_info", "path_list"]

_SHAPE = re.compile(r"\s+\(\d+(?:\s*,\s*\d+)*,?\)(?:\s+\d+)?$")
"""What BasicSR notes of a picture: ``(480,320,3)``, and maybe how it is compressed."""


def path_list(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """SPA-Data: text files with two paths a line, rainy and clean, from the list's folder on.

    With a split it is the list so named, without one all lists.
    """
    texts = [path for path in sorted(root.glob("*.txt")) if not path.stem.startswith("meta_info")]
    lists = [path for path in texts if split in (None, path.stem) and _is_list(path)]
    if not lists:
        return None
    return pairs_of(root, (_row(path, n, line) for path in lists for n, line in _lines(path)))


def meta_info(root: Path, split: str | None, _options: ReadOptions) -> tuple[PairFiles, ...] | None:
    """BasicSR: clean path, comma, rainy path; or one name that both have in their folders.

    With a split it is the list that ends in it: ``meta_info_train.txt``.
    """
    lists = [
        path
        for path in sorted(root.glob("meta_info*.txt"))
        if split is None or path.stem.endswith(f"_{split}")
    ]
    rainy, clean = sub_folder(root, RAINY_FOLDERS), sub_folder(root, CLEAN_FOLDERS)
    if not lists:
        return None

    def rows() -> Iterator[Row]:
        for path in lists:
            for number, line in _lines(path):
                line = _SHAPE.sub("", line)
                names = [name.strip() for name in line.split(",")]
                if len(names) == 2 and all(map(_is_picture, names)):
                    yield turned(Row(path, number, names[1], names[0]))
                elif rainy is not None and clean is not None and _is_picture(line):
                    yield Row(path, number, f"{rainy.name}/{line}", f"{clean.name}/{line}")
                else:
                    raise DatasetError(
                        f"{path}, line {number}: is neither a clean and a rainy path with a comma"
                        " between, nor the name of a picture in two folders such as gt/ and lq/"
                    )

    return pairs_of(root, rows())


def _row(path: Path, number: int, line: str) -> Row:
    names = [name.strip() for name in line.split("\t" if "\t" in line else None)]
    if len(names) != 2:
        raise DatasetError(f"{path}, line {number}: is not two paths with a space between")
    return turned(Row(path, number, *names))


def _is_list(path: Path) -> bool:
    """Its first line is two paths of pictures."""
    try:
        _, line = next(_lines(path), (0, ""))
        return all(map(_is_picture, _row(path, 1, line)[2:]))
    except DatasetError:
        return False


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """With their numbers; only line feeds end lines, since names may hold anything else."""
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.casefold() in SUFFIXES
