"""Tables as text: Markdown, LaTeX with booktabs, and text files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit.errors import UsageError
from rainkit.files import system_reason, write_text

__all__ = [
    "TextTable",
    "bold",
    "check_folder",
    "finite",
    "json_text",
    "latex",
    "latex_comment",
    "markdown",
    "markdown_row",
    "plain",
    "underlined",
    "write_texts",
]


_SPECIAL = {
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "±": r"$\pm$",
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "×": r"$\times$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_OPEN, _CLOSE = "<ins>", "</ins>"


def bold(text: str) -> str:
    """A bold cell."""
    return f"**{text}**"


def underlined(text: str) -> str:
    """An underlined cell; Markdown has no sign for that, but GitHub and most others this tag."""
    return f"{_OPEN}{text}{_CLOSE}"


def plain(text: str) -> str:
    """A cell that is neither bold nor underlined."""
    if text.startswith("**"):
        return text.strip("*")
    return text.removeprefix(_OPEN).removesuffix(_CLOSE)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """The lines of a table; all but the first ``texts`` columns are figures, on the right."""
    rule = "|" + "---|" * texts + "--:|" * (len(columns) - texts)
    return [markdown_row(columns), rule, *map(markdown_row, rows)]


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def latex(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: int = 1,
    *,
    groups: Sequence[tuple[str, int]] = (),
    rules: Sequence[int] = (),
) -> list[str]:
    """The lines of a ``tabular``; it needs the package booktabs.

    Args:
        columns: headings.
        rows: cells.
        texts: how many of the first columns are text, on the left.
        groups: headings over columns, each with how many it spans; together they span all. Those
            of several columns have a line below.
        rules: numbers of rows that a thin line stands above.
    """
    shape = "l" * texts + "r" * (len(columns) - texts)
    body = []
    for number, row in enumerate(rows):
        body += [r"\midrule"] * (number in rules) + [_latex_row(row)]
    return [
        rf"\begin{{tabular}}{{{shape}}}",
        r"\toprule",
        *_latex_groups(groups),
        _latex_row(columns),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _latex_groups(groups: Sequence[tuple[str, int]]) -> list[str]:
    if not groups:
        return []
    cells, lines, column = [], [], 1
    for title, span in groups:
        text = _latex_cell(title)
        cells.append(rf"\multicolumn{{{span}}}{{c}}{{{text}}}" if span > 1 else text)
        if span > 1:
            lines.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return [" & ".join(cells) + r" \\", *([" ".join(lines)] if lines else [])]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(cell: str) -> str:
    if cell.startswith(_OPEN) and cell.endswith(_CLOSE):
        return rf"\underline{{{_escaped(cell[len(_OPEN) : -len(_CLOSE)])}}}"
    text = _escaped(cell.strip("*"))
    return rf"\textbf{{{text}}}" if cell.startswith("**") else text


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


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
        raise UsageError(f"--output {folder}: cannot be made ({system_reason(error)})") from error
    for name, content in contents.items():
        write_text(folder / name, content, overwrite=overwrite)
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
