"""Plots and pictures of an evaluation, and the page that holds them."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rainkit.api import PublishedResult
from rainkit.errors import FileError, UsageError
from rainkit.evaluation import Score
from rainkit.evaluation.report import page as panels_of
from rainkit.evaluation.report.data import EvalReport, PanelPictures
from rainkit.evaluation.report.page import eval_page
from rainkit.evaluation.report.plots import box_plot, eval_plots, gain_plot, rate_plot, write_plots
from rainkit.published import PublishedRow

LABEL = "prenet/1"

quick = pytest.mark.usefixtures("without_layout")


def printed(dataset: str, **figures: Any) -> PublishedRow:
    """A row of a paper."""
    result = PublishedResult(table="Table 1", dataset=dataset, **figures)
    return PublishedRow(source="tiny", title="A_Paper", paper="A paper, 2020", result=result)


def plain(name: str, psnr: float, ssim: float) -> Score:
    """The figures of a picture without an input."""
    return Score(name=name, width=70, height=50, psnr=psnr, ssim=ssim)


class Page(HTMLParser):
    """All elements with their attributes, and the text outside scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.data = "", {}
        self._inside: str | None = None
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") or tag if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside is None:
            self.text += data
        else:
            self.data[self._inside] = self.data.get(self._inside, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(tmp_path: Path, shown: EvalReport, **more) -> Page:
    eval_page(shown, tmp_path / "index.html", **more)
    return Page(tmp_path / "index.html")


# --- plots -----------------------------------------------------------------------------------


def test_plots_are_there_where_there_is_something_to_show(result, scored):
    results = (result("a", 5, rate=4.0), result("b", 6, rate=9.0))
    plots = eval_plots(results, ["a", "b"])
    names = ["boxes-psnr", "boxes-ssim", "gain", "rate-psnr", "cost-milliseconds"]
    assert [plot.name for plot in plots] == names
    assert all(LABEL in plot.title and "currentColor" in plot.svg for plot in plots)
    assert "a 27.00; b 28.00" in plots[0].text
    assert "a: 0 of 5 pictures became worse" in plots[2].text
    bare = scored("a", plain("x", math.inf, math.nan))
    assert eval_plots((bare,), ["a"]) == []
    assert box_plot((), "psnr", []) is gain_plot((), []) is rate_plot((), []) is None


def test_names_of_plots_cannot_clash_and_cannot_break_out(result):
    bad = "</text><script>$x_1$ \udce9 漢"
    plots = eval_plots((result(bad, 5), result("b", 6)), [bad, "b"])
    identifiers = [re.findall(r' id="([^"]+)"', plot.svg) for plot in plots]
    assert len(set().union(*identifiers)) == sum(map(len, identifiers))
    assert not any("<script>" in plot.svg for plot in plots)


def test_very_many_points_become_pixels(result):
    many = result("a", 5, n=2000)
    plot = gain_plot((many,), ["a"])
    assert plot is not None
    assert "data:image/png;base64" in plot.svg
    assert len(plot.svg) < 120_000


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_plots_are_written_as_files(result, tmp_path: Path, suffix: str, start: bytes):
    results = (result("a", 5), result("a", 3, "set $b$"), result("a", 1, protocol="rgb"))
    written = write_plots(results, tmp_path / "plots", suffix=suffix)
    assert [path.name for path in written] == [f"boxplot{suffix}", f"gain{suffix}"]
    assert all(path.read_bytes().startswith(start) for path in written)
    with pytest.raises(FileError, match="exists"):
        write_plots(results, tmp_path / "plots", suffix=suffix)


def test_plots_of_nothing_and_of_other_kinds(result, tmp_path: Path):
    assert write_plots((), tmp_path) == ()
    with pytest.raises(UsageError, match="gif"):
        write_plots((result("a", 5),), tmp_path, suffix=".gif")


def test_the_same_plots_have_the_same_bytes(result, tmp_path: Path):
    for folder in ("a", "b"):
        write_plots((result("a", 5),), tmp_path / folder)
    assert (tmp_path / "a/gain.svg").read_bytes() == (tmp_path / "b/gain.svg").read_bytes()


# --- pictures --------------------------------------------------------------------------------


def test_worst_median_and_best_go_by_gain(score):
    scores = [score(i, gain) for i, gain in enumerate((3, -1, 9, 4, 5))]
    assert [(pick, s.name) for pick, s in panels_of.choose(scores)] == [
        ("worst", "001.png"),
        ("median", "003.png"),
        ("best", "002.png"),
    ]
    assert [pick for pick, _ in panels_of.choose(scores[:2])] == ["worst", "best"]
    assert [pick for pick, _ in panels_of.choose(scores[:1])] == ["only"]
    assert panels_of.choose([]) == []
    alone = [plain(str(p), p, 1) for p in (30.0, math.inf, math.nan, 20.0)]
    assert [s.name for _, s in panels_of.choose(alone)] == ["20.0", "30.0", "inf"]


def test_error_map_and_rain_layer_have_fixed_scales(score, scored):
    dark, light = np.full((9, 9, 3), 100, np.uint8), np.full((9, 9, 3), 110, np.uint8)
    light[..., 2] = 104
    assert panels_of.error_map(light, dark)[0, 0] == pytest.approx(8)
    assert panels_of.error_map(dark, light)[0, 0] == pytest.approx(8)
    assert panels_of.rain_layer(light, dark)[0, 0].tolist() == [138, 138, 132]
    assert panels_of.rain_layer(dark, light)[0, 0].tolist() == [118, 118, 124]
    bar = panels_of.colour_bar()
    assert (len(bar), len(set(bar))) == (17, 17)
    half = np.full((16, 16, 3), 16, np.uint8)
    shown = panels_of.panels(
        (scored("a", score(0), load=lambda _: PanelPictures(half, np.zeros_like(half))),),
        most=9,
        side=64,
        budget=10**6,
    )
    uri = shown.jpegs[shown.panels[0].pictures["error"]]
    jpeg = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"), validate=True)
    b, g, r = cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)[8, 8].astype(int)
    expected = [int(bar[8][i : i + 2], 16) for i in (1, 3, 5)]
    assert np.abs(np.subtract([r, g, b], expected)).max() < 8


def test_pictures_are_held_once_and_fit_the_budget(result):
    results = (result("a", 5), result("b", 6))
    shown = panels_of.panels(results, most=36, side=640, budget=10**7)
    assert len(shown.panels) == 6
    assert len(shown.jpegs) == 15  # three pictures, the same results of both: five each
    assert shown.panels[0].size == (70, 50)
    total = sum(map(len, shown.jpegs.values()))
    small = panels_of.panels(results, most=36, side=70, budget=total * 2 // 3)
    assert sum(map(len, small.jpegs.values())) <= total * 2 // 3
    assert max(small.panels[0].size) == small.side < 70


def test_too_many_pictures_lose_their_medians_first(result):
    shown = panels_of.panels((result("a", 5), result("b", 6)), most=5, side=64, budget=10**6)
    assert [panel.pick for panel in shown.panels] == ["worst", "median", "best", "worst", "best"]
    assert shown.notes == ("1 of 6 pictures are left out of the page",)
    shown = panels_of.panels((result("a", 5), result("b", 6)), most=3, side=64, budget=10**6)
    assert [panel.pick for panel in shown.panels] == ["worst", "best", "worst"]


def test_pictures_that_cannot_be_read_are_told(score, scored, pictures):
    def load(name: str) -> PanelPictures:
        if name == "000.png":
            raise FileError("000.png: is gone")
        good = pictures(name)
        return PanelPictures(good.restored[:-1], good.target)

    broken = scored("a", score(0, 1), score(1, 2), load=load)
    shown = panels_of.panels((broken,), most=9, side=64, budget=10**6)
    assert shown.panels == ()
    assert [note.split(": ", 1)[1] for note in shown.notes] == [
        "000.png: is gone",
        "input, result and target differ in size",
    ]


# --- page ------------------------------------------------------------------------------------


def test_the_page_has_tables_plots_and_pictures(report, tmp_path: Path):
    row = printed("set a", psnr="29.460", note="Y, MATLAB")
    html = page(
        tmp_path,
        report(published=(row,), facts={"Machine": "an abacus"}, failures=(("x.png", "bad"),)),
    )
    for text in (
        "one, two, three",
        "an abacus",
        "prenet/1",
        "Y, MATLAB",
        "published",
        "29.460",
        "x.png",
    ):
        assert text in html.text
    assert len(html.all("svg")) == 4
    panels = [each for each in html.all("figure") if "panel" in (each.get("class") or "")]
    assert len(panels) == 9
    jpegs = json.loads(html.data["jpegs"])
    held = json.loads(
        str(next(d["data-pictures"] for d in html.all("div") if "data-pictures" in d))
    )
    assert set(held) == {"input", "result", "target", "error", "rain"}
    assert set(held.values()) <= set(jpegs)
    rows = json.loads(html.data["rows"])
    assert len(rows["rows"]) == rows["all"] == 15
    assert rows["rows"][0][:3] == ["set a", "000.png", "one"]
    assert all(image.get("alt") is not None for image in html.all("img"))


@quick
def test_the_page_asks_for_nothing(report, tmp_path: Path):
    html = page(tmp_path, report())
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]+"', "", html.source)
    assert not re.search(r"https?://|//cdn|@import|url\((?!#)", without_namespaces)
    (policy,) = (m["content"] for m in html.all("meta") if "http-equiv" in m)
    assert str(policy).startswith("default-src 'none'; img-src data:;")


def test_the_page_is_small_and_the_same_each_time(report, tmp_path: Path):
    shown = report()
    eval_page(shown, tmp_path / "a.html")
    eval_page(shown, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    with pytest.raises(FileError, match="exists"):
        eval_page(shown, tmp_path / "a.html")


@quick
def test_names_are_escaped_everywhere(score, scored, pictures, tmp_path: Path):
    bad = '"></script><script>alert(1)</script>\udce9'
    evil = scored(bad, score(1), dataset=bad, protocol=bad, load=lambda _: pictures("001"))
    html = page(
        tmp_path,
        EvalReport(
            title=bad,
            results=(evil, evil),
            facts={bad: bad},
            published=(printed(bad, method=bad, psnr="1", note=bad),),
            notes=(bad,),
            failures=((bad, bad),),
        ),
    )
    assert len(html.all("script")) == 3


@quick
def test_infinite_figures_and_no_results_are_no_trouble(report, scored, tmp_path: Path):
    perfect = replace(plain("a", math.inf, math.nan), input_psnr=math.inf)
    html = page(tmp_path, report(scored("m", perfect)))
    assert json.loads(html.data["rows"])["rows"] == [["d", "a", "m", None, "inf", None, 0.0, None]]
    empty = page(tmp_path, EvalReport(title="Nothing", results=()), overwrite=True)
    assert json.loads(empty.data["rows"])["rows"] == []
    assert "m" in page(tmp_path, report(scored("m")), overwrite=True).text


@quick
def test_a_method_without_input_has_no_gain_and_no_rain_layer(
    pictures, scored, report, tmp_path: Path
):
    alone = scored(
        "m",
        *(plain(f"{i:03d}", 30 + i, 0.9) for i in range(3)),
        load=lambda name: PanelPictures(pictures(name).restored, pictures(name).target),
    )
    html = page(tmp_path, report(alone))
    assert "gain dB" not in html.text
    assert "rain layer: input" not in html.text
