"""The page of photographs side by side: what it holds, and what it must not hold."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.errors import FileError, ImageError
from rainkit.render.html import MOST_SHOWN, shown_at_most, thumbnail, thumbnail_side
from rainkit.render.side_by_side import (
    Column,
    Figure,
    Photograph,
    Result,
    SideBySidePage,
    side_by_side_page,
    strongest_change,
    to_show,
)
from rainkit.render.text_tables import TextTable

RGB = np.ascontiguousarray(data.coffee()[:100, :150])
FIGURES = (Figure(name="left", title="left", about="what is left", form=".2f"),)


class Page(HTMLParser):
    """All elements with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def photograph(name: str = "a.jpg", *results: Result, rgb: np.ndarray = RGB) -> Photograph:
    own = results or (Result(read=lambda: 255 - rgb, figures={"left": 0.25}, note="0.50 s"),)
    return Photograph(name=name, read=lambda: rgb, results=own)


def made(path: Path, *photographs: Photograph, names=(), columns: int = 1, **more) -> Page:
    names = names or [f"method {i}" for i in range(1, columns + 1)]
    about = tuple(Column(name=name, note=name) for name in names)
    page = SideBySidePage(
        **{"title": "T", "columns": about, "photographs": to_show(photographs)} | more
    )
    side_by_side_page(page, path)
    return Page(path)


def decoded(uri: object) -> np.ndarray:
    jpeg = base64.b64decode(str(uri).removeprefix("data:image/jpeg;base64,"), validate=True)
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_every_photograph_has_a_column_for_each_method_and_one_divider(tmp_path: Path):
    results = (Result(read=lambda: 255 - RGB), Result(read=lambda: RGB // 2))
    page = made(
        tmp_path / "r.html",
        photograph("a.jpg", *results),
        photograph("b.jpg", *results),
        columns=2,
    )
    pictures = [decoded(each["src"]) for each in page.all("img")]
    assert len(pictures) == 2 * 3
    rainy, first, second = (picture.astype(float) for picture in pictures[:3])
    assert rainy.shape == (100, 150, 3)
    assert np.abs(255 - rainy - first).mean() < 6
    assert np.abs(rainy / 2 - second).mean() < 6
    assert all(each["alt"] for each in page.all("img"))
    assert [each["data-column"] for each in page.all("figure")] == ["0", "1", "2"] * 2
    assert "hidden" not in page.all("figure")[0]
    kinds = [each["type"] for each in page.all("input")]
    assert (kinds.count("checkbox"), kinds.count("range")) == (3, 2)
    assert all(each.get("aria-label") for each in page.all("input") if each["type"] == "range")


def test_figures_notes_tables_and_facts_are_told(tmp_path: Path):
    page = made(
        tmp_path / "r.html",
        photograph(),
        figures=FIGURES,
        facts={"Weights": "w.safetensors"},
        tables=(TextTable("Means", ("method", "left"), (("method 1", "**0.25**"),)),),
        notes=("one was left alone",),
        failures=(("bad.jpg", "is not a JPEG"),),
    )
    for words in ("left0.25", "0.50 s", "what is left", "w.safetensors", "one was left alone"):
        assert words in page.text
    assert {"class": "best"} in page.all("td")
    assert "**" not in page.text
    assert "is not a JPEG" in page.text
    assert "hidden" in page.all("figure")[0]  # of one method, the divider shows the rain


def test_what_is_measured_stands_below_the_picture(tmp_path: Path):
    def measure(rainy: np.ndarray, result: np.ndarray) -> dict[str, float]:
        return {"left": float(np.mean(result)) / float(np.mean(rainy))}

    (shown,) = to_show(
        [photograph("a", Result(read=lambda: RGB), Result(read=lambda: RGB // 2))], measure=measure
    )
    assert shown.results[0].figures["left"] == 1
    assert shown.results[1].figures["left"] == pytest.approx(0.5, abs=0.01)


def test_nothing_is_fetched_and_the_browser_is_told_so(tmp_path: Path):
    page = made(tmp_path / "r.html", photograph())
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    assert len(page.all("script")) == 1


def test_names_and_reasons_are_escaped(tmp_path: Path):
    bad = '"><script>alert(1)</script>'
    page = made(
        tmp_path / "r.html",
        photograph(bad, Result(read=lambda: RGB, note=bad), Result(missing=bad)),
        title=bad,
        names=(bad, bad),
        facts={bad: bad},
        tables=(TextTable(bad, (bad,), ((bad,),)),),
        notes=(bad,),
        failures=((bad, bad),),
    )
    assert len(page.all("script")) == 1
    assert page.text.count(bad) >= 14


def test_names_that_are_no_utf8_do_not_matter(tmp_path: Path):
    made(tmp_path / "r.html", photograph("caf\udce9.jpg"))
    assert "caf?.jpg" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_picture_that_cannot_be_shown_says_why(tmp_path: Path):
    def broken() -> np.ndarray:
        raise ImageError("b.png: is cut off")

    page = made(
        tmp_path / "r.html",
        photograph(
            "a.jpg",
            Result(read=broken),
            Result(missing="not attempted"),
            Result(read=lambda: RGB[:50]),
        ),
        Photograph(name="gone.jpg", read=broken, results=(Result(read=lambda: RGB),) * 3),
        columns=3,
    )
    assert len(page.all("img")) == 1
    assert page.text.count("b.png: is cut off") == 2
    assert "not attempted" in page.text
    assert "it is of 150x50, and the photograph of 150x100" in page.text


def test_a_large_photograph_has_its_most_changed_part_in_full(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("rainkit.render.side_by_side.thumbnail_side", lambda *_: 100)
    large = np.random.default_rng(0).integers(90, 110, (400, 600, 3), np.uint8)
    result = large.copy()
    result[300:340, 500:540] -= 60
    page = made(tmp_path / "r.html", photograph("a", Result(read=lambda: result), rgb=large))
    whole, sharp = (decoded(each["src"]) for each in page.all("img")[2:])
    assert whole.shape == (67, 100, 3)
    assert sharp.shape == (50, 50, 3)
    (button,) = [each for each in page.all("button") if each["class"] == "detail"]
    left, top, width, height = (
        float(str(button[f"data-{side}"])) for side in ("left", "top", "width", "height")
    )
    assert (width, height) == pytest.approx((100 * 50 / 600, 12.5))
    assert left <= 100 * 500 / 600 <= 100 * 540 / 600 <= left + width + 0.5
    assert top <= 75 <= 85 <= top + height + 0.5
    y, x = round(top * 4), round(left * 6)
    assert np.abs(sharp - result[y : y + 50, x : x + 50, ::-1].astype(float)).mean() < 8


def test_the_window_is_in_the_middle_if_nothing_is_known():
    assert strongest_change(RGB, [], (0.5, 0.5)) == (0.25, 0.25)
    assert strongest_change(RGB, [RGB], (1, 1)) == (0, 0)


def test_a_page_of_very_many_says_what_it_leaves_out(tmp_path: Path):
    tiny = photograph("a", rgb=RGB[:4, :4])
    shown = to_show([tiny] * (MOST_SHOWN + 7))
    assert len(shown) == MOST_SHOWN
    page = made(tmp_path / "r.html", photographs=shown[:2], left_out=7)
    assert "7 more are not shown: this page holds the first 2." in page.text


def test_an_existing_page_is_kept(tmp_path: Path):
    (tmp_path / "r.html").write_text("old")
    with pytest.raises(FileError, match="exists"):
        made(tmp_path / "r.html")


def test_thumbnails_are_bounded_and_shrink_with_their_number():
    sides = [thumbnail_side(n) for n in (1, 10, 50, 300, 10_000)]
    assert sides == sorted(sides, reverse=True)
    assert (sides[0], sides[-1]) == (1600, sides[-2])
    assert thumbnail_side(30, 6) < thumbnail_side(30)
    assert (shown_at_most(2), shown_at_most(6)) == (MOST_SHOWN, MOST_SHOWN // 3)
    wide = np.zeros((3, 2000, 3), np.uint16)
    small = cv2.imdecode(np.frombuffer(thumbnail(wide, 640), np.uint8), 1)
    assert small.shape == (1, 640, 3)
    tiny = cv2.imdecode(np.frombuffer(thumbnail(wide[:1, :1], 640), np.uint8), 1)
    assert tiny.shape == (1, 1, 3)
