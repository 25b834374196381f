"""The before/after page."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.errors import FileError
from rainkit.inference.report import Compared, ComparePage, compare_page
from rainkit.render.html import MOST_SHOWN, thumbnail, thumbnail_side


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


def entry(name: str = "a.jpg") -> Compared:
    rgb = data.coffee()[:100, :150]
    before, after = thumbnail(rgb, 120), thumbnail(255 - rgb, 120)
    return Compared(name=name, before=before, after=after, size=(150, 100), seconds=0.5)


def decoded(uri: str) -> np.ndarray:
    jpeg = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"), validate=True)
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_each_picture_has_both_versions_and_a_slider(tmp_path: Path):
    page = ComparePage(title="T", pictures=(entry("a.jpg"), entry("b.jpg")))
    compare_page(page, tmp_path / "report.html")
    html = Page(tmp_path / "report.html")
    pictures = html.all("img")
    assert len(pictures) == 4
    after, before = (decoded(str(picture["src"])) for picture in pictures[:2])
    assert before.shape == after.shape == (80, 120, 3)
    assert np.abs(255.0 - before - after).mean() < 6
    assert all(picture["alt"] for picture in pictures)
    sliders = html.all("input")
    assert [slider["type"] for slider in sliders] == ["range", "range"]
    assert all(slider["aria-label"] for slider in sliders)


def test_nothing_is_fetched(tmp_path: Path):
    compare_page(ComparePage(title="T", pictures=(entry(),)), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//cdn|@import|url\(", text)


def test_names_and_reasons_are_escaped(tmp_path: Path):
    bad = '"><script>alert(1)</script>'
    page = ComparePage(title=bad, facts={bad: bad}, pictures=(entry(bad),), failures=((bad, bad),))
    compare_page(page, tmp_path / "r.html")
    html = Page(tmp_path / "r.html")
    assert len(html.all("script")) == 1
    assert html.text.count(bad) >= 5


def test_names_that_are_no_utf8_do_not_matter(tmp_path: Path):
    page = ComparePage(title="T", pictures=(entry("caf\udce9.jpg"),))
    compare_page(page, tmp_path / "r.html")
    assert "caf?.jpg" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_page_of_very_many_says_what_it_leaves_out(tmp_path: Path):
    pictures = (entry(),) * (MOST_SHOWN + 7)
    compare_page(ComparePage(title="T", pictures=pictures), tmp_path / "r.html")
    html = Page(tmp_path / "r.html")
    assert len(html.all("figure")) == MOST_SHOWN
    assert "7 more were derained" in html.text


def test_an_existing_page_is_kept(tmp_path: Path):
    (tmp_path / "r.html").write_text("old")
    with pytest.raises(FileError, match="exists"):
        compare_page(ComparePage(title="T"), tmp_path / "r.html")


def test_thumbnails_are_bounded_and_shrink_with_their_number():
    sides = [thumbnail_side(n) for n in (1, 10, 50, 300, 10_000)]
    assert sides == sorted(sides, reverse=True)
    assert (sides[0], sides[-1]) == (1600, sides[-2])
    wide = np.zeros((3, 2000, 3), np.uint16)
    small = cv2.imdecode(np.frombuffer(thumbnail(wide, 640), np.uint8), 1)
    assert small.shape == (1, 640, 3)
    tiny = cv2.imdecode(np.frombuffer(thumbnail(wide[:1, :1], 640), np.uint8), 1)
    assert tiny.shape == (1, 1, 3)
