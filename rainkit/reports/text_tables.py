"""Tables as text for papers and pages: Markdown, and LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["latex", "markdown", "markdown_row"]

_SPECIAL = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "±": r"$\pm$"}


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """The lines of a table; all but the first ``texts`` columns are figures, on the right."""
    rule = "|" + "---|" * texts + "--:|" * (len(columns) - texts)
    return [markdown_row(columns), rule, *map(markdown_row, rows)]


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def latex(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """The lines of a ``tabular``; it needs the package booktabs. ``**bold**`` cells are bold."""
    shape = "l" * texts + "r" * (len(columns) - texts)
    return [
        rf"\begin{{tabular}}{{{shape}}}",
        r"\toprule",
        _latex_row(columns),
        r"\midrule",
        *map(_latex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(cell: str) -> str:
    text = "".join(_SPECIAL.get(letter, letter) for letter in cell.strip("*"))
    return rf"\textbf{{{text}}}" if cell.startswith("**") else text
