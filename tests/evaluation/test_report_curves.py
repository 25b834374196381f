"""Curves of an evaluation: averages of frames against methods, and quality against its cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from rainkit.evaluation import Score, Scores, protocol
from rainkit.evaluation.report.data import EvalResult, report_of
from rainkit.evaluation.report.plots import averages_plot, cost_plot, write_plots
from rainkit.evaluation.scores import Comparison

PRENET = protocol("prenet")


def result(name: str, psnr: float, milliseconds: float | None = None, **about) -> EvalResult:
    rows = tuple(
        Score(
            name=f"{i}.png",
            psnr=psnr + i,
            ssim=psnr / 40,
            input_psnr=20.0,
            input_ssim=0.7,
            milliseconds=milliseconds,
            width=8,
            height=8,
        )
        for i in (-1, 1)
    )
    scores = Scores(dataset="wet", protocol=PRENET, rows=rows)
    comparison = Comparison(restored=name, scores=(scores,), about=about)
    (found,) = report_of([comparison]).results
    return found


def average(by: str, frames: int | None, psnr: float) -> EvalResult:
    about = {"by": by, "frames": frames, "frames_of_a_scene": {"wet": 30}}
    return result(f"{by} of {frames or 'all'} frames", psnr, average=about)


def test_averages_are_a_curve_that_begins_with_one_frame_and_methods_are_levels():
    results = [
        result("net", 31, 12.0, parameters=1000),
        average("mean", 5, 24),
        average("mean", 2, 22),
        average("median", None, 30),
    ]
    plot = averages_plot(results, "psnr", [each.method for each in results])
    assert plot is not None
    assert "mean: 20.00 of 1, 22.00 of 2, 24.00 of 5" in plot.text
    assert "median: 20.00 of 1, 30.00 of 30" in plot.text
    assert plot.text.endswith("net: 31.00.")
    assert plot.svg.startswith("<svg")
    assert "number of frames" in plot.svg
    assert averages_plot(results[:1], "psnr", ["net"]) is None


def test_quality_stands_against_parameters_and_time_of_networks():
    results = [
        result("light", 30, 5.25, parameters=3_096_433),
        result("full", 31, 120.0, parameters=21_129_985),
        average("mean", 2, 22),
    ]
    names = [each.method for each in results]
    plot = cost_plot(results, "parameters", names)
    assert plot is not None
    assert "light: 30.00 dB at 3,096,433; full: 31.00 dB at 21,129,985" in plot.text
    timed = cost_plot(results, "milliseconds", names)
    assert timed is not None
    assert "light: 30.00 dB at 5.2; full: 31.00 dB at 120" in timed.text
    assert cost_plot(results[1:], "parameters", names) is None  # one point is no comparison


def test_curves_are_written_where_there_is_something_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: dict[str, int] = {}  # drawing takes long, and is tested above
    monkeypatch.setattr(
        "rainkit.evaluation.report.plots.save",
        lambda rows, path, **_: drawn.update({path.name: len(rows[0][1])}),
    )
    results = [result("a", 30, 5, parameters=10), result("b", 31, 9, parameters=99)]
    write_plots([*results, average("mean", 2, 22)], tmp_path)
    assert (drawn["averages.svg"], drawn["cost.svg"]) == (2, 2)
    drawn.clear()
    write_plots([result("folder", 30)], tmp_path)
    assert not drawn.keys() & {"averages.svg", "cost.svg"}


def test_the_number_of_parameters_is_told_of_what_derains():
    assert result("net", 30, parameters=1000).parameters == 1000
    assert result("folder", 30).parameters is None
    assert average("median", None, 30).average == ("median", 30)
    assert average("mean", 3, 30).average == ("mean", 3)
    assert result("net", 30).average is None
    assert result("old", 30, average={"by": "mean", "frames": None}).average is None
