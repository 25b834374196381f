"""The page of an evaluation in a real browser: what moves, sorts, filters and zooms."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")

PANE = "document.querySelector('.compare')"
PANES = "document.querySelector('.panes')"


@pytest.fixture(scope="module")
def page(check, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    report = check.sample_report([check.painting(i, 160, 120) for i in range(20)])
    check.eval_page(report, path)
    return path


@pytest.fixture(scope="module")
def chromium(check):
    with check.Chromium(CHROMIUM) as browser:
        yield browser


@pytest.fixture(scope="module", params=["desktop", "phone"])
def opened(request, chromium, check, page):
    """The page, loaded once per window: every test leaves what others look at as it was."""
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.open(page, *check.WINDOWS[request.param])
    return chromium


@pytest.fixture
def browser(opened):
    chromium = opened
    yield chromium
    chromium.value("1")  # what was logged before this answer has arrived
    assert chromium.errors == []
    assert chromium.requests == []


def box(browser, element: str = PANE) -> tuple[float, float, float, float]:
    browser.value(f"{element}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    browser.wait(f"{PANE}.querySelector('img').naturalWidth > 0")
    rect = browser.value(f"(r => [r.x, r.y, r.width, r.height])({element}.getBoundingClientRect())")
    return tuple(rect)


def style(browser, name: str) -> float:
    return float(browser.value(f"parseFloat({PANES}.style.getPropertyValue('{name}') || '0')"))


def press(browser, x: float, y: float, *moves: tuple[float, float]) -> None:
    browser.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    for move in moves:
        browser.mouse("mouseMoved", *move, button="left", buttons=1)
        x, y = move
    browser.mouse("mouseReleased", x, y, button="left", clickCount=1)


def column(browser, table: str, number: int) -> list[str]:
    return browser.value(
        f"[...document.querySelector('{table}').tBodies[0].rows]"
        f".map(r => r.cells[{number}].textContent.trim())"
    )


def click(browser, selector: str) -> None:
    browser.value(f"document.querySelector({selector!r}).click()")


def choose(browser, selector: str, value: str, event: str = "change") -> None:
    browser.value(
        f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('{event}')); }})"
        f"(document.querySelector({selector!r}))"
    )


def test_the_page_fits_the_window_and_loads_nothing_else(browser):
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert browser.value("document.querySelectorAll('.plots svg').length") == 12
    # Data URIs alone: nothing with another address was loaded.
    loaded = browser.value("performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_the_divider_follows_pointer_slider_and_keys(browser):
    x, y, width, height = box(browser)
    choose(browser, ".panel input", "50", "input")
    clip = f"getComputedStyle({PANE}.querySelector('.half.left')).clipPath"
    before = browser.value(clip)
    middle = y + height / 2
    press(browser, x + width / 2, middle, (x + width * 0.4, middle), (x + width * 0.25, middle))
    assert style(browser, "--at") == pytest.approx(25, abs=1)
    assert browser.value(clip) != before
    assert float(browser.value("document.querySelector('.panel input').value")) == pytest.approx(
        25, abs=1
    )
    choose(browser, ".panel input", "80", "input")
    assert style(browser, "--at") == 80
    browser.value(f"{PANE}.focus()")
    browser.key("ArrowLeft")
    assert style(browser, "--at") == 78
    assert browser.value("document.querySelector('.panel .reset').hidden")


def test_left_and_right_are_any_two_of_three(browser):
    box(browser)
    source = "jpegs[JSON.parse(document.querySelector('.panes').dataset.pictures)['{}']]"
    shown = "document.querySelector('.panel img.{}').src"
    for side, kind in (("left", "input"), ("right", "result")):
        assert browser.value(f"{shown.format(side)} === {source.format(kind)}")
    choose(browser, ".panel .choose-left", "target")
    choose(browser, ".panel .choose-right", "input")
    for side, kind in (("left", "target"), ("right", "input")):
        assert browser.value(f"{shown.format(side)} === {source.format(kind)}")
        assert browser.value(f"document.querySelector('.panel .tag.{side}').textContent") == kind
    choose(browser, ".panel .choose-left", "input")
    choose(browser, ".panel .choose-right", "result")


def test_all_panes_zoom_and_move_together(browser):
    x, y, width, height = box(browser)
    choose(browser, ".panel input", "90", "input")  # out of the way of what is dragged
    press(browser, x + width / 4, y + height / 4)
    assert style(browser, "--s") == 4
    assert style(browser, "--x") == pytest.approx(-0.75, abs=0.05)
    # In parts of its own size, every picture is moved and scaled alike.
    views = browser.value(
        "[...document.querySelectorAll('.panel')][0].querySelectorAll('.pane img').length"
    )
    assert views == 4
    alike = (
        "[...document.querySelector('.panel').querySelectorAll('.pane img')].map(i => {"
        " const m = new DOMMatrix(getComputedStyle(i).transform);"
        " return [m.a, m.e / i.offsetWidth, m.f / i.offsetHeight].map(v => v.toFixed(2)).join() })"
    )
    assert len(set(browser.value(alike))) == 1
    browser.mouse("mouseWheel", x + width / 2, y + height / 2, deltaX=0, deltaY=-120)
    browser.wait(f"{PANES}.style.getPropertyValue('--s') > 5")
    offset, divider = style(browser, "--x"), style(browser, "--at")
    press(
        browser,
        x + width * 0.5,
        y + height / 2,
        (x + width * 0.4, y + height / 2),
        (x + width * 0.3, y + height / 2),
    )
    assert style(browser, "--x") == pytest.approx(offset - 0.2, abs=0.02)
    assert style(browser, "--at") == divider
    assert not browser.value("document.querySelector('.panel .reset').hidden")
    browser.value(f"{PANE}.focus()")
    browser.key("Escape")
    assert (style(browser, "--s"), style(browser, "--x")) == (1, 0)
    browser.key("+")
    assert style(browser, "--s") == 1.5
    browser.key("-")
    assert style(browser, "--s") == 1


def test_a_wheel_over_a_whole_picture_scrolls_the_page(browser):
    x, y, width, height = box(browser)
    before = browser.value("scrollY")
    browser.mouse("mouseWheel", x + width / 2, y + height / 2, deltaX=0, deltaY=200)
    browser.wait(f"scrollY > {before}")
    assert browser.value(f"{PANES}.style.getPropertyValue('--s')") in ("", "1")


def test_the_summary_sorts_by_any_column_and_back(browser):
    original = column(browser, ".sortable", 3)
    head = ".sortable th:nth-child(4)"
    click(browser, head + " button")
    down = column(browser, ".sortable", 3)
    assert down == sorted(original, key=float, reverse=True)
    assert browser.value(f"document.querySelector('{head}').ariaSort") == "descending"
    click(browser, head + " button")
    assert column(browser, ".sortable", 3) == sorted(original, key=float)
    click(browser, head + " button")
    assert column(browser, ".sortable", 3) == original
    assert browser.value(f"document.querySelector('{head}').ariaSort") is None
    # Rows without a figure come last both ways; names sort upwards first.
    for _ in range(2):
        click(browser, ".sortable th:nth-child(6) button")
        assert column(browser, ".sortable", 5)[-1] == ""
    click(browser, ".sortable th:first-child button")
    names = column(browser, ".sortable", 0)
    assert names == sorted(names, key=str.lower)


def test_every_picture_can_be_searched_sorted_and_shown(browser):
    rows = "document.querySelectorAll('#every tbody tr').length"
    found = "document.querySelector('#found').textContent"
    assert (browser.value(rows), browser.value(found)) == (100, "120 rows")
    click(browser, "#more")
    assert browser.value(rows) == 120
    assert browser.value("document.querySelector('#more').hidden")
    browser.value("document.querySelector('#search').focus()")
    for letter in "007 med":
        browser.key(letter)
    assert browser.value(found) == "4 rows"
    assert set(column(browser, "#every", 0)) == {"photo-007.png"}
    assert set(column(browser, "#every", 1)) == {"median of 5", "sideways median"}
    choose(browser, "#only-method", "median of 5")
    choose(browser, "#only-dataset", "rain of 60 mm/h")
    assert browser.value(found) == "1 row"
    choose(browser, "#search", "nothing of that name", "input")
    assert (browser.value(rows), browser.value(found)) == (0, "0 rows")
    choose(browser, "#search", "", "input")
    assert browser.value(rows) == 20
    click(browser, "#every th:nth-child(4) button")
    figures = [float(text) for text in column(browser, "#every", 3)]
    assert figures == sorted(figures, reverse=True)
    choose(browser, "#only-method", "")
    choose(browser, "#only-dataset", "")


def test_methods_are_chosen_and_rows_lead_to_their_pictures(browser):
    shown = (
        "[...document.querySelectorAll('.panel')].filter(p => !p.hidden).map(p => p.dataset.method)"
    )
    assert set(browser.value(shown)) == {"median of 5"}
    click(browser, ".tabs button:nth-child(2)")
    assert browser.value(shown) == ["bilateral"] * 3 + ["median of 5"] * 3
    pressed = "[...document.querySelectorAll('.tabs button')].map(b => b.ariaPressed)"
    assert browser.value(pressed)[:3] == ["false", "true", "false"]
    choose(browser, "#only-method", "sideways median")
    click(browser, "#every tbody a")
    target = browser.value("location.hash")
    assert target.startswith("#panel-")
    assert browser.value(f"document.querySelector('{target}').offsetHeight") > 100
    browser.wait(f"document.querySelector('{target} img').naturalWidth > 0")
    click(browser, ".tabs button")
    click(browser, "section:has(.tabs) + section .tabs button")
    choose(browser, "#only-method", "")


def test_the_browser_is_told_to_load_nothing(chromium, check, page):
    chromium.errors.clear()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.png"
        chromium.open(page, 800, 600)
        chromium.value(
            f"(i => {{ i.onerror = () => {{ window.refused = true }}; i.src = '{address}' }})"
            "(new Image())"
        )
        chromium.wait("window.refused")
        with pytest.raises(TimeoutError):
            server.accept()
    assert any("Content Security Policy" in error for error in chromium.errors)


def test_both_colour_schemes_are_legible(chromium, check, page):
    luminance = (
        "(c => c.match(/[\\d.]+/g).slice(0, 3).reduce((a, v) => a + Number(v), 0))"
        "(getComputedStyle(document.body).{})"
    )
    for dark in (False, True):
        chromium.open(page, 800, 600, dark=dark)
        paper = chromium.value(luminance.format("backgroundColor"))
        ink = chromium.value(luminance.format("color"))
        assert (ink > paper) == dark
        assert abs(ink - paper) > 400
