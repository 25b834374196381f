"""The page of `rainkit serve` in a real browser: files in, compared, and out again."""

from __future__ import annotations

import shutil
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from rainkit import images
from rainkit.images import Picture
from rainkit.serving.app import create_app
from rainkit.serving.jobs import Limits
from rainkit.serving.pool import Pool

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")

TOKEN = "a-secret-of-many-letters"  # noqa: S105


@pytest.fixture(scope="module")
def address(offered, here) -> Iterator[str]:
    pools = [Pool([here(offered)], places=8) for _ in range(2)]
    for pool in pools:
        pool.start()
    limits = Limits(upload_bytes=300_000)
    app = create_app(offered, pools[0], limits, clip_pool=pools[1], token=TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser(check):
    with check.Chromium(CHROMIUM) as opened:
        yield opened


def choose(browser, *files: Path) -> None:
    found = browser.call("Runtime.evaluate", expression="document.getElementById('files')")
    place = found["result"]["objectId"]
    browser.call("DOM.setFileInputFiles", files=[str(f) for f in files], objectId=place)


def press(browser, name: str) -> None:
    browser.value(f"document.getElementById('{name}').click()")


def test_photographs_are_compared_and_downloaded(browser, address, check, tmp_path: Path):
    rainy = check.painting(1, 320, 200)
    tif = Picture(check.painting(2, 240, 240).astype(np.uint16) * 257)
    (tmp_path / "rainy.png").write_bytes(images.encode(Picture(rainy), ".png"))
    (tmp_path / "deep.tif").write_bytes(images.encode(tif, ".tif"))
    (tmp_path / "notes.jpg").write_bytes(b"no picture")
    saved = tmp_path / "saved"
    saved.mkdir()
    browser.open(address, *check.WINDOWS["phone"])
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    # The page asks for the token, or takes it from the address and hides it.
    assert browser.value("!document.querySelector('.token').hidden")
    browser.open(f"{address}?#token={TOKEN}", *check.WINDOWS["desktop"])
    assert browser.value("document.querySelector('.token').hidden && location.hash === ''")
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(saved))
    choose(browser, tmp_path / "rainy.png", tmp_path / "deep.tif", tmp_path / "notes.jpg")
    browser.wait("document.getElementById('status').textContent === '2 of 3 done, 1 failed'")
    states = "[...document.querySelectorAll('.strip li')].map(each => each.className)"
    assert browser.value(states) == ["done", "done", "failed"]

    # Both sides of the divider show the photograph in full, and zoom together.
    loaded = (
        "[...document.querySelectorAll('.plane img')].map("
        "each => [each.complete, each.naturalWidth, each.naturalHeight].join())"
    )
    browser.wait(f"{loaded}.every(each => each === 'true,320,200')")
    browser.value("document.querySelector('.in').click()")
    moved = "[...document.querySelectorAll('.plane')].map(each => getComputedStyle(each).transform)"
    before, after = browser.value(moved)
    assert before == after != "none"
    browser.value("document.querySelector('.reset').click()")

    # Another strength is blended on the page, and made by the server for a download.
    strength = "document.getElementById('strength')"
    browser.value(f"{strength}.value = 0.5, {strength}.dispatchEvent(new Event('input'))")
    browser.wait("document.querySelector('.plane canvas')?.dataset.strength === '0.5'")
    drawn = (
        "[...document.querySelector('.plane canvas').getContext('2d').getImageData(160, 100, 1, 1)"
        ".data].slice(0, 3)"
    )
    shown = browser.value(drawn)
    press(browser, "all")
    end = time.monotonic() + 30
    while not (found := [*saved.glob("*.zip")]):
        assert time.monotonic() < end
        time.sleep(0.05)
    archive = zipfile.ZipFile(found[0])
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == ["deep-tiny.tif", "rainy-tiny.png"]
    clean = images.decode(archive.read("rainy-tiny.png"), "a").rgb
    assert clean.shape == rainy.shape
    assert np.abs(clean.astype(int) - rainy).max() > 2
    np.testing.assert_allclose(shown, clean[100, 160], atol=1)
    assert images.decode(archive.read("deep-tiny.tif"), "a").rgb.dtype == np.uint16

    # A file that is no picture says so; it can be removed.
    browser.value("document.querySelectorAll('.strip button')[2].click()")
    assert "is not a" in browser.value("document.getElementById('message').textContent")
    press(browser, "remove")
    assert browser.value("document.querySelectorAll('.strip li').length") == 2
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    foreign = [each for each in browser.requests if not each.startswith((address, "blob:"))]
    assert foreign == []
    # Refused pictures are logged by the browser, and nothing else is.
    assert [each for each in browser.errors if "422" not in each] == []


def test_a_result_that_the_browser_cannot_show_is_downloaded_all_the_same(
    browser, address, check, tmp_path: Path
):
    tif = Picture(check.painting(2, 64, 48).astype(np.uint16) * 257)
    (tmp_path / "deep.tif").write_bytes(images.encode(tif, ".tif"))
    saved = tmp_path / "saved"
    saved.mkdir()
    browser.open(f"{address}?#token={TOKEN}", *check.WINDOWS["desktop"])
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(saved))
    # The second picture that is asked for in a format of browsers is the result.
    browser.value(
        "(known => { let views = 0; window.fetch = (path, ...more) =>"
        " String(path).includes('/api/view') && (views += 1) > 1"
        " ? Promise.resolve(new Response('{}', { status: 413 })) : known(path, ...more); })"
        "(window.fetch), 1"
    )
    choose(browser, tmp_path / "deep.tif")
    browser.wait("document.querySelector('.strip li')?.className === 'done'")
    assert "cannot show the result" in browser.value(
        "document.getElementById('message').textContent"
    )
    press(browser, "one")
    end = time.monotonic() + 30
    while not (found := [*saved.glob("*.tif")]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert images.read(found[0]).rgb.dtype == np.uint16


def test_a_clip_is_played_before_and_after_and_downloaded(
    browser, address, check, clip, tmp_path: Path
):
    (tmp_path / "rain.webm").write_bytes(clip(".webm", frames=20))
    (tmp_path / "broken.mp4").write_bytes(b"no clip")
    saved = tmp_path / "saved"
    saved.mkdir()
    browser.open(f"{address}?clip#token={TOKEN}", *check.WINDOWS["phone"])
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(saved))
    assert browser.value("document.getElementById('flicker').hidden")
    choose(browser, tmp_path / "rain.webm", tmp_path / "broken.mp4")
    browser.wait("document.getElementById('status').textContent === '1 of 2 done, 1 failed'")

    # Two videos, of which the rainy one follows the other when it is moved.
    films = "[...document.querySelectorAll('.plane video')]"
    browser.wait(f"{films}.length === 2 && {films}.every(each => each.readyState > 1)")
    seek = "document.getElementById('seek')"
    browser.value(f"{seek}.value = 1.25, {seek}.dispatchEvent(new Event('input'))")
    browser.wait(f"{films}.every(each => each.currentTime === 1.25 && !each.seeking)")
    # What is muted needs no user to start, and on a slow machine the end must not come first.
    browser.value(f"{films}.forEach(each => each.muted = each.loop = true)")
    browser.value(f"{films}[0].play()")
    browser.wait(f"{films}.every(each => !each.paused && each.currentTime !== 1.25)")
    press(browser, "play")
    browser.wait(f"{films}.every(each => each.paused && !each.seeking)")
    # What is less than a millisecond apart shows the same picture, and is left where it is.
    browser.wait(f"Math.abs({films}[0].currentTime - {films}[1].currentTime) <= 0.001")

    # With another strength it is derained when that is asked for.
    again = "document.getElementById('again')"
    assert browser.value(f"{again}.hidden")
    strength = "document.getElementById('strength')"
    browser.value(f"{strength}.value = 0.5, {strength}.dispatchEvent(new Event('input'))")
    assert not browser.value(f"{again}.hidden")
    press(browser, "again")
    browser.wait(f"document.querySelector('.strip li').className === 'done' && {again}.hidden")
    press(browser, "one")
    end = time.monotonic() + 30
    while not (found := [*saved.glob("*.webm")]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert found[0].name == "rain-tiny.webm"
    browser.value("document.querySelectorAll('.strip button')[1].click()")
    assert "is no MP4" in browser.value("document.getElementById('message').textContent")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert [each for each in browser.errors if "422" not in each] == []
