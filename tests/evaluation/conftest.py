"""Models and labels that several tests of what comes after deraining make."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

Boxes = dict[str, list[tuple[int, list[float]]]]


@pytest.fixture(scope="session")
def script() -> Callable[..., str]:
    """Writes a module as TorchScript, and gives the file's name."""
    import torch

    def write(module: torch.nn.Module, path: Path) -> str:
        with warnings.catch_warnings(action="ignore"):  # deprecated, PyTorch says
            torch.jit.script(module.eval()).save(str(path))
        return str(path)

    return write


@pytest.fixture(scope="session")
def coco() -> Callable[..., Path]:
    """Writes labels of cars (1) and trams (2), boxes x1 y1 x2 y2 by the pictures' names."""

    def write(path: Path, boxes: Boxes, **more: object) -> Path:
        images = [{"id": i, "file_name": f"{n}.png"} for i, n in enumerate(boxes, 1)]
        annotations = [
            {
                "image_id": i,
                "category_id": label,
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            }
            for i, name in enumerate(boxes, 1)
            for label, box in boxes[name]
        ]
        categories = [{"id": 1, "name": "Car"}, {"id": 2, "name": "Tram"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        path.write_text(json.dumps(content | more))
        return path

    return write
