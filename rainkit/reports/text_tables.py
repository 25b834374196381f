"""Tables as text for papers and pages: Markdown, and LaTeX with booktabs.

A cell that is ``**bold**`` or ``<ins>underlined</ins>`` is so in both.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["bold", "latex", "markdown", "markdown_row", "plain", "underlined"]

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
