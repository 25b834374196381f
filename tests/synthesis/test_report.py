"""The page about a synthesised dataset."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.datasets import manifest
from rainkit.errors import DatasetError
from rainkit.evaluation import protocol
from rainkit.rain import PRESETS
from rainkit.synthesis.report.page import write_rain_page
from rainkit.synthesis.request import DepthChoice, SynthRequest
from rainkit.synthesis.run import synthesise

SCORER = protocol("restormer")
KINDS = {"clean", "rainy", "depth", "transmission", "mask"}


class Page(HTMLParser):
    """All elements with their attributes, and the text."""

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


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        rgb = np.ascontiguousarray(getattr(data, name)()[..., :3])
        small = cv2.resize(rgb, (240, 180), interpolation=cv2.INTER_AREA)
        images.write(folder / f"{name}.png", images.Picture(small))
        depth = np.tile(np.linspace(120, 4, 180)[:, None], 240) * 256
        grey = images.Picture(np.dstack([depth.astype(np.uint16)] * 3), grey=True)
        images.write(folder / "depth" / f"{name}.png", grey)
    return folder


def make(photos: Path, out: Path, **options) -> Path:
    inputs = tuple(str(path) for path in sorted(photos.glob("*.png")))
    synthesise(SynthRequest(inputs=inputs, out=out, workers=1, **options))
    return out


@pytest.fixture(scope="module")
def dataset(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(
        photos,
        tmp_path_factory.mktemp("made") / "dataset",
        settings=PRESETS["default"].changed({"wind_sd_m_s": 2.0}),
        levels=("light", "moderate", "heavy", "violent"),
        variants=4,
        test_scenes=1,
        save=("mask", "trans"),
        depth=DepthChoice(name=str(photos / "depth"), form="kitti"),
    )


@pytest.fixture(scope="module")
def page(dataset: Path) -> Path:
    return write_rain_page(dataset, SCORER, workers=1)


def figures(dataset: Path) -> dict:
    return json.loads((dataset / "report.json").read_text())


def test_the_page_shows_every_kind_of_picture(page: Path) -> None:
    html = Page(page)
    pictures = html.all("img")
    assert {str(picture["alt"]).rpartition(": ")[2] for picture in pictures} == KINDS
    assert len(pictures) == 12 * len(KINDS)
    for picture in pictures:
        jpeg = base64.b64decode(str(picture["src"]).removeprefix("data:image/jpeg;base64,"))
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (180, 240, 3)


def test_pictures_go_from_light_to_heavy(page: Path) -> None:
    rates = [float(rate) for rate in re.findall(r"([\d.]+(?:e\+\d+)?) mm/h ·", Page(page).text)]
    assert rates == sorted(rates)
    assert rates[0] < 2
    assert rates[-1] > 50


def test_nothing_is_fetched_and_nothing_runs(page: Path) -> None:
    html = Page(page)
    for tag, attributes in html.elements:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href", "xlink:href"):
            if attributes.get(name):
                assert re.match(r"data:image/jpeg|#", str(attributes[name]))
    assert not re.search(r"@import|url\((?!#)", page.read_text(encoding="utf-8"))


def test_plots_say_in_words_what_they_show(page: Path) -> None:
    html = Page(page)
    assert len(html.all("svg")) == 6
    labels = [e["aria-label"] for e in html.all("div") if e.get("role") == "img"]
    assert len(labels) == 6
    assert all(len(str(label)) > 30 for label in labels)
    ids = [e["id"] for _, e in html.elements if e.get("id")]
    assert len(ids) == len(set(ids))


def test_what_was_rendered_passes_its_checks(page: Path, dataset: Path) -> None:
    checks = {check["name"]: check for check in figures(dataset)["checks"]}
    text = Page(page).text
    for name in (
        "Tilt of the streaks",
        "Pixels darkened by streaks",
        "Coverage grows with the rain rate",
        "Fog follows depth",
        "No scene in both train and test",
    ):
        assert checks[name]["passed"] is True, checks[name]
        assert checks[name]["n"] > 0
        assert checks[name]["found"] in text
    assert "✓ pass" in text
    assert "restormer/1" in text
    # It has fog: the presets' bands are of rain without.
    assert checks["PSNR against the preset's"]["passed"] is None


def test_figures_are_those_of_the_files(page: Path, dataset: Path) -> None:
    records = {record.id: record for record in manifest.read(dataset)}
    rows = figures(dataset)["pictures"]
    assert len(rows) == 16
    for row in rows[::5]:
        record = records[row["id"]]
        rainy, clean = (images.read(dataset / n).rgb for n in (record.input, record.target))
        assert (row["psnr"], row["ssim"]) == SCORER.scores(rainy, clean)
        assert row["rate_mm_h"] == record.rate_mm_h


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of the time."""
    monkeypatch.setattr("rainkit.synthesis.report.page.plots", lambda *_: [])


@pytest.mark.usefixtures("no_plots")
def test_a_file_that_was_changed_is_noticed(photos: Path, tmp_path: Path) -> None:
    out = make(photos, tmp_path / "out", levels=("light", "violent"), variants=2)
    for record in manifest.read(out):
        rainy = images.read(out / record.input).rgb
        images.write(
            out / record.input,
            images.Picture(np.ascontiguousarray(rainy[:, ::-1])),
            overwrite=True,
        )
    write_rain_page(out, SCORER, workers=1)
    checks = {check["name"]: check for check in figures(out)["checks"]}
    assert checks["Pixels darkened by streaks"]["passed"] is False
    assert "! warn" in Page(out / "report.html").text


def test_a_page_is_always_the_same(page: Path, dataset: Path) -> None:
    before = page.read_bytes(), (dataset / "report.json").read_bytes()
    write_rain_page(dataset, SCORER, workers=1)
    assert (page.read_bytes(), (dataset / "report.json").read_bytes()) == before


@pytest.mark.usefixtures("no_plots")
def test_of_many_pictures_some_are_measured(dataset: Path, page: Path) -> None:
    whole = page.read_bytes(), (dataset / "report.json").read_bytes()
    seen = []
    write_rain_page(dataset, SCORER, most=9, workers=1, on_progress=lambda n, _: seen.append(n))
    rows = figures(dataset)["pictures"]
    rates = sorted(record.rate_mm_h for record in manifest.read(dataset))
    assert seen == list(range(1, 10))
    assert (rows[0]["rate_mm_h"], rows[-1]["rate_mm_h"]) == (rates[0], rates[-1])
    page.write_bytes(whole[0])
    (dataset / "report.json").write_bytes(whole[1])


def test_noise_has_a_page_too(photos: Path, tmp_path: Path) -> None:
    out = make(photos, tmp_path / "noisy", noise=25.0)
    html = Page(write_rain_page(out, SCORER, workers=1))
    assert {str(e["alt"]).rpartition(": ")[2] for e in html.all("img")} == {"clean", "rainy"}
    assert all(check["passed"] is None for check in figures(out)["checks"])


@pytest.mark.usefixtures("no_plots")
def test_pictures_that_cannot_be_read_are_listed(photos: Path, tmp_path: Path) -> None:
    out = make(photos, tmp_path / "<b>out", variants=2, depth=DepthChoice(name="none"))
    first = manifest.read(out)[0]
    (out / first.input).write_bytes(b"no picture")
    html = Page(write_rain_page(out, SCORER, workers=1))
    assert first.id in html.text
    assert "Rain in <b>out" in html.text
    assert not html.all("b")
    assert figures(out)["failures"][0]["id"] == first.id


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"manifest\.jsonl"):
        write_rain_page(tmp_path, SCORER)
