"""What the pages tell readers to type is typed here: commands and Python, page by page.

A block that a test machine cannot run is marked in its page, with the reason::

    <!-- not run: needs a GPU -->

``pip install`` is passed over: the environment of the tests has what it would install.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rainkit import images
from rainkit.rain import PRESETS, render

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "plugin-authors.md"
"""Done from its first line to its last by test_tutorial.py."""

PAGES = sorted(
    {ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")} - {TUTORIAL}
)
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w+)(?P<title>[^\n]*)\n(?P<text>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
HELP = re.compile(r"<!-- help:.*?<!-- /help -->", re.DOTALL)
SHELL = ("console", "bash", "sh")


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of the blocks of a page that are to be run."""
    for found in BLOCK.finditer(HELP.sub("", page.read_text(encoding="utf-8"))):
        if found["language"] in (*SHELL, "python") and not (found["reason"] or found["title"]):
            yield found["language"], found["text"]


def commands(text: str) -> list[list[str]]:
    """Words of each command of a block in which prompts stand before commands."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line.strip()[2:], comments=True) for line in lines if "$ " in line[:8]]


RUN = [page for page in PAGES if list(blocks(page))]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that pages name: photographs, pairs, scenes, restored pictures and weights."""
    folder = tmp_path_factory.mktemp("stock")
    rng = np.random.default_rng(7)
    ramp = np.linspace(40, 180, 40)[:, None, None] * np.ones((40, 48, 3))

    def put(name: str, picture: np.ndarray) -> None:
        images.write(folder / name, images.Picture(picture))

    for i, name in enumerate(("street", "tree")):
        clean = (ramp + rng.normal(0, 12 + i, ramp.shape)).clip(0, 255).astype(np.uint8)
        rainy = render(clean, PRESETS["rain100l"], (i,)).rainy
        for place in ("photos", "wet", "trip/garden"):
            put(f"{place}/{name}.jpg", rainy)
        put(f"pairs/input/{name}.png", rainy)
        put(f"pairs/target/{name}.png", clean)
        put(f"rainy/{name}.png", rainy)
        put(f"restored/{name}.png", ((rainy.astype(int) + clean) // 2).astype(np.uint8))
        put(f"clean/{name}.png", clean)
        for frame in range(5):
            put(f"scenes/{name}/{frame}.png", render(clean, PRESETS["rain100l"], (i, frame)).rainy)
    for name in ("rainy.jpg", "photo.jpg", "result.png", "clean.png"):
        put(name, rainy)
    runs = folder / "runs" / "mine"
    runs.mkdir(parents=True)
    for method, name in (("freq_gan", "best"), ("graspp_gan", "last")):
        plugin = ROOT / "plugins" / f"rainkit-{method.replace('_', '-')}"
        weights = plugin / f"rainkit_{method}" / "weights" / "rain-v1.safetensors"
        shutil.copy(weights, runs / f"{name}.safetensors")
    return folder


@pytest.mark.usefixtures("without_layout")
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_can_be_run(
    page: Path,
    stock: Path,
    tmp_path: Path,
    rainkit: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
):
    folder = tmp_path / "reader"
    shutil.copytree(stock, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RAINKIT_CONFIG", str(tmp_path / "config.toml"))
    known = values(folder / "rainy.jpg")
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page.name, "exec"), known)  # noqa: S102 - the page's own code
            continue
        typed = commands(text)
        assert typed, f"a prompt, or the mark of what is not run, is missing: {text}"
        for words in typed:
            if words[:2] == ["pip", "install"] or words[:3] == ["python3", "-m", "venv"]:
                continue
            clear(folder, words)
            assert words[0] == "rainkit", f"mark what cannot be run here: {words[0]}"
            code, _, err = rainkit(*words[1:])
            bars = {0, 3} if "--fail-below" in words else {0}
            assert code in bars, f"{shlex.join(words)}: {err}"


def clear(folder: Path, words: list[str]) -> None:
    """Remove what a command before wrote where this one writes: examples stand for themselves."""
    named = [folder / after for before, after in pairwise(words) if before == "-o"]
    for output in (*named, *folder.glob("photos-*")):
        if output.is_dir():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)


def values(path: Path) -> dict[str, object]:
    """What pages call arrays, tensors and paths of the reader's."""
    array = images.read(path).rgb
    return {
        "paths": [path, path],
        "array": array,
        "restored": array,
        "target": array,
        "tensor": images.to_tensor(array),
        "pil_image": Image.fromarray(array),
    }
