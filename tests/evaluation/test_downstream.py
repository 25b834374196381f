"""Trained models on clean, rainy and half derained pictures: what rain costs, what comes back."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rainkit.evaluation import PROTOCOLS, Comparison, FoldersRequest, evaluate_folders
from rainkit.evaluation import downstream as d
from rainkit.evaluation.downstream import DownstreamRequest

HEIGHT, WIDTH = 40, 56
COUNT = 8
COCO_CLASSES = [{"id": 1, "name": "box"}, {"id": 2, "name": "disc"}]


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple[int, list[int]]]]:
    """A picture of one rectangle and one disc, its class map, and their classes and corners."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 110, (6, 8, 1), np.uint8).repeat(3, axis=2)
    picture = cv2.resize(coarse, (WIDTH, HEIGHT))
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    left, top = rng.integers(2, 10), rng.integers(3, 18)
    right, bottom = left + rng.integers(10, 16), top + rng.integers(10, 16)
    classes[top:bottom, left:right] = 1
    x, y, radius = rng.integers(39, 44), rng.integers(12, 27), rng.integers(6, 11)
    cv2.circle(classes, (int(x), int(y)), int(radius), 2, -1)
    picture[classes == 1] = 170, 130, 100
    picture[classes == 2] = 100, 130, 170
    rows, columns = np.nonzero(classes == 2)
    disc = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return picture, classes, [(1, [left, top, right, bottom]), (2, disc)]


def rained_on(picture: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layer = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x, y in zip(rng.integers(0, WIDTH, 35), rng.integers(-8, HEIGHT, 35), strict=True):
        cv2.line(layer, (int(x), int(y)), (int(x) + 3, int(y) + 11), 120, 2)
    return np.clip(picture.astype(int) + layer[..., None], 0, 255).astype(np.uint8)


class Boxes(nn.Module):
    """The extent of each class of a segmenter, where it fills two pixels of a row or column."""

    def __init__(self, segmenter: nn.Module) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        share = self.segmenter(picture).softmax(1)[0]
        boxes, scores, labels = [torch.zeros(4)][:0], [torch.zeros(())][:0], [0][:0]
        for label in range(1, 3):
            there = share[label] > 0.5
            rows = torch.nonzero(there.sum(1) > 1)
            columns = torch.nonzero(there.sum(0) > 1)
            if rows.numel() > 0 and columns.numel() > 0:
                ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                boxes.append(torch.stack(ends).float())
                scores.append(share[label][there].mean())
                labels.append(label)
        if len(labels) == 0:
            return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long)
        return torch.stack(boxes), torch.stack(scores), torch.tensor(labels)


def trained() -> nn.Sequential:
    """A small segmenter that has learned clean scenes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 12, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 3, 3, padding=1),
        )
    scenes = [scene(1000 + i) for i in range(12)]
    pictures = torch.from_numpy(np.stack([s[0] for s in scenes])).permute(0, 3, 1, 2) / 255
    classes = torch.from_numpy(np.stack([s[1] for s in scenes])).long()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    weight = torch.tensor([0.2, 1.0, 1.0])
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(pictures), classes, weight).backward()
        optimiser.step()
    return network.eval()


@dataclass(frozen=True)
class World:
    """Pictures with labels on disk, and trained models."""

    root: Path
    network: nn.Sequential
    segmenter: str
    detector: str

    def compared(self, restored: str, rainy: str | None = "rainy") -> Comparison:
        return evaluate_folders(
            FoldersRequest(
                restored=self.root / restored,
                target=self.root / "clean",
                rainy=self.root / rainy if rainy else None,
                protocols=(PROTOCOLS["rgb"],),
            )
        )

    def measured(self, *restored: str, **request: object) -> d.Downstream:
        comparisons = [self.compared(each) for each in restored or ("half",)]
        return d.measure(comparisons, DownstreamRequest(**request))


def write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1] if rgb.ndim == 3 else rgb)


def build(root: Path, script: Callable[..., str]) -> World:
    images, annotations = [], []
    for i in range(1, COUNT + 1):
        clean, classes, objects = scene(i)
        rainy = rained_on(clean, i)
        write(root / f"clean/{i}.png", clean)
        write(root / f"rainy/{i}.png", rainy)
        write(root / f"half/{i}.png", (0.6 * clean + 0.4 * rainy).astype(np.uint8))
        write(root / f"maps/{i}.png", classes)
        images.append({"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT})
        for label, (left, top, right, bottom) in objects:
            box = [int(v) for v in (left, top, right - left, bottom - top)]
            about = {"image_id": i, "category_id": label, "bbox": box, "iscrowd": 0}
            annotations.append(about | {"id": len(annotations) + 1, "area": box[2] * box[3]})
    coco = {"images": images, "annotations": annotations, "categories": COCO_CLASSES}
    (root / "labels.json").write_text(json.dumps(coco))
    network = trained()
    segmenter = script(network, root / "segmenter.pt")
    return World(root, network, segmenter, script(Boxes(network), root / "detector.pt"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, script: Callable[..., str]) -> World:
    return build(tmp_path_factory.mktemp("world"), script)


def requests(world: World, task: str, labels: bool = True) -> dict[str, object]:
    if task == "detection":
        model, truth = world.detector, world.root / "labels.json"
    else:
        model, truth = world.segmenter, world.root / "maps"
    return {"task": task, "model": str(model), "labels": truth if labels else None}


both = pytest.mark.parametrize("task", ["detection", "segmentation"])


@both
def test_rain_costs_and_deraining_gives_back_a_part(world, task):
    found = world.measured(**requests(world, task))
    rainy, half, clean = found.rows
    main = next(iter(clean.figures))
    assert [row.result for row in found.rows] == ["input", "half", "clean"]
    assert {row.images for row in found.rows} == {COUNT}
    assert clean.figures[main] > 0.7, "the model has learned something"
    assert rainy.figures[main] < clean.figures[main] - 0.15
    assert rainy.figures[main] < half.figures[main] < clean.figures[main]
    loss = clean.figures[main] - rainy.figures[main]
    share = (half.figures[main] - rainy.figures[main]) / loss
    assert half.recovered[main] == pytest.approx(share)
    assert 0 < share < 1
    assert not rainy.recovered
    assert not clean.recovered
    assert (found.truth, found.failures, found.notices) == ("labels", (), ())


@both
def test_without_labels_the_clean_row_agrees_with_itself(world, task):
    found = world.measured(**requests(world, task, labels=False))
    rainy, half, clean = found.rows
    assert found.truth == "agreement"
    assert [*clean.figures.values()] == pytest.approx([1.0] * len(clean.figures))
    assert all(rainy.figures[k] < half.figures[k] for k in rainy.figures)
    assert "100 % by construction" in d.markdown(found)


def test_mean_iou_is_that_of_all_pixels_of_the_dataset(world):
    clean = world.measured(**requests(world, "segmentation")).rows[-1]
    right, union, pixels = np.zeros(3), np.zeros(3), 0
    for i in range(1, COUNT + 1):
        picture, truth, _ = scene(i)
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            seen = world.network(batch).argmax(1)[0].numpy()
        pixels += (seen == truth).sum()
        for k in range(3):
            right[k] += ((seen == k) & (truth == k)).sum()
            union[k] += ((seen == k) | (truth == k)).sum()
    assert clean.figures["mIoU"] == pytest.approx((right / union).mean(), abs=1e-3)
    assert clean.figures["accuracy"] == pytest.approx(pixels / (COUNT * HEIGHT * WIDTH), abs=1e-3)


def onnx_of(network: nn.Sequential, path: Path) -> Path:
    nodes, tensors, last = [], [], "picture"
    for i, layer in enumerate(network):
        out = "logits" if i == len(network) - 1 else f"x{i}"
        if isinstance(layer, nn.Conv2d):
            for name in ("weight", "bias"):
                array = getattr(layer, name).detach().numpy()
                tensors.append(numpy_helper.from_array(array, f"{name}{i}"))
            inputs = [last, f"weight{i}", f"bias{i}"]
            nodes.append(helper.make_node("Conv", inputs, [out], pads=[1, 1, 1, 1]))
        else:
            nodes.append(helper.make_node("Relu", [last], [out]))
        last = out
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "height", "width"])
        for name in ("picture", "logits")
    ]
    graph = helper.make_graph(nodes, "segmenter", ends[:1], ends[1:], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    onnx.save(made, str(path))
    return path


def test_onnx_and_torchscript_of_one_function_agree(world, tmp_path):
    request = requests(world, "segmentation")
    path = onnx_of(world.network, tmp_path / "segmenter.onnx")
    exported = world.measured(**request | {"model": str(path)})
    scripted = world.measured(**request)
    assert exported.model["runtime"].startswith("cpu (onnxruntime")
    for one, other in zip(exported.rows, scripted.rows, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-3)
