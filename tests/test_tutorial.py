"""The tutorial for authors of plugins is done as it is written, from the first line to the last."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from skimage import data

from rainkit import api, images
from rainkit.images import Picture

PAGE = Path(__file__).parents[1] / "docs" / "plugin-authors.md"
BLOCK = re.compile(r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLUGIN = "rainkit-drizzle"
REFERENCE = "## What larger methods need"


def _forget() -> None:
    """Have what was edited imported anew, as every command of a user does."""
    for name in [name for name in sys.modules if name.startswith("rainkit_drizzle")]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The reader's folder, with clean photographs."""
    for name in ("astronaut", "coffee"):
        rgb = np.ascontiguousarray(getattr(data, name)()[100:150, 100:160])
        images.write(tmp_path / "photos" / f"{name}.png", Picture(rgb), overwrite=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    _forget()


class Reader:
    """Does what the page says in a folder, and keeps what commands print."""

    def __init__(
        self,
        folder: Path,
        rainkit: Callable[..., tuple[int, str, str]],
        nested: Callable[[Path, Path], Any],
        build: Callable[[Path, Path], Path],
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.folder, self.said = folder, dict[str, str]()
        self._rainkit, self._nested, self._build, self._patch = rainkit, nested, build, patch

    def write(self, title: str, text: str) -> None:
        """Write a block into the file that its title names."""
        path = self.folder / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, line: str) -> None:
        """Run a line of a console; packages are installed without pip, which would fetch some."""
        _forget()
        match shlex.split(line):
            case ["rainkit", *arguments]:
                code, out, err = self._rainkit(*arguments)
                assert code == 0, f"{line}: {out}{err}"
                self.said[" ".join(arguments[:2])] = out
            case ["pip", "install", "-e", project, "pytest"]:
                self._install(self.folder / project)
            case ["pytest", project]:
                reports = self._nested(self.folder / project, self.folder / project)
                assert reports.code == pytest.ExitCode.OK, reports.outcomes
                assert reports.outcomes["test_training_lowers_the_loss[default]"] == "passed"
            case ["pip", "install", "build"]:
                pass
            case ["python", "-m", "build", project, "-o", place]:
                self._build(self.folder / project, self.folder / place)
            case _:
                pytest.fail(f"nobody knows how to run: {line}")

    def ship(self, declaration: str) -> None:
        """Append the declaration to card.py with the hash that was printed, and name it."""
        (found,) = re.findall(r'sha256="(\w{64})"', self.said["weights pack"])
        package = self.folder / PLUGIN / "rainkit_drizzle"
        with (package / "card.py").open("a", encoding="utf-8") as card:
            card.write("\n\n" + declaration.replace('sha256="..."', f'sha256="{found}"'))
        module = package / "__init__.py"
        text = module.read_text(encoding="utf-8").replace(
            "card import PAPER", "card import PAPER, WEIGHTS"
        )
        module.write_text(text.replace("paper=PAPER,", "paper=PAPER, weights=WEIGHTS,"), "utf-8")
        self.run(f"pytest {PLUGIN}")  # the contract holds with what the page declares

    def _install(self, project: Path) -> None:
        """Give the sources the metadata of their wheel, and put them on the path."""
        with ZipFile(self._build(project, self.folder / "wheels")) as wheel:
            about = [name for name in wheel.namelist() if ".dist-info/" in name]
            wheel.extractall(project, about)
        self._patch.syspath_prepend(str(project))


def test_every_line_of_the_tutorial(
    folder: Path,
    rainkit: Callable[..., tuple[int, str, str]],
    nested: Callable[[Path, Path], Any],
    build: Callable[[Path, Path], Path],
    monkeypatch: pytest.MonkeyPatch,
):
    tutorial, heading, _ = PAGE.read_text(encoding="utf-8").partition(REFERENCE)
    assert heading
    reader = Reader(folder, rainkit, nested, build, monkeypatch)
    for found in BLOCK.finditer(tutorial):
        language, title, text = found.groups()
        if title:
            reader.write(title, text)
        elif language == "console":
            for line in text.splitlines():
                assert line.startswith("$ "), line
                reader.run(line.removeprefix("$ "))
        elif "WEIGHTS = " in text:
            reader.ship(text)
        else:
            pytest.fail(f"nobody knows what to do with: {text}")
    shown = reader.said["methods show"]
    for wanted in ("three convolutions find the rain", "network.width", "training.lr = 0.001"):
        assert wanted in shown
    assert "drizzle.rain-v1" in reader.said["weights verify"]
    assert len(list((folder / "derained").glob("*.png"))) == 2
    with ZipFile(next((folder / "dist").glob("*.whl"))) as wheel:
        assert "rainkit_drizzle/weights/rain-v1.safetensors" in wheel.namelist()


def test_the_code_of_the_reference_runs():
    """Code for larger methods is defined as printed; names of the contract are there."""
    _, _, reference = PAGE.read_text(encoding="utf-8").partition(REFERENCE)
    seen = 0
    for found in BLOCK.finditer(reference):
        language, _, text = found.groups()
        assert language == "python"
        code = compile(f"from __future__ import annotations\n{text}", PAGE.name, "exec")
        exec(code, {name: getattr(api, name) for name in api.__all__})  # noqa: S102 - our page
        seen += 1
    assert seen >= 4
