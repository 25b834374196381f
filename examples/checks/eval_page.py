"""The page of `rainkit eval` with made-up results, looked at in headless Chromium.

python examples/checks/eval_page.py FOLDER [--photos FOLDER] [--chromium PATH]

Writes index.html, the plots and the tables of three simple filters on rain of two strengths into
FOLDER, opens the page in windows of a desktop and of a phone, light and dark, and saves what is
seen as PNG files. Exits 1 where the page logs an error, asks the network for anything, or is wider
than the window. Without Chromium only the page is made.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from rainkit import images
from rainkit.api import PublishedResult
from rainkit.errors import exiting
from rainkit.evaluation import Score, Scores, protocol
from rainkit.evaluation.report.data import (
    EvalReport,
    EvalResult,
    PanelPictures,
)
from rainkit.evaluation.report.means import eval_latex, eval_markdown
from rainkit.evaluation.report.page import eval_page
from rainkit.evaluation.report.plots import write_plots
from rainkit.images import RGB8
from rainkit.published import PublishedRow
from rainkit.rain import PRESETS, render

WINDOWS = {"desktop": (1440, 900), "phone": (390, 844)}
FILTERS: dict[str, Callable[[RGB8], RGB8]] = {
    "median of 5": lambda rgb: np.asarray(cv2.medianBlur(rgb, 5), np.uint8),
    "bilateral": lambda rgb: np.asarray(cv2.bilateralFilter(rgb, 7, 60, 5), np.uint8),
    "sideways median": lambda rgb: np.asarray(
        np.median([np.roll(rgb, i, axis=1) for i in (-3, -1, 0, 1, 3)], axis=0), np.uint8
    ),
}


class Chromium:
    """A headless browser with one page, driven over DevTools pipes.

    Attributes:
        errors: what the page logged or threw.
        requests: addresses the page asked for, data URIs apart.
    """

    def __init__(self, executable: str) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._number = 0
        self._buffer = b""
        self._profile = tempfile.mkdtemp(prefix="rainkit-chromium-")
        pipes = [os.pipe(), os.pipe()]
        # Chromium reads from 3 and writes to 4; numbers above cannot be overwritten on the way.
        far = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (pipes[0][0], pipes[1][1])]
        self._out, self._in = pipes[0][1], pipes[1][0]
        command = [
            executable,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile}",
            "about:blank",
        ]
        with open(os.devnull, "r+b") as nowhere:
            self._pid = os.posix_spawn(
                executable,
                command,
                os.environ,
                file_actions=[
                    *((os.POSIX_SPAWN_DUP2, nowhere.fileno(), stream) for stream in (0, 1, 2)),
                    (os.POSIX_SPAWN_DUP2, far[0], 3),
                    (os.POSIX_SPAWN_DUP2, far[1], 4),
                ],
                setpgroup=0,
            )
        for fd in (pipes[0][0], pipes[1][1], *far):
            os.close(fd)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._out)
        os.close(self._in)
        # The group holds the browser and all it started, and nothing else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command; RuntimeError where it fails."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._receive(120)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._event(answer)

    def open(self, page: Path | str, width: int, height: int, *, dark: bool = False) -> None:
        """Show a file or an address in a window of that size and wait until it has loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        colours = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[colours])
        url = page if isinstance(page, str) else page.resolve().as_uri()
        self.call("Page.navigate", url=url)
        scheme = url.partition(":")[0]
        self.wait(f"document.readyState === 'complete' && location.protocol === '{scheme}:'")

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression, in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            if time.monotonic() > end:
                raise RuntimeError(f"never true: {expression}")
            time.sleep(0.05)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """``mousePressed``, ``mouseMoved``, ``mouseReleased`` or ``mouseWheel``."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, name: str) -> None:
        """Press and release a key by its name; of one letter, as text."""
        text = {"text": name} if len(name) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Of the window, or of the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _receive(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._in, 1 << 16) if ready else b""
            if not chunk:
                raise RuntimeError("Chromium does not answer")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _event(self, message: dict[str, Any]) -> None:
        kind, data = message.get("method"), message.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(data["exceptionDetails"])[:500])
        elif kind == "Runtime.consoleAPICalled" and data["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(data["args"])[:500])
        elif kind == "Log.entryAdded":
            self.errors.append(data["entry"]["text"])
        elif kind == "Network.requestWillBeSent":
            url = data["request"]["url"]
            if not url.startswith("data:") and data.get("type") != "Document":
                self.requests.append(url)


def sample_report(photos: list[RGB8], rates: tuple[float, ...] = (4.0, 60.0)) -> EvalReport:
    """Three filters, one with a part, on photographs under two rains and two protocols."""
    results = []
    labels = [protocol("prenet"), protocol("restormer")]
    for rate in rates:
        pairs = {}
        for i, clean in enumerate(photos):
            own = rate * (0.6 + 0.8 * i / max(1, len(photos) - 1))
            rainy = render(clean, PRESETS["default"].at_rate(own), (i,)).rainy
            pairs[f"photo-{i:03d}.png"] = (clean, rainy, own)
        for method, run in FILTERS.items():
            started = time.perf_counter()
            restored = {name: run(rainy) for name, (_, rainy, _) in pairs.items()}
            each_ms = 1e3 * (time.perf_counter() - started) / len(pairs)

            def load(
                name: str,
                pairs: dict[str, tuple[RGB8, RGB8, float]] = pairs,
                restored: dict[str, RGB8] = restored,
            ) -> PanelPictures:
                return PanelPictures(restored[name], pairs[name][0], pairs[name][1])

            for scored in labels:
                scores = []
                for name, (clean, rainy, own) in pairs.items():
                    psnr, ssim = scored.scores(restored[name], clean)
                    before = scored.scores(rainy, clean)
                    scores.append(
                        Score(
                            name=name,
                            psnr=psnr,
                            ssim=ssim,
                            input_psnr=before[0],
                            input_ssim=before[1],
                            milliseconds=each_ms,
                            width=clean.shape[1],
                            height=clean.shape[0],
                            rain_attributes=(("rate_mm_h", own),),
                        )
                    )
                results.append(
                    EvalResult(
                        method=method,
                        scores=Scores(
                            dataset=f"rain of {rate:g} mm/h", protocol=scored, rows=tuple(scores)
                        ),
                        load=load,
                    )
                )
                if method == next(iter(FILTERS)):
                    part = f"{method}: once more"
                    results.append(replace(results[-1], method=part, load=None, part_of=method))
    return EvalReport(
        title="Simple filters against rain",
        results=tuple(results),
        facts={"Machine": "2 cores, no GPU", "Versions": "those of this check"},
        published=(
            PublishedRow(
                source="check",
                title="A network",
                paper="A paper that was made up for this check",
                result=PublishedResult(
                    table="Table 1",
                    dataset=f"rain of {rates[-1]:g} mm/h",
                    psnr="29.46",
                    ssim="0.899",
                    note="made up for this check; Y, MATLAB",
                ),
            ),
        ),
        notes=("The filters are no deraining methods; they make this page look like one.",),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make and look at the page of an evaluation.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path, help="clean photographs; otherwise gradients")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser")
    options = parser.parse_args()
    photos = [
        images.to_uint8(images.read(found.path).rgb)
        for found in (images.find([options.photos]) if options.photos else [])
    ][:12]
    report = sample_report(photos or [painting(i) for i in range(8)])
    page = options.folder / "index.html"
    eval_page(report, page, overwrite=True)
    write_plots(report.results, options.folder, overwrite=True)
    write_plots(report.results, options.folder, suffix=".png", overwrite=True)
    (options.folder / "table.md").write_text(eval_markdown(report), encoding="utf-8")
    (options.folder / "table.tex").write_text(eval_latex(report), encoding="utf-8")
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    if not options.chromium:
        print("no Chromium here: the page was not looked at")
        return
    if not look(options.chromium, page):
        sys.exit(1)


def look(executable: str, page: Path) -> bool:
    """Save what is seen of a page, and say what is wrong with it."""
    fine = True
    with Chromium(executable) as browser:
        for window, (width, height) in WINDOWS.items():
            for scheme in ("light", "dark"):
                browser.open(page, width, height, dark=scheme == "dark")
                browser.screenshot(page.with_name(f"{window}-{scheme}.png"))
                browser.value("document.querySelector('.panel').scrollIntoView()")
                browser.wait("document.querySelector('.panel img').naturalWidth > 0")
                browser.screenshot(page.with_name(f"{window}-{scheme}-panel.png"))
                wide = browser.value("document.documentElement.scrollWidth")
                print(f"{window}, {scheme}: {wide} px wide in a window of {width}")
                fine = fine and wide <= width
        for problem in (*browser.errors, *browser.requests):
            print(f"wrong: {problem}")
            fine = False
    return fine


def painting(seed: int, width: int = 321, height: int = 241) -> RGB8:
    """A smooth picture with some edges, always the same."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 200, (6, 8, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(smooth, 0, 230).astype(np.uint8)
    for _ in range(6):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = [int(v) for v in rng.integers(0, 220, 3)]
        cv2.circle(picture, centre, int(rng.integers(8, 40)), colour, -1, cv2.LINE_AA)
    return picture


if __name__ == "__main__":
    with exiting():
        main()
