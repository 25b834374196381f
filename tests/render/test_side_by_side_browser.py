"""The page of photographs side by side in a real browser: what zooms and moves together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rainkit.render.side_by_side import (
    Column,
    Photograph,
    Result,
    SideBySidePage,
    side_by_side_page,
    to_show,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")

SECTION = "document.querySelector('.photograph')"


@pytest.fixture(scope="module")
def page(check, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rainkit.render.side_by_side.thumbnail_side", lambda *_: 240)
        rows = []
        for seed in range(2):
            rgb = check.painting(seed, 480, 320)
            changed = rgb.copy()
            changed[200:260, 300:380] //= 2
            results = (Result(read=lambda c=changed: c), Result(read=lambda c=rgb: np.flipud(c)))
            rows.append(Photograph(name=f"{seed}.jpg", read=lambda c=rgb: c, results=results))
        shown = to_show(rows)
    columns = (Column(name="one"), Column(name="two"))
    side_by_side_page(SideBySidePage(title="T", columns=columns, photographs=shown), path)
    return path


@pytest.fixture(scope="module")
def chromium(check):
    with check.Chromium(CHROMIUM) as browser:
        yield browser


@pytest.fixture(params=["desktop", "phone"])
def browser(request, chromium, check, page):
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.open(page, *check.WINDOWS[request.param])
    yield chromium
    chromium.value("1")  # what was logged before this answer has arrived
    assert chromium.errors == []
    assert chromium.requests == []


def style(browser, name: str) -> float:
    return float(browser.value(f"parseFloat({SECTION}.style.getPropertyValue('{name}') || '0')"))


def box(browser, column: int) -> tuple[float, float, float, float]:
    view = f"{SECTION}.querySelectorAll('.view')[{column}]"
    browser.value(f"{view}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    rect = browser.value(f"(r => [r.x, r.y, r.width, r.height])({view}.getBoundingClientRect())")
    return tuple(rect)


def press(browser, x: float, y: float, *moves: tuple[float, float]) -> None:
    browser.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    for move in moves:
        browser.mouse("mouseMoved", *move, button="left", buttons=1)
        x, y = move
    browser.mouse("mouseReleased", x, y, button="left", clickCount=1)


def places(browser) -> list[str]:
    """Where each picture of the first photograph is moved to, in parts of its size."""
    return browser.value(
        f"[...{SECTION}.querySelectorAll('.plane')].map(p => {{"
        " const m = new DOMMatrix(getComputedStyle(p).transform);"
        " return [m.a, m.e / p.offsetWidth, m.f / p.offsetHeight].map(v => v.toFixed(2)).join() })"
    )


def test_columns_zoom_move_and_divide_together(browser):
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    x, y, width, height = box(browser, 0)
    press(browser, x + width / 4, y + height / 4)  # a click on the rainy picture zooms in there
    assert style(browser, "--s") == 4
    assert style(browser, "--x") == pytest.approx(-0.75, abs=0.05)
    assert places(browser) == [places(browser)[0]] * 5  # three pictures, and two below dividers
    x, y, width, height = box(browser, 1)
    before = style(browser, "--x")
    middle = y + height / 2
    press(browser, x + width * 0.5, middle, (x + width * 0.4, middle), (x + width * 0.3, middle))
    assert style(browser, "--x") == pytest.approx(before - 0.2, abs=0.03)
    assert (style(browser, "--at"), len(set(places(browser)))) == (0, 1)
    browser.value(f"{SECTION}.querySelector('.reset').click()")
    assert (style(browser, "--s"), style(browser, "--x")) == (1, 0)
    # Of a whole picture, dragging moves the divider, in all columns.
    press(browser, x + width * 0.2, middle, (x + width * 0.4, middle), (x + width * 0.6, middle))
    assert style(browser, "--at") == pytest.approx(60, abs=2)
    clips = browser.value(
        f"[...{SECTION}.querySelectorAll('.wipe')].map(w => getComputedStyle(w).clipPath)"
    )
    assert len(clips) == 2
    assert len(set(clips)) == 1
    second = "document.querySelectorAll('.photograph')[1].style"
    assert browser.value(f"{second}.getPropertyValue('--at')") == "0%"  # the other one stays


def test_the_detail_is_sharp_and_columns_can_be_hidden(browser):
    browser.value(f"{SECTION}.querySelector('.detail').click()")
    inside = (
        f"[...{SECTION}.querySelectorAll('.view .sharp')].every(i => {{"
        " const v = i.closest('.view').getBoundingClientRect(), r = i.getBoundingClientRect();"
        " return i.naturalWidth === 120 && r.left >= v.left - 2 && r.right <= v.right + 2"
        " && r.top >= v.top - 2 && r.bottom <= v.bottom + 2 && r.width > v.width / 2 })"
    )
    assert browser.value(inside)
    shown = "[...document.querySelectorAll('figure')].filter(f => f.offsetWidth > 0).length"
    assert browser.value(shown) == 6
    browser.value("document.querySelectorAll('.tools input')[1].click()")
    assert browser.value(shown) == 4
    # What is below the dividers is the rainy picture.
    same = f"{SECTION}.querySelector('.wipe img').src === {SECTION}.querySelector('.rainy img').src"
    assert browser.value(same)
