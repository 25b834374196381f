"""Average precision, and the boxes of COCO and KITTI files that it is measured against."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn

from rainkit.datasets.readers import ReadOptions
from rainkit.errors import DatasetError, PairingError, UsageError
from rainkit.evaluation import PROTOCOLS, FoldersRequest, evaluate_folders
from rainkit.evaluation import downstream as d
from rainkit.evaluation.downstream import DownstreamRequest
from rainkit.evaluation.downstream.accuracy import Detections, Precision, detections
from rainkit.evaluation.downstream.labels import Boxes, Wanted, read_boxes
from rainkit.evaluation.folders import RestoredRequest, evaluate_restored

SIDE = 48
CAR, TRAM = [4.0, 6.0, 20.0, 16.0], [24.0, 20.0, 44.0, 40.0]


class OneBox(nn.Module):
    """Sees one car, wherever it looks."""

    def __init__(self, label: int = 1) -> None:
        super().__init__()
        self.label = label

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        box = torch.tensor([[4.0, 6.0, 20.0, 16.0]])
        return box, torch.tensor([0.9]), torch.tensor([self.label])


class Nothing(OneBox):
    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long)


class Plain(nn.Module):
    """Gives the picture back: three logits."""

    def forward(self, picture: Tensor) -> Tensor:
        return picture


def kitti(folder: Path, name: str, *objects: tuple[str, list[float]]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [
        " ".join([kind, "0.00", "0", "-1.57", *map(str, box), "1.5", "1.6", "3.9", *"1234"])
        for kind, box in objects
    ]
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two dark pictures, and a folder without labels."""
    for folder in ("clean", "rainy", "half", "maps"):
        (tmp_path / folder).mkdir()
        for name in ("p1", "p2"):
            picture = np.full((SIDE, SIDE, 1 if folder == "maps" else 3), 20, np.uint8)
            assert cv2.imwrite(str(tmp_path / f"{folder}/{name}.png"), picture)
    return tmp_path


def measured(root: Path, task: str, model: str, labels: Path | None = None, **more: object):
    folders = FoldersRequest(
        restored=root / "half",
        target=root / "clean",
        rainy=root / "rainy",
        protocols=(PROTOCOLS["rgb"],),
    )
    request = DownstreamRequest(task=task, model=model, labels=labels, device="cpu", **more)
    return d.measure([evaluate_folders(folders)], request)


def figures(*arguments: object, **more: object) -> dict[str, float]:
    return dict(measured(*arguments, **more).rows[0].figures)


def test_a_class_without_detections_counts_as_nothing_found(script, coco, root):
    labels = coco(root / "labels.json", {"p1": [(1, CAR), (2, TRAM)], "p2": [(1, CAR)]})
    assert figures(root, "detection", script(OneBox(), root / "m.pt"), labels)[
        "AP"
    ] == pytest.approx(0.5)


def test_an_offset_box_counts_up_to_its_overlap(script, coco, root):
    # 16 of 20 columns are shared: an overlap of 0.8, which .50 to .80 accept: 7 of 10.
    wide = [4.0, 6.0, 24.0, 16.0]
    labels = coco(root / "labels.json", {n: [(1, wide)] for n in ("p1", "p2")})
    found = figures(root, "detection", script(OneBox(), root / "m.pt"), labels)
    assert found == pytest.approx({"AP": 0.7, "AP50": 1, "AP75": 1})


def test_precision_is_that_of_pycocotools_summary(capsys):
    rng = np.random.default_rng(0)
    precision, annotations, results = Precision(), [], []
    for image in range(1, 7):
        corners = rng.uniform(0, 60, (5, 4))
        corners[:, 2:] = corners[:, :2] + rng.uniform(10, 40, (5, 2))
        classes = rng.integers(1, 4, 5)
        crowd = rng.random(5) < 0.2
        near = np.concatenate([corners, corners]) + rng.normal(0, 3, (10, 4))
        labels = np.concatenate([classes, rng.integers(1, 5, 5)])
        scores = rng.random(10)
        precision.add(Boxes(corners, classes, crowd), Detections(near, scores, labels))
        for box, label, ignored in zip(corners, classes, crowd, strict=True):
            size = box[2:] - box[:2]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label),
                    "bbox": [*box[:2], *size],
                    "area": size.prod(),
                    "iscrowd": int(ignored),
                }
            )
        for box, score, label in zip(near, scores, labels, strict=True):
            result = {"image_id": image, "category_id": int(label), "score": score}
            results.append(result | {"bbox": [*box[:2], *(box[2:] - box[:2])]})
    found = precision.figures()
    assert capsys.readouterr().out == ""
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(1, 7)],
        "categories": [{"id": i} for i in (1, 2, 3)],
        "annotations": annotations,
    }
    truth.createIndex()
    evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    assert [*found.values()] == pytest.approx(evaluator.stats[:3].tolist(), abs=1e-12)
    assert 0.1 < found["AP"] < found["AP50"] < 0.95


def test_coco_and_kitti_labels_of_the_same_boxes_agree(script, coco, root):
    model = script(OneBox(), root / "m.pt")
    boxes = {"p1": [(1, CAR), (2, TRAM)], "p2": [(1, TRAM)], "another": []}
    by_id = figures(root, "detection", model, coco(root / "labels.json", boxes))
    folder = kitti(root / "kitti", "p1", ("Car", CAR), ("Tram", TRAM), ("Van", CAR))
    kitti(folder, "p2", ("Car", TRAM))
    classes = ("Car", "Tram")
    assert figures(root, "detection", model, folder, classes=classes) == by_id
    assert figures(root, "detection", model, root / "labels.json", classes=classes) == by_id
    # Recall ends at a half, after one right and, of equal score, one wrong box.
    assert 0 < by_id["AP"] < 0.5


def test_coco_categories_are_matched_by_name_where_classes_are_named(script, coco, root):
    labels = coco(root / "labels.json", {n: [(1, CAR)] for n in ("p1", "p2")})
    third = script(OneBox(3), root / "m.pt")
    by_id = measured(root, "detection", third, labels)
    assert by_id.rows[-1].figures["AP"] == 0
    assert "class ids are not those of the labels" in by_id.notices[0]
    named = figures(root, "detection", third, labels, classes=("Bus", "Bike", "Car"))
    assert named["AP"] == pytest.approx(1)


def test_what_is_found_in_a_dont_care_region_does_not_count(script, root):
    model = script(OneBox(), root / "m.pt")
    folder = kitti(kitti(root / "kitti", "p1"), "p2", ("Car", CAR))
    # The box in p1 is wrong and comes first of equal scores: half of both are right.
    assert figures(root, "detection", model, folder, classes=("Car",))["AP"] == pytest.approx(0.5)
    kitti(folder, "p1", ("DontCare", [0.0, 0.0, 40.0, 40.0]))
    cared = figures(root, "detection", model, folder, classes=("Car",))
    assert cared["AP"] == pytest.approx(1)


def test_agreement_without_any_certain_box_is_undefined(script, root):
    found = measured(root, "detection", script(Nothing(), root / "m.pt"))
    assert all(math.isnan(value) for row in found.rows for value in row.figures.values())
    assert found.cells[-1][3] == "n/a"
    assert json.dumps(found.to_data(), allow_nan=False)


def label_files(coco, root: Path) -> None:
    kitti(root / "kitti", "p1", ("Car", CAR))
    (root / "odd").mkdir()
    (root / "odd/p1.txt").write_text("Car 0 0 0 1 2 three 4\n")
    (root / "empty").mkdir()
    (root / "text.json").write_text("{")
    (root / "other.json").write_text('{"images": []}')
    coco(root / "alien.json", {"p1": []}, annotations=[{"image_id": 7, "category_id": 1}])
    coco(root / "letter.json", {"p1": []}, categories=[{"id": "b", "name": "Car"}])
    coco(root / "null.json", {"p1": []}, categories=[{"id": 1, "name": None}])
    (root / "deep.json").write_text("[" * 100_000)
    for name, box in {"negative": [4, 6, -16, 10], "infinite": [4, 6, math.inf, 10]}.items():
        boxes = [{"id": 31, "image_id": 1, "category_id": 1, "bbox": box}]
        coco(root / f"{name}.json", {"p1": []}, annotations=boxes)
    boxes = [{"image_id": 1, "category_id": 10**40, "bbox": [4, 6, 16, 10]}]
    coco(root / "big.json", {"p1": []}, annotations=boxes)
    coco(root / "wide.json", {"p1": []}, annotations=[boxes[0] | {"bbox": [4, 6, 10**400, 10]}])
    (root / "labels.csv").write_text("")


LABELS = [
    ("detection", "nowhere", (), UsageError, "does not exist"),
    ("detection", "labels.csv", (), UsageError, "give a COCO file"),
    ("detection", "empty", ("Car",), UsageError, "holds no .txt file"),
    ("detection", "kitti", (), UsageError, "--class, in the order of their ids"),
    ("detection", "kitti", ("car",), UsageError, "--class car: "),
    ("detection", "kitti", ("Car", "Car"), UsageError, "given twice"),
    ("detection", "odd", ("Car",), DatasetError, "p1.txt, line 1: is not a line of KITTI"),
    ("detection", "text.json", (), DatasetError, "cannot be read as JSON"),
    ("detection", "other.json", (), DatasetError, "is not a COCO file"),
    ("detection", "alien.json", (), DatasetError, "is not a COCO file"),
    ("detection", "letter.json", (), DatasetError, "is not a COCO file"),
    ("detection", "null.json", ("Car",), UsageError, "has none of these classes"),
    ("detection", "deep.json", (), DatasetError, "cannot be read as JSON"),
    ("detection", "negative.json", (), DatasetError, "annotation 31 has the bbox [4, 6, -16, 10]"),
    ("detection", "infinite.json", (), DatasetError, "annotation 31 has the bbox"),
    ("detection", "big.json", (), DatasetError, "is not a COCO file"),
    ("detection", "wide.json", (), DatasetError, "is not a COCO file"),
    ("detection", None, ("Car",), UsageError, "--class"),
    ("segmentation", "labels.csv", (), UsageError, "give a folder of PNG files"),
    ("segmentation", "empty", (), UsageError, "holds no .png file"),
    ("segmentation", "maps", ("Car",), UsageError, "--class"),
    ("tracking", None, (), UsageError, "choose detection or segmentation"),
]


@pytest.mark.parametrize(("task", "labels", "classes", "error", "words"), LABELS)
def test_labels_that_cannot_be_used_are_refused_first(
    script, coco, root, task, labels, classes, error, words
):
    label_files(coco, root)
    request = DownstreamRequest(
        task=task,
        model=script(Plain(), root / "m.pt"),
        labels=root / labels if labels else None,
        classes=classes,
        device="cpu",
    )
    with pytest.raises(error) as caught:
        d.check(request)
    assert words in str(caught.value)
    assert type(caught.value) is error


def test_coco_labels_of_another_size_are_refused(script, coco, root):
    images = [{"id": i, "file_name": f"p{i}.png", "width": 96, "height": 96} for i in (1, 2)]
    labels = coco(root / "labels.json", {"p1": [(1, CAR)], "p2": []}, images=images)
    with pytest.raises(PairingError, match=r"p1\.png is for 96x96 px, but .*/p1 has 48x48"):
        measured(root, "detection", script(OneBox(), root / "m.pt"), labels)


def test_classes_that_the_labels_lack_are_told_with_the_nearest(script, coco, root):
    model = script(OneBox(), root / "m.pt")
    labels = coco(root / "labels.json", {"p1": [(1, CAR)], "p2": [(2, TRAM)]})
    found = measured(root, "detection", model, labels, classes=("Car", "tram", "Bus"))
    told = f"--class Bus, tram: {labels} has no such class; the nearest that it has: Tram for tram"
    assert told in found.notices


def test_kitti_files_of_notepad_lose_no_box(tmp_path):
    path = kitti(tmp_path / "kitti", "p1", ("Car", CAR)) / "p1.txt"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(read_boxes(tmp_path / "kitti", ("Car",)).read(0).corners) == 1


def test_labels_of_one_dataset_are_not_those_of_another(coco, tmp_path):
    labels = read_boxes(coco(tmp_path / "labels.json", {"A/two": [(1, CAR)], "all/one": []}))
    one, two, other = (
        Wanted(shown=f"{dataset}/{name}", dataset=dataset, names=(f"{dataset}/{name}", name))
        for dataset, name in (("B", "one"), ("B", "two"), ("A", "two"))
    )
    assert labels.find_some([one, two, other]) == (1, None, 0)
    assert labels.find_some([two]) == (0,), "no dataset A is scored: it is any folder"
    with pytest.raises(PairingError, match="no labels for B/two;"):
        labels.find([one, two, other])


def test_boxes_without_area_are_not_wrong_detections():
    boxes = torch.tensor([[4.0, 6.0, 20.0, 16.0], [5.0, 5.0, 5.0, 9.0]])
    found = detections((boxes, torch.tensor([0.9, 0.95]), torch.tensor([1, 1])), "m")
    assert found.corners.tolist() == [CAR]
    assert (len(found.scores), found.classes.tolist()) == (1, [1])


@pytest.mark.parametrize("told", [{}, {"width": SIDE + 8, "height": SIDE + 4}])
def test_boxes_move_with_a_crop_from_the_centre(script, coco, tmp_path, told):
    root = tmp_path / "RESIDE"
    for folder, (width, height) in {"clear": (SIDE + 8, SIDE + 4), "hazy": (SIDE, SIDE)}.items():
        (root / folder).mkdir(parents=True)
        picture = np.full((height, width, 3), 20, np.uint8)
        assert cv2.imwrite(str(root / f"{folder}/p1.png"), picture)
    (tmp_path / "out/RESIDE").mkdir(parents=True)
    (tmp_path / "out/RESIDE/p1.png").write_bytes((root / "hazy/p1.png").read_bytes())
    restored = evaluate_restored(
        RestoredRequest(
            restored=tmp_path / "out",
            datasets=(root,),
            protocols=(PROTOCOLS["rgb"],),
            reading=ReadOptions(crop_to_common=True),
        )
    )
    # Of the clear picture 4 columns on either side and 2 rows above and below are cut.
    moved = [CAR[0] + 4, CAR[1] + 2, CAR[2] + 4, CAR[3] + 2]
    images = [{"id": 1, "file_name": "p1.png"} | told]
    labels = coco(tmp_path / "labels.json", {"p1": [(1, moved)]}, images=images)
    model = script(OneBox(), tmp_path / "m.pt")
    request = DownstreamRequest(task="detection", model=model, labels=labels, device="cpu")
    assert d.measure([restored], request).rows[-1].figures["AP"] == pytest.approx(1)
