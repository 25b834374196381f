"""Tables of several methods on several datasets, for papers and pages."""

from __future__ import annotations

from collections.abc import Sequence

from rainkit.reports.eval_data import EvalReport
from rainkit.reports.eval_summary import Cell, SummaryRow, SummaryTable, summary
from rainkit.reports.text_tables import bold, latex, markdown, underlined

__all__ = ["emphasised", "eval_latex", "eval_markdown"]

QUANTITIES = ("psnr", "ssim")


def eval_markdown(report: EvalReport, quantities: Sequence[str] = QUANTITIES) -> str:
    """One table per protocol: a row per method, and PSNR and SSIM of every dataset.

    The best is bold and the second best underlined; published rows are marked and not ranked.

    Args:
        report: what was measured.
        quantities: psnr, ssim, psnr_gain, ssim_gain, milliseconds, or names of extra metrics; those
            that were not measured are left out.
    """
    lines: list[str] = []
    for protocol in report.labels:
        table = summary(report, protocol)
        titles = _titles(table, quantities)
        columns = [f"{dataset} {title}" for dataset in table.datasets for title in titles]
        rows, _ = _rows(table, quantities)
        lines += [
            f"**Protocol {protocol}**",
            "",
            *markdown([f"method ({protocol})", *columns], rows),
            "",
        ]
        lines += [f"Protocol {protocol}: {text}" for text in _words(report, protocol)]
        lines += [*_remarks(table), ""]
    return "\n".join([*lines, *_about(report)]).rstrip() + "\n"


def eval_latex(report: EvalReport, quantities: Sequence[str] = QUANTITIES) -> str:
    """The tables of :func:`eval_markdown` as ``tabular`` for the package booktabs."""
    lines: list[str] = []
    for protocol in report.labels:
        table = summary(report, protocol)
        titles = _titles(table, quantities)
        rows, rules = _rows(table, quantities)
        # A comment ends with its line, whatever a protocol's words hold.
        words = [f"% Protocol {protocol}", *(f"% {text}" for text in _words(report, protocol))]
        lines += [" ".join(line.split()) for line in words]
        lines += latex(
            ["method", *titles * len(table.datasets)],
            rows,
            groups=[(protocol, 1), *((dataset, len(titles)) for dataset in table.datasets)],
            rules=rules,
        )
        lines += [" ".join(f"% {line}".split()) for line in _remarks(table)]
        lines.append("")
    lines += [" ".join(f"% {line}".split()) for line in _about(report)]
    return "\n".join(lines).rstrip() + "\n"


def _about(report: EvalReport) -> list[str]:
    """What holds for all tables: how many pictures, what made them, what to know."""
    counts = {
        dataset: max(len(each.pictures) for each in report.results if each.dataset == dataset)
        for dataset in report.datasets
    }
    return [
        "Pictures: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + ".",
        *(f"{name}: {text}." for name, text in report.facts.items()),
        *(f"Note: {note}." for note in report.notes),
        *(f"Not scored: {name}: {reason}" for name, reason in report.failures),
    ]


def _words(report: EvalReport, protocol: str) -> list[str]:
    words = report.protocols.get(protocol)
    return [words] if words else []


def _remarks(table: SummaryTable) -> list[str]:
    notes = [f"Note: {note}." for note in table.notes]
    printed = dict.fromkeys(
        (row.method, row.dataset, row.note) for row in table.rows if row.kind == "published"
    )
    if printed:
        notes.append(
            "Rows marked 'published' are what papers print, not measured here, and not always of"
            " this protocol and these pictures."
        )
    notes += [f"Published, {method} on {data}: {note}." for method, data, note in printed if note]
    return notes


def _titles(table: SummaryTable, quantities: Sequence[str]) -> list[str]:
    titles = {column.name: column.title for column in table.columns}
    return [titles[name] for name in quantities if name in titles]


def _rows(table: SummaryTable, quantities: Sequence[str]) -> tuple[list[list[str]], list[int]]:
    """Rows of cells, and which of them a line stands above."""
    names = [column.name for column in table.columns]
    indices = [names.index(name) for name in quantities if name in names]
    by_method: dict[tuple[str, str], dict[str, SummaryRow]] = {}
    for kinds in (("input",), ("measured", "part"), ("published",)):
        for row in table.rows:
            if row.kind in kinds:
                by_method.setdefault((kinds[0], row.method), {})[row.dataset] = row
    rows: list[list[str]] = []
    rules: list[int] = []
    last = ""
    for (kind, method), own in by_method.items():
        if last and kind != last:
            rules.append(len(rows))
        last = kind
        cells = [
            emphasised(own[dataset].cells[i]) if dataset in own else ""
            for dataset in table.datasets
            for i in indices
        ]
        rows.append([f"{method} (published)" if kind == "published" else method, *cells])
    return rows, rules


def emphasised(cell: Cell) -> str:
    """A cell's text, bold for the best and underlined for the second best."""
    if cell.mark == "best":
        return bold(cell.text)
    return underlined(cell.text) if cell.mark == "second" else cell.text
