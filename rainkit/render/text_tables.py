"""Tables as text: Markdown, LaTeX with booktabs, and text files."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainkit.errors import FileError, UsageError
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
    "|": r"\textbar{}",
    "[": "{[}",  # which would be an argument of the line break before it
    "\n": " ",
    "\r": " ",
}
_OPEN, _CLOSE = "<ins>", "</ins>"


def bold(text: str) -> str:
    """Return a bold cell."""
    return f"**{text}**"


def underlined(text: str) -> str:
    """Return an underlined cell, with a tag that most Markdown viewers show."""
    return f"{_OPEN}{text}{_CLOSE}"


def plain(text: str) -> str:
    """Return a cell without its marks of bold or underlined text."""
    if text.startswith("**"):
        return text.strip("*")
    return text.removeprefix(_OPEN).removesuffix(_CLOSE)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """Return the lines of a table; the first ``texts`` columns are text, the others figures."""
    rule = "|" + "---|" * texts + "--:|" * (len(columns) - texts)
    return [markdown_row(columns), rule, *map(markdown_row, rows)]


def markdown_row(cells: Sequence[str]) -> str:
    """Return one line of a table, whatever the cells hold."""
    lines = (" ".join(cell.splitlines()) for cell in cells)
    return "| " + " | ".join(line.replace("|", "\\|") for line in lines) + " |"


def latex(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: int = 1,
    *,
    groups: Sequence[tuple[str, int]] = (),
    rules: Sequence[int] = (),
) -> list[str]:
    """Return the lines of a ``tabular`` that needs the package booktabs.

    Args:
        columns: headings of the columns.
        rows: cells of the rows.
        texts: number of columns on the left that are text.
        groups: headings above columns, each with the number of columns that it spans; together
            they span all. A heading of several columns has a line below it.
        rules: numbers of the rows that have a thin line above them.
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
    if cell.startswith("**"):
        return rf"\textbf{{{_escaped(cell.strip('*'))}}}"
    return _escaped(cell)


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


@dataclass(frozen=True, slots=True)
class TextTable:
    """A titled table: rows of cells under columns; some may be bold or underlined."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_data(self) -> dict[str, Any]:
        """Return JSON-able data, in which no cell is bold."""
        rows = [list(map(plain, row)) for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}


def check_folder(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Refuse a folder that holds results, or cannot be written to, before any are computed.

    Args:
        folder: folder that the files will be written to.
        names: names of the files.
        overwrite: whether the files may exist.

    Raises:
        UsageError: the folder holds one of the files, or is a file itself.
        FileError: it cannot be made, or nothing can be written to it.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder to --output")
    for name in names:
        if not overwrite and (folder / name).exists():
            raise UsageError(f"{folder / name} exists; pass --overwrite, or another --output")
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FileError(
            f"{folder}: cannot be written to ({system_reason(error)}); name another --output"
        ) from error
    with suppress(OSError):  # another process may have begun to write there
        for path in new:  # it is made again once there is something to put in
            path.rmdir()


def write_texts(
    folder: Path, contents: Mapping[str, str], *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write text files to a folder, which is made if it is missing.

    Each file is in UTF-8 and appears whole or not at all.

    Args:
        folder: folder that the files are written to.
        contents: contents of the files, by their names.
        overwrite: whether existing files are replaced.

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
    """Return data as the text of a JSON file; infinity and NaN are errors, see :func:`finite`.

    Bytes of file names that are not UTF-8 become text such as ``\\udcd3``, as in the other tables:
    many parsers refuse surrogates.
    """
    text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False)
    return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text) + "\n"


_SURROGATE = re.compile("[\ud800-\udfff]")


def finite(value: Any) -> Any:
    """Return None in place of infinity and NaN, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def latex_comment(text: str) -> str:
    """Return a LaTeX comment of one line, whatever the text holds."""
    return " ".join(f"% {text}".split())
