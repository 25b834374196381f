"""Means with the best marked, and tables for papers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rainkit.api import PublishedResult
from rainkit.evaluation import METRICS, Score
from rainkit.evaluation.report.means import eval_latex, eval_markdown, mean, summary
from rainkit.published import PublishedRow
from rainkit.render import text_tables

LABEL = "prenet/1"


def printed(dataset: str, **figures: Any) -> PublishedRow:
    """A row of a paper."""
    result = PublishedResult(table="Table 1", dataset=dataset, **figures)
    return PublishedRow(source="tiny", title="A_Paper", paper="A paper, 2020", result=result)


# --- summary ---------------------------------------------------------------------------------


def test_each_dataset_has_its_input_first_and_its_best_and_second_best_marked(report):
    table = summary(report(), LABEL)
    assert [(row.method, row.kind) for row in table.rows] == [
        ("input", "input"),
        ("one", "measured"),
        ("two", "measured"),
        ("three", "measured"),
    ]
    assert [row.cells[0].text for row in table.rows] == ["22.00", "27.00", "29.00", "28.00"]
    assert [row.cells[0].mark for row in table.rows] == ["", "", "best", "second"]
    assert [column.name for column in table.columns][2:] == [
        "psnr_gain",
        "ssim_gain",
        "milliseconds",
    ]
    assert [row.cells[2].text for row in table.rows] == ["", "+5.00", "+7.00", "+6.00"]


def test_what_is_printed_alike_is_equally_good(result, report):
    table = summary(report(result("a", 5), result("b", 5.001), result("c", 4)), LABEL)
    assert [row.cells[0].mark for row in table.rows] == ["", "best", "best", "second"]


def test_one_method_is_not_the_best_of_one(result, report):
    assert {cell.mark for row in summary(report(result("a", 5)), LABEL).rows for cell in row.cells}
    assert all(not c.mark for row in summary(report(result("a", 5)), LABEL).rows for c in row.cells)


def test_lower_is_better_for_times_and_for_metrics_that_say_so(scored, report):
    def row(psnr: float, milliseconds: float, gmsd: float) -> Score:
        return Score(
            name="a",
            width=20,
            height=20,
            psnr=psnr,
            ssim=0.9,
            milliseconds=milliseconds,
            extras=(("gmsd", gmsd),),
        )

    table = summary(report(scored("fast", row(30, 1, 0.1)), scored("slow", row(31, 2, 0.3))), LABEL)
    assert [column.title for column in table.columns] == [
        "PSNR dB",
        "SSIM",
        METRICS["gmsd"].label,
        "time ms",
    ]
    assert [cell.mark for cell in table.rows[0].cells] == ["second", "best", "best", "best"]
    assert [cell.text for cell in table.rows[1].cells] == ["31.00", "0.9000", "0.3000", "2.0"]


def test_several_datasets_end_in_their_mean_each_counting_alike(result, report):
    table = summary(
        report(result("a", 5, n=2), result("a", 7, "set b", n=8), result("b", 9, "set b", n=8)),
        LABEL,
    )
    assert table.datasets == ("set a", "set b", "mean")
    means = [row for row in table.rows if row.dataset == "mean"]
    assert [(row.method, row.count) for row in means] == [("input", None), ("a", None)]
    assert means[1].cells[0].value == pytest.approx((25.5 + 30.5) / 2)


def test_a_dataset_called_mean_is_not_the_mean(result, report):
    table = summary(report(result("a", 5, "mean", n=2), result("a", 7, n=8)), LABEL)
    assert table.datasets == ("mean", "set a", "mean over datasets")
    assert [row.count for row in table.rows if row.dataset == "mean"] == [2, 2]


def test_published_rows_are_not_ranked(report):
    row = printed("Set-A", method="JORDER", psnr="99.0125", ssim="0.990", note="RGB")
    table = summary(report(published=(row, printed("set b", psnr="88.0"))), LABEL)
    last = table.rows[-1]
    assert (last.kind, last.method) == ("published", "JORDER, A_Paper's Table 1")
    assert last.note == "printed for Set-A; RGB"
    assert [cell.text for cell in last.cells[:3]] == ["99.0125", "0.990", ""]
    assert all(not cell.mark for cell in last.cells)
    assert table.rows[2].cells[0].mark == "best"


def test_methods_on_different_pictures_are_told_apart(result, report):
    table = summary(report(result("a", 5), result("b", 5, n=4)), LABEL)
    assert table.notes == ("set a: the methods were not scored on the same pictures",)
    assert table.rows[0].count == 5


def test_infinite_and_undefined_figures_are_left_out_of_means(scored, report):
    assert mean([math.inf, 3.0, math.nan, None, 5.0]) == 4.0
    assert mean([math.inf, math.inf]) == math.inf
    assert math.isnan(mean([math.nan]) or 0.0)
    assert mean([None]) is None
    perfect = Score(
        name="a",
        width=4,
        height=4,
        psnr=math.inf,
        ssim=math.nan,
        input_psnr=30,
        input_ssim=0.9,
    )
    row = summary(report(scored("a", perfect)), LABEL).rows[1]
    assert [cell.text for cell in row.cells] == ["inf", "n/a", "+inf", "n/a"]


# --- tables as text --------------------------------------------------------------------------


def test_markdown_marks_the_best_and_names_the_protocol(result, report):
    text = eval_markdown(report(result("a|b", 5), result("c", 7), result("c", 6, "set b")))
    assert "| method (prenet/1) | set a PSNR dB | set a SSIM | set b PSNR dB |" in text
    assert "| a\\|b | <ins>27.00</ins> | <ins>0.8700</ins> |  |  |  |  |" in text
    assert "| c | **29.00** | **0.8900** | 28.00 | 0.8800 | 28.50 | 0.8850 |" in text
    assert "Protocol prenet/1: name prenet; version 1; " in text


def test_latex_is_booktabs_with_the_best_bold_and_the_second_underlined(result, report):
    row = printed("set a", psnr="30.00", note="50% of it\n\\bad")
    text = eval_latex(
        report(result("a", 5), result("b_1", 7), result("b_1", 6, "set b"), published=(row,))
    )
    assert text.count(r"\begin{tabular}{lrrrrrr}") == text.count(r"\end{tabular}") == 1
    assert r"prenet/1 & \multicolumn{2}{c}{set a} & \multicolumn{2}{c}{set b}" in text
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5} \cmidrule(lr){6-7}" in text
    assert r"a & \underline{27.00} & \underline{0.8700} &  &  &  &  \\" in text
    assert r"b\_1 & \textbf{29.00} & \textbf{0.8900} & 28.00" in text
    assert r"A\_Paper, Table 1 (published) & 30.00 &  &" in text
    outside = [line for line in text.splitlines() if not line.startswith("%")]
    assert not any("bad" in line or "of it" in line for line in outside)
    # Every row has as many cells as the table has columns.
    body = [line for line in outside if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count(" & ") for line in body} == {6}


def test_each_protocol_has_a_table_of_its_own(result, report):
    both = report(result("a", 5), result("a", 4, protocol="rgb"))
    assert eval_markdown(both).count("**Protocol ") == 2
    assert eval_latex(both, ("psnr", "psnr_gain", "lpips")).count(r"\toprule") == 2
    assert "gain dB" in eval_latex(both, ("psnr", "psnr_gain", "lpips"))


def test_plain_latex_tables_are_as_they_were():
    assert text_tables.latex(["a", "b"], [["x_y", "**1±2**"]]) == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a & b \\",
        r"\midrule",
        r"x\_y & \textbf{1$\pm$2} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert text_tables.latex(["a"], [[text_tables.underlined("1 < 2")], [text_tables.bold("^")]])[
        4:6
    ] == [r"\underline{1 \textless{} 2} \\", r"\textbf{\textasciicircum{}} \\"]
