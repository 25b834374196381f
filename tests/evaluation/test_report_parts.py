"""Parts of methods: rows that are not ranked, and plots of their own."""

from pathlib import Path

import pytest

from rainkit.evaluation import PROTOCOLS, Score, Scores
from rainkit.evaluation.report.data import EvalReport, EvalResult
from rainkit.evaluation.report.means import eval_latex, eval_markdown, summary
from rainkit.evaluation.report.page import eval_page
from rainkit.evaluation.report.plots import eval_plots, parts_plots, write_parts, write_plots

LABEL = "prenet/1"


def result(method: str, psnr: float, dataset: str = "light", of: str | None = None) -> EvalResult:
    rows = tuple(
        Score(name=f"{i}", width=8, height=6, psnr=psnr + i, ssim=0.5 + psnr / 100)
        for i in range(3)
    )
    scores = Scores(dataset=dataset, protocol=PROTOCOLS["prenet"], rows=rows)
    return EvalResult(method=method, scores=scores, part_of=of)


@pytest.fixture
def report() -> EvalReport:
    results = [
        each
        for dataset, more in (("light", 10), ("heavy", 0))
        for each in (
            result("net", 20 + more, dataset),
            result("net: block1", 15 + more, dataset, "net"),
            result("net: block2", 40 + more, dataset, "net"),
            result("other", 18 + more, dataset),
        )
    ]
    return EvalReport(title="Parts", results=tuple(results))


def test_parts_stand_below_their_method_and_are_not_ranked(report):
    table = summary(report, LABEL)
    light = [row for row in table.rows if row.dataset == "light"]
    assert [(row.method, row.kind) for row in light] == [
        ("net", "measured"),
        ("net: block1", "part"),
        ("net: block2", "part"),
        ("other", "measured"),
    ]
    assert [row.cells[0].mark for row in light] == ["best", "", "", "second"]
    text = eval_markdown(report)
    assert "| net: block2 | 51.00 | 1.0000 | 41.00 | 0.9000 |" in text
    assert text.index("net: block2") < text.index("| other")
    assert eval_latex(report).count(r"\midrule") == 1


def test_plots_of_results_leave_parts_out(report, tmp_path: Path):
    assert report.methods == ("net", "other")
    plots = eval_plots([each for each in report.leading if each.dataset == "light"], report.methods)
    assert plots
    assert not any("block" in plot.svg for plot in plots)
    write_plots(report.results, tmp_path)
    assert "block" not in (tmp_path / "boxplot.svg").read_text()


def test_a_line_per_dataset_over_parts_and_result(report, tmp_path: Path):
    psnr, ssim = parts_plots(report.under(LABEL))
    assert (psnr.name, ssim.name) == ("parts-psnr", "parts-ssim")
    assert psnr.title == "net: PSNR of its parts (prenet/1)"
    assert psnr.text.endswith(
        "light: block1 26.00, block2 51.00, result 31.00;"
        " heavy: block1 16.00, block2 41.00, result 21.00."
    )
    for name in ("light", "heavy", "block1", "block2", "result"):
        assert name in psnr.svg
    (path,) = write_parts(report.results, tmp_path)
    assert path == tmp_path / "parts.svg"
    assert "SSIM" in path.read_text()


def test_without_parts_there_is_no_plot_of_them(tmp_path: Path):
    results = (result("net", 20), result("other", 30))
    assert parts_plots(results) == []
    assert write_parts(results, tmp_path) == ()
    assert write_parts((), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_the_page_has_a_section_of_parts(report, tmp_path: Path):
    eval_page(report, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert 'href="#parts"' in page
    assert page.count("of its parts (prenet/1)</figcaption>") == 2
    assert '<tr class="part">' in page
    eval_page(EvalReport(title="None", results=(result("net", 20),)), tmp_path / "none.html")
    assert "#parts" not in (tmp_path / "none.html").read_text()
