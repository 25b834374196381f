"""Models on rainy photographs without clean pictures, and the page of what they see."""

import base64
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rainkit import networks, weights
from rainkit.datasets.readers import ReadOptions
from rainkit.errors import PairingError, UsageError
from rainkit.evaluation import PROTOCOLS, DerainerRequest, FoldersRequest, evaluate_folders
from rainkit.evaluation import downstream as d
from rainkit.evaluation.downstream import DownstreamRequest, PhotographsRequest
from rainkit.evaluation.downstream.accuracy import Detections, confidence, same_objects
from rainkit.runtime_options import RuntimeOptions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SIDE = 48
CAR, TRAM, PIT = [4.0, 6.0, 20.0, 16.0], [24.0, 20.0, 44.0, 40.0], [4.0, 30.0, 20.0, 46.0]


class Brightness(nn.Module):
    """Two bright boxes, whose score is their level, and a dark one, whose score is the rest."""

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes = torch.tensor(
            [[4.0, 6.0, 20.0, 16.0], [24.0, 20.0, 44.0, 40.0], [4.0, 30.0, 20.0, 46.0]]
        )
        car = picture[:, :, 6:16, 4:20].mean()
        tram = picture[:, :, 20:40, 24:44].mean()
        pit = 1 - picture[:, :, 30:46, 4:20].mean()
        return boxes, torch.stack([car, tram, pit]), torch.tensor([1, 2, 1])


class Level(nn.Module):
    """A box with a score of 0.9, as float32 holds it."""

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.tensor([[4.0, 6.0, 20.0, 16.0]]), torch.tensor([0.9]), torch.tensor([1])


class Bright(nn.Module):
    """Class 1 where a picture is bright, else 0; surer the farther from grey."""

    def forward(self, picture: Tensor) -> Tensor:
        grey = picture.mean(1, keepdim=True)
        return torch.cat([0.5 - grey, grey - 0.5], 1)


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def scene() -> np.ndarray:
    picture = np.full((SIDE, SIDE, 3), 20, np.uint8)
    for (left, top, right, bottom), level in ((CAR, 240), (TRAM, 153), (PIT, 140)):
        picture[int(top) : int(bottom), int(left) : int(right)] = level
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("p1", "p2"):
        save(tmp_path / f"photos/{name}.png", scene())
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def darker(tiny_method, tmp_path_factory: pytest.TempPathFactory) -> DerainerRequest:
    """A method that makes pictures darker by 51 levels."""
    settings = tiny_method.default.network
    state = {
        k: torch.zeros_like(v)
        for k, v in networks.build(tiny_method, settings).state_dict().items()
    }
    state["last.bias"] -= 0.2
    path = tmp_path_factory.mktemp("weights") / "darker.safetensors"
    weights.save(path, state, method=tiny_method, variant="default", network=settings)
    options = RuntimeOptions.parse(device="cpu", precision="fp32")
    return DerainerRequest(method="tiny", weights=str(path), label="darker", options=options)


@pytest.fixture
def detector(script: Callable[..., str], tmp_path: Path) -> str:
    return script(Brightness(), tmp_path / "detector.pt")


def asked(
    photos: Path, darker: DerainerRequest, task: str, model: str, **more: object
) -> PhotographsRequest:
    return PhotographsRequest(
        folders=(photos,),
        methods=(darker,),
        output=photos.parent / "out",
        model=DownstreamRequest(task=task, model=model, device="cpu", **more),
    )


def test_boxes_before_and_after_are_those_counted_by_hand(photos, darker, detector):
    ticks: list[tuple[int, int]] = []
    request = asked(photos, darker, "detection", detector)
    found = d.measure_photographs(request, lambda *tick: ticks.append(tick))
    before, after = found.rows
    # Scores are 240, 153 and 255 - 140 over 255; the method takes 51 from each level.
    assert (before.result, after.result, before.images, after.images) == ("input", "darker", 2, 2)
    levels = ("boxes_0.3", "boxes_0.5", "boxes_0.7", "boxes_0.9")
    assert [before.figures[level] for level in levels] == [6, 4, 2, 2]
    assert [after.figures[level] for level in levels] == [6, 4, 2, 0]
    assert before.figures["score"] == pytest.approx((240 + 153) / 2 / 255, abs=1e-3)
    assert after.figures["score"] == pytest.approx((189 + 166) / 2 / 255, abs=1e-3)
    assert not {"new", "lost", "agreement"} & before.figures.keys()
    assert (after.figures["new"], after.figures["lost"]) == (2, 2)
    assert after.figures["agreement"] == pytest.approx(2 * 2 / 8)
    assert after.figures["score_gain"] == pytest.approx(-51 / 255, abs=1e-3)
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (found.truth, found.exit_code) == ("none", 0)
    assert "nothing says which answers are right" in found.notices[0]
    assert len(found.columns) == len(found.cells[0]) == len(found.cells[1])
    assert found.cells[0][-4:] == ("", "", "", "")
    assert json.dumps(found.to_data(), allow_nan=False)
    assert found.about["methods"]["darker"]["weights"]["name"]


def test_labels_of_some_photographs_give_accuracy_on_these(photos, darker, detector, coco):
    labels = coco(photos.parent / "labels.json", {"p2": [(1, CAR), (2, TRAM)]})
    found = d.measure_photographs(asked(photos, darker, "detection", detector, labels=labels))
    before, after = found.rows
    assert found.truth == "labels"
    # The dark box is of the class of the car and comes after it on either side.
    assert before.figures["AP"] == after.figures["AP"] == pytest.approx(1)
    assert "1 of 2 photographs have labels" in found.notices[0]
    assert found.columns[3:6] == ("AP %", "AP50 %", "AP75 %")
    none = coco(photos.parent / "none.json", {"p3": [(1, CAR)]})
    with pytest.raises(PairingError, match="no labels for any of 2 photographs"):
        d.measure_photographs(asked(photos, darker, "detection", detector, labels=none))


def test_classes_of_pixels_before_and_after_are_those_counted_by_hand(
    photos, darker, script, tmp_path
):
    model = script(Bright(), tmp_path / "segmenter.pt")
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[6:16, 4:20] = 1
    save(tmp_path / "maps/p1.png", truth)
    request = asked(photos, darker, "segmentation", model, labels=tmp_path / "maps", report=True)
    found, written = d.run_photographs(request)
    before, after = found.rows
    # Of the car's, the tram's and the pit's 160, 400 and 256 pixels the car's alone stay bright.
    all_of_it, changed = SIDE * SIDE, 400 + 256
    assert before.figures["accuracy"] == pytest.approx(1 - changed / all_of_it)
    assert after.figures["accuracy"] == 1
    assert after.figures["same"] == pytest.approx(1 - changed / all_of_it)
    dark = all_of_it - 160 - changed
    agreed = (160 / (160 + changed) + dark / (dark + changed)) / 2
    assert after.figures["agreement"] == pytest.approx(agreed)
    assert 0.5 < before.figures["confidence"] < 1
    page = written[-1].read_text()
    masks = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGBA"))
        for each in re.findall(r'class="mask" src="data:image/png;base64,([^"]+)', page)
    ]
    assert len(masks) == 5, "the input, the result, and the labels of one"
    seen, derained, labelled = masks[:3]
    assert len(np.unique(seen.reshape(-1, 4), axis=0)) == 2
    assert np.array_equal(derained, labelled)
    assert (seen != derained).any(axis=2).sum() == changed
    assert "71.5% of the pixels as in input" in page


def test_the_page_shows_boxes_scores_names_and_what_changed(photos, darker, detector, coco):
    (photos / "p2.png").rename(photos / "p<b>2.png")
    labels = coco(photos.parent / "labels.json", {"p1": [(2, TRAM)]})
    request = asked(
        photos, darker, "detection", detector, labels=labels, classes=("Car", "Tram"), report=True
    )
    found, written = d.run_photographs(request)
    assert [path.name for path in written] == [*d.FILES, d.PAGE]
    page = written[-1].read_text()
    assert len(found.sheets) == 2
    before, after = found.sheets[0].views
    assert [(b.name, b.change) for b in before.boxes] == [
        ("Car", ""),
        ("Tram", "lost"),
        ("Car", ""),
    ]
    assert [b.change for b in after.boxes] == ["", "new", ""]
    (tram,) = found.sheets[0].truth
    place = [tram.left, tram.top, tram.width, tram.height]
    assert place == pytest.approx([100 * v / SIDE for v in (24, 20, 20, 20)])
    assert "2 boxes with a score of 0.5 or more, 0.696 on average; 1 new, 1 lost" in page
    assert "Tram 0.60 <i>lost</i>" in page
    assert "photos/p&lt;b&gt;2" in page
    assert "<b>2" not in page
    assert not re.search(r'(?:src|href)="(?!data:)', page), "the page loads nothing"
    with pytest.raises(UsageError, match="pass --overwrite"):
        d.run_photographs(request)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
def test_the_page_hides_low_scores_and_zooms_all_versions(photos, darker, detector, check):
    _, written = d.run_photographs(asked(photos, darker, "detection", detector, report=True))
    with check.Chromium(CHROMIUM) as browser:
        browser.open(written[-1], 900, 700)
        before = browser.value("document.querySelectorAll('.found:not([hidden])').length")
        least = "document.getElementById('least')"
        browser.value(f"{least}.value = .7; {least}.dispatchEvent(new Event('input'))")
        after = browser.value("document.querySelectorAll('.found:not([hidden])').length")
        assert (before, after) == (8, 4)
        browser.value("document.querySelector('.closer').click()")
        moved = "[...document.querySelectorAll('.plane')].map(p => getComputedStyle(p).transform)"
        planes = browser.value(moved)
        assert planes[0] == planes[1] != planes[2] == planes[3]
        assert browser.errors == browser.requests == []


def test_a_photograph_that_cannot_be_read_is_left_out_and_named(photos, darker, detector):
    (photos / "p0.png").write_bytes((photos / "p1.png").read_bytes()[:60])
    found, written = d.run_photographs(asked(photos, darker, "detection", detector))
    assert [row.images for row in found.rows] == [2, 2]
    ((dataset, failure),) = found.failures
    assert (dataset, failure.name, found.exit_code) == ("photos", "p0", 1)
    assert "Left out: photos/p0: " in written[0].read_text()


def test_a_photograph_whose_label_is_cut_off_is_left_out(photos, darker, script, tmp_path):
    for name in ("p1", "p2"):
        save(tmp_path / f"maps/{name}.png", np.eye(SIDE, dtype=np.uint8))
    path = tmp_path / "maps/p2.png"
    path.write_bytes(path.read_bytes()[:60])
    model = script(Bright(), tmp_path / "segmenter.pt")
    request = asked(photos, darker, "segmentation", model, labels=tmp_path / "maps")
    found = d.measure_photographs(request)
    assert [row.images for row in found.rows] == [1, 1]
    ((_, failure),) = found.failures
    assert (failure.name, "p2.png: cannot be read as PNG" in failure.reason) == ("p2", True)


def test_a_score_of_a_level_reaches_it(photos, darker, script, tmp_path):
    found = d.measure_photographs(
        asked(photos, darker, "detection", script(Level(), tmp_path / "level.pt"))
    )
    assert found.rows[0].figures["boxes_0.9"] == 2, "one in each photograph"


def test_pairs_have_a_page_too(photos, detector):
    root = photos.parent
    for name, lighter in (("rainy", 40), ("clean", 0), ("half", 20)):
        save(root / f"pairs/{name}/a.png", np.minimum(scene(), 215) + np.uint8(lighter))
    folders = FoldersRequest(
        restored=root / "pairs/half",
        target=root / "pairs/clean",
        rainy=root / "pairs/rainy",
        protocols=(PROTOCOLS["rgb"],),
    )
    request = DownstreamRequest(task="detection", model=detector, device="cpu", report=True)
    found = d.measure([evaluate_folders(folders)], request)
    (sheet,) = found.sheets
    assert [view.result for view in sheet.views] == ["input", "half", "clean"]
    assert not sheet.truth
    assert (root / "out" / d.PAGE) in d.write(found, root / "out")


def test_photographs_are_told_from_pairs(photos, tmp_path):
    reading = ReadOptions()
    for side in ("rainy", "clean"):
        save(tmp_path / f"sets/one/{side}/a.png", scene())
    assert d.are_photographs([photos, photos / "p1.png"], reading)
    assert not d.are_photographs([tmp_path / "sets"], reading)
    with pytest.raises(UsageError, match="give one kind at a time, or --photos"):
        d.are_photographs([tmp_path / "sets", photos], reading)
    save(tmp_path / "sets/one/rainy/b.png", scene())
    with pytest.raises(PairingError, match="no partner"):
        d.are_photographs([tmp_path / "sets"], reading)


def test_the_command_takes_a_folder_of_photographs(rainkit, photos, darker, detector):
    out = photos.parent / "scores"
    words = ("-m", f"tiny={darker.weights}@darker", "--task", "detection", "--model", detector)
    code, shown, err = rainkit(
        "downstream", photos, *words, "-o", out, "--report", "--class", "Car"
    )
    assert code == 0, err
    assert "boxes >= 0.5" in shown
    assert "note: without labels" in err
    assert "Car 0.94" in (out / d.PAGE).read_text()
    rows = json.loads((out / "downstream.json").read_text())["rows"]
    assert [row["result"] for row in rows] == ["input", "darker"]
    code, _, err = rainkit("downstream", photos, *words, "-o", photos / "inside")
    assert (code, "lies in" in err) == (2, True)
    code, _, err = rainkit("downstream", photos, *words, "-o", out, "--overwrite")
    assert code == 0, err
    assert not (out / d.PAGE).exists(), "a page of an earlier run would show other figures"


def test_the_same_objects_are_matched_once_by_class_and_overlap():
    def seen(*rows: tuple[list[float], float, int]) -> Detections:
        boxes, scores, labels = zip(*rows, strict=True)
        return Detections(np.array(boxes), np.array(scores), np.array(labels))

    moved = [CAR[0] + 5, CAR[1], CAR[2] + 5, CAR[3]]  # 11 of 21 columns: an overlap of .52
    far = [CAR[0] + 6, CAR[1], CAR[2] + 6, CAR[3]]  # 10 of 22
    before = seen((CAR, 0.9, 1), (TRAM, 0.8, 2), (PIT, 0.4, 1))
    assert same_objects(before, seen((TRAM, 0.6, 2), (moved, 0.7, 1))) == [(0, 1), (1, 0)]
    assert same_objects(before, seen((far, 0.9, 1), (TRAM, 0.9, 1), (PIT, 0.9, 1))) == []
    assert same_objects(before, seen((CAR, 0.6, 1), (CAR, 0.9, 1))) == [(0, 1)]
    assert same_objects(before, seen(([0.0] * 4, 0.9, 1))) == []


def test_confidence_is_the_probability_of_the_class_chosen():
    logits = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    sure = 1 / (1 + math.exp(-1))
    assert confidence({"out": logits}) == pytest.approx(sure)
    assert confidence(logits.softmax(1)) == pytest.approx(sure)
    assert math.isnan(confidence(torch.zeros(1, 3, 3, dtype=torch.long)))
