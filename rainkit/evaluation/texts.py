"""Tables and files of text, as all evaluations print and write them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit.errors import UsageError
from rainkit.files import atomic_path
from rainkit.reports.text_tables import plain

__all__ = ["TextTable", "check_folder", "finite", "json_text", "latex_comment", "write_texts"]


@dataclass(frozen=True, slots=True)
class TextTable:
    """A titled table: rows of cells under columns; some may be bold or underlined."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_data(self) -> dict[str, Any]:
        """For JSON, where nothing is bold."""
        rows = [list(map(plain, row)) for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}


def check_folder(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse a folder that already holds results, before computing any.

    Args:
        folder: where files will be written.
        names: of the files.
        overwrite: they may be there.

    Raises:
        UsageError: it holds one of them, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder to --output")
    for name in names:
        if not overwrite and (folder / name).exists():
            raise UsageError(f"{folder / name} exists; pass --overwrite, or another --output")


def write_texts(
    folder: Path, contents: Mapping[str, str], *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write files of UTF-8, each whole or not at all, to a folder that is made if it is missing.

    Args:
        folder: where to.
        contents: by the files' names.
        overwrite: replace files that are there.

    Raises:
        UsageError: a file exists and ``overwrite`` is off, or the folder cannot be made.
        FileError: a file cannot be written.
    """
    check_folder(folder, contents, overwrite=overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {folder}: cannot be made ({error.strerror})") from error
    for name, content in contents.items():
        with atomic_path(folder / name, overwrite=overwrite) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="")
    return tuple(folder / name for name in contents)


def json_text(data: Any) -> str:
    """A file's worth of JSON; infinite and NaN are an error, see :func:`finite`."""
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def finite(value: Any) -> Any:
    """For JSON, which knows neither inf nor NaN: None instead."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def latex_comment(text: str) -> str:
    """A comment, which ends with its line, whatever names hold."""
    return " ".join(f"% {text}".split())
