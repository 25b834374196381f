"""The kinds of models, the forms of their answers, and what is refused."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn

from rainkit.errors import DatasetError, MethodError, UsageError, WeightsError
from rainkit.evaluation import PROTOCOLS, FoldersRequest, evaluate_folders
from rainkit.evaluation import downstream as d
from rainkit.evaluation.downstream import DownstreamRequest, models

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


class AsDict(OneBox):
    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        box = torch.tensor([[4.0, 6.0, 20.0, 16.0]])
        return {"labels": torch.tensor([1]), "scores": torch.tensor([0.9]), "boxes": box}


class AsList(OneBox):
    def forward(self, picture: Tensor) -> list[dict[str, Tensor]]:
        box = torch.tensor([[4.0, 6.0, 20.0, 16.0]])
        return [{"labels": torch.tensor([1]), "scores": torch.tensor([0.9]), "boxes": box}]


class AsTorchvision(OneBox):
    def forward(self, images: list[Tensor]) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        assert images[0].dim() == 3
        box = torch.tensor([[4.0, 6.0, 20.0, 16.0]])
        found = {"labels": torch.tensor([1]), "scores": torch.tensor([0.9]), "boxes": box}
        return {"loss": torch.zeros(1)}, [found]


class Batched(OneBox):
    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(1, 5, 4), torch.zeros(1, 5), torch.zeros(1, 5, dtype=torch.long)


class LabelsSecond(OneBox):
    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(5, 4), torch.zeros(5, dtype=torch.long), torch.zeros(5)


class NotANumber(OneBox):
    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(1, 4), torch.full((1,), float("nan")), torch.tensor([1])


class Picky(OneBox):
    def forward(self, picture: Tensor) -> Tensor:
        return picture + torch.zeros(1, 3, 7, 7)


class Plain(nn.Module):
    """Gives the picture back: three logits."""

    def forward(self, picture: Tensor) -> Tensor:
        return picture


class Halved(nn.Module):
    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        return {"out": torch.nn.functional.avg_pool2d(picture, 2)}


class HalvedMap(nn.Module):
    def forward(self, picture: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(picture, 2).argmax(1)


class OneLogit(nn.Module):
    def forward(self, picture: Tensor) -> Tensor:
        return picture[:, :1]


class FloatMap(nn.Module):
    def forward(self, picture: Tensor) -> Tensor:
        return picture[:, 0]


class NegativeMap(nn.Module):
    def forward(self, picture: Tensor) -> Tensor:
        return -torch.ones(1, 48, 48, dtype=torch.long)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures of four quarters: mostly red, green, blue, red."""
    picture = np.full((SIDE, SIDE, 3), 20, np.uint8)
    half = SIDE // 2
    for rows, columns, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 0)):
        picture[rows * half :, columns * half :][:half, :half, channel] = 220
    for folder in ("clean", "rainy", "half"):
        for name in ("p1", "p2"):
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            assert cv2.imwrite(str(path), picture[..., ::-1])
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[:half, half:], truth[half:, :half] = 1, 2
    (tmp_path / "maps").mkdir()
    for name in ("p1", "p2"):
        assert cv2.imwrite(str(tmp_path / f"maps/{name}.png"), truth)
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


@pytest.mark.parametrize("kind", [OneBox, AsDict, AsList, AsTorchvision], ids=lambda k: k.__name__)
def test_one_of_two_boxes_found_is_half_of_the_precision_in_every_form(
    script, coco, root, capfd, kind
):
    labels = coco(root / "labels.json", {n: [(1, CAR), (1, TRAM)] for n in ("p1", "p2")})
    found = figures(root, "detection", script(kind(), root / "m.pt"), labels)
    # Precision is 1 up to a recall of a half: at 51 of the 101 recalls 0, .01, ... 1.
    assert found == pytest.approx(dict.fromkeys(("AP", "AP50", "AP75"), 51 / 101))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [Plain, Halved, HalvedMap], ids=lambda k: k.__name__)
def test_answers_of_another_size_are_brought_to_the_pictures(script, root, kind):
    found = figures(root, "segmentation", script(kind(), root / "m.pt"), root / "maps")
    assert found == {"mIoU": 1, "accuracy": 1}


def test_label_maps_may_have_a_palette(script, root):
    from PIL import Image

    for name in ("p1", "p2"):
        path = root / f"maps/{name}.png"
        image = Image.open(path).convert("L")
        coloured = Image.frombytes("P", image.size, image.tobytes())
        coloured.putpalette([9, 9, 9, 200, 0, 0, 0, 0, 200])
        coloured.save(path)
    found = figures(root, "segmentation", script(Plain(), root / "m.pt"), root / "maps")
    assert found == {"mIoU": 1, "accuracy": 1}


@pytest.mark.parametrize("names", ["boxes scores labels", "a b c", "labels boxes scores"])
def test_outputs_of_onnx_detectors_go_by_name_or_order(coco, root, names):
    arrays = {
        "boxes": np.array([CAR], np.float32),
        "scores": np.array([0.9], np.float32),
        "labels": np.array([1], np.int64),
    }
    ordered = names.split()
    values = dict(zip(ordered, arrays.values(), strict=True)) if "a" in ordered else arrays
    nodes = [
        helper.make_node("Constant", [], [n], value=numpy_helper.from_array(values[n], n))
        for n in ordered
    ]
    ends = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(values[n].dtype), values[n].shape
        )
        for n in ordered
    ]
    shape = [1, 3, "height", "width"]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "detector", [picture], ends)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, str(root / "m.onnx"))
    labels = coco(root / "labels.json", {n: [(1, CAR)] for n in ("p1", "p2")})
    assert figures(root, "detection", str(root / "m.onnx"), labels)["AP"] == pytest.approx(1)


def test_torchvisions_names_are_those_of_weights_with_as_many_classes(tmp_path):
    for count, named in ((21, "aeroplane"), (3, None)):
        network = torchvision.models.get_model(
            "lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=count
        )
        torch.save(network.state_dict(), tmp_path / "weights.pth")
        text = f"lraspp_mobilenet_v3_large={tmp_path / 'weights.pth'}"
        model = models.load(models.model_file(text, "segmentation"), "segmentation", "cpu")
        assert model.classes.get(1) == named


@pytest.fixture(scope="module")
def lraspp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small torchvision segmenter of three classes, in several files."""
    folder = tmp_path_factory.mktemp("lraspp")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.get_model(
            "lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=3
        )
    state = network.state_dict()
    torch.save(state, folder / "plain.pth")
    torch.save({"model": state, "epoch": 3}, folder / "wrapped.pth")
    save_file(state, folder / "safe.safetensors")
    torch.save({"something": torch.zeros(3)}, folder / "other.pth")
    torch.save([1, 2], folder / "list.pth")
    torch.save(network, folder / "code.pth")
    (folder / "text.pth").write_text("weights")
    return folder


def test_torchvision_segmenters_run_from_a_file(root, lraspp):
    name = "lraspp_mobilenet_v3_large"
    found = [
        measured(root, "segmentation", f"{name}={lraspp / file}", root / "maps")
        for file in ("plain.pth", "wrapped.pth", "safe.safetensors")
    ]
    assert found[0].model["name"] == f"{name}=plain.pth"
    assert found[0].rows == found[1].rows == found[2].rows
    network = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=3
    ).eval()
    network.load_state_dict(torch.load(lraspp / "plain.pth", weights_only=True))
    picture = cv2.imread(str(root / "clean/p1.png"))[..., ::-1] / 255
    normal = (picture - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    batch = torch.from_numpy(normal).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        seen = network(batch)["out"].argmax(1)[0].numpy()
    truth = cv2.imread(str(root / "maps/p1.png"), cv2.IMREAD_UNCHANGED)
    assert found[0].rows[0].figures["accuracy"] == pytest.approx((seen == truth).mean(), abs=2e-3)


def test_torchvision_detectors_run_from_a_file(root):
    name = "ssdlite320_mobilenet_v3_large"
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
    torch.save(network.state_dict(), root / "weights.pth")
    found = measured(root, "detection", f"{name}={root / 'weights.pth'}")
    assert found.rows[0].figures.keys() == {"AP", "AP50", "AP75"}


class Suppressing(OneBox):
    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes = torch.tensor([[4.0, 6.0, 20.0, 16.0], [4.0, 6.0, 20.0, 17.0]])
        scores = torch.tensor([0.9, 0.8])
        kept = torchvision.ops.nms(boxes, scores, 0.5)
        return boxes[kept], scores[kept], torch.ones_like(kept)


def test_scripts_may_call_torchvisions_operators_or_name_it_if_it_is_not_installed(script, root):
    model = script(Suppressing(), root / "m.pt")
    # In a process of its own, where nothing else has registered the operators.
    code = f"""
import sys
from rainkit.errors import UsageError
from rainkit.evaluation.downstream import DownstreamRequest, check
asked = DownstreamRequest(task="detection", model={model!r}, device="cpu")
sys.modules["torchvision"] = None
try:
    check(asked)
except UsageError as error:
    print(error)
del sys.modules["torchvision"]
check(asked)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "needs torchvision; pip install torchvision" in done.stdout


MODELS = {
    "missing.pt": ("segmentation", UsageError, "missing.pt is not a file"),
    "half": ("segmentation", UsageError, "write model.pt (TorchScript), model.onnx, or NAME="),
    "weights.pth": ("segmentation", UsageError, "write model.pt (TorchScript)"),
    "text.pt": ("segmentation", WeightsError, "cannot be read as TorchScript"),
    "state.pt": ("segmentation", WeightsError, "write --model NAME="),
    "text.onnx": ("segmentation", WeightsError, "cannot be read as an ONNX model"),
    "fcn_resnet5=x.pth": ("segmentation", UsageError, "did you mean fcn_resnet50?"),
    "fcn_resnet50=x.pth": ("segmentation", UsageError, "x.pth is not a file"),
    "fcn_resnet50=m.pt=": ("segmentation", UsageError, "weights are a file that ends in"),
    "lraspp_mobilenet_v3_large=x.pth": ("detection", UsageError, "is a model for segmentation"),
    "zzz=x.pth": ("detection", UsageError, "torchvision has no such model for detection; choose"),
}


@pytest.mark.parametrize("model", MODELS)
def test_models_that_cannot_be_loaded_are_refused_before_anything_runs(root, monkeypatch, model):
    task, error, words = MODELS[model]
    monkeypatch.chdir(root)
    for name in ("text.pt", "text.onnx", "weights.pth"):
        Path(name).write_text("no model")
    torch.save({"weight": torch.zeros(3)}, "state.pt")
    with pytest.raises(error) as caught:
        d.check(DownstreamRequest(task=task, model=model, device="cpu"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


WEIGHTS = {
    "other.pth": "does not fit lraspp_mobilenet_v3_large",
    "list.pth": "holds no state dict",
    "code.pth": "cannot be read as tensors only",
    "text.pth": "cannot be read as tensors only",
}


@pytest.mark.parametrize("file", WEIGHTS)
def test_weights_that_do_not_fit_are_refused(lraspp, file):
    model = f"lraspp_mobilenet_v3_large={lraspp / file}"
    with pytest.raises(WeightsError) as caught:
        d.check(DownstreamRequest(task="segmentation", model=model, device="cpu"))
    assert WEIGHTS[file] in str(caught.value)


def test_weights_of_another_architecture_are_refused(lraspp):
    model = f"deeplabv3_mobilenet_v3_large={lraspp / 'plain.pth'}"
    with pytest.raises(WeightsError, match="does not fit deeplabv3_mobilenet_v3_large"):
        d.check(DownstreamRequest(task="segmentation", model=model, device="cpu"))


ANSWERS = [
    ("detection", Batched(), r"expected boxes \[N,4\].*found \(float32 \[1,5,4\]"),
    ("detection", LabelsSecond(), r"in this order.*int64 \[5\], float32 \[5\]\)"),
    ("detection", NotANumber(), "nan or infinite"),
    ("detection", Plain(), r"expected boxes .*found float32 \[1,3,48,48\]"),
    ("detection", Picky(), r"m\.pt: fails on a picture of 48x48 px \(.*size of tensor"),
    ("segmentation", OneBox(), r"expected logits \[1,K,H,W\].*found \(float32 \[1,4\]"),
    ("segmentation", OneLogit(), r"two classes or more.*found float32 \[1,1,48,48\]"),
    ("segmentation", FloatMap(), r"class map \[1,H,W\] \(int\).*found float32 \[1,48,48\]"),
    ("segmentation", NegativeMap(), "class ids beyond 0"),
]


@pytest.mark.parametrize(("task", "module", "words"), ANSWERS)
def test_answers_that_are_not_the_tasks_are_refused(script, root, task, module, words):
    with pytest.raises(MethodError, match=words) as caught:
        measured(root, task, script(module, root / "m.pt"))
    assert "\n" not in str(caught.value)


def test_label_maps_in_colour_are_refused(script, root):
    picture = (root / "clean/p1.png").read_bytes()
    for name in ("p1", "p2"):
        (root / f"maps/{name}.png").write_bytes(picture)
    with pytest.raises(DatasetError, match=r"p1\.png: has the mode RGB; class ids are PNG files"):
        measured(root, "segmentation", script(Plain(), root / "m.pt"), root / "maps")


@pytest.mark.parametrize(
    ("package", "model"),
    [
        ("pycocotools", "m.pt"),
        ("onnxruntime", "m.onnx"),
        ("torchvision", "retinanet_resnet50_fpn=m.pth"),
    ],
)
def test_packages_that_are_not_installed_are_named(root, monkeypatch, package, model):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(root)
    Path(model.rpartition("=")[2]).write_bytes(b"")
    with pytest.raises(UsageError, match=f"needs {package}; pip install {package}"):
        d.check(DownstreamRequest(task="detection", model=model, device="cpu"))
