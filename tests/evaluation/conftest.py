"""What several tests make: scores in steps with small painted pictures, models and labels."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit.evaluation import PROTOCOLS, Score, Scores
from rainkit.evaluation.report.data import EvalReport, EvalResult, PanelPictures

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


def _score(i: int, gain: float = 5.0, rate: float | None = None) -> Score:
    return Score(
        name=f"{i:03d}.png",
        width=70,
        height=50,
        psnr=20.0 + i + gain,
        ssim=0.80 + 0.01 * i + gain / 100,
        input_psnr=20.0 + i,
        input_ssim=0.80 + 0.01 * i,
        milliseconds=10.0,
        rain_attributes=() if rate is None else (("rate_mm_h", rate),),
    )


def _pictures(name: str) -> PanelPictures:
    rng = np.random.default_rng(int(name[:3]))
    target = cv2.resize(rng.integers(20, 200, (5, 7, 3), np.uint8), (70, 50))
    rainy = np.clip(target.astype(int) + rng.integers(0, 50, (50, 70, 1)), 0, 255).astype(np.uint8)
    return PanelPictures(cv2.blur(rainy, (3, 3)), target, rainy)


def _scored(
    method: str, *rows: Score, dataset: str = "d", protocol: str = "prenet", **more: object
) -> EvalResult:
    named = PROTOCOLS.get(protocol) or replace(PROTOCOLS["prenet"], name=protocol)
    scores = Scores(dataset=dataset, protocol=named, rows=rows)
    return EvalResult(method=method, scores=scores, **more)


def _result(
    method: str,
    gain: float,
    dataset: str = "set a",
    n: int = 5,
    protocol: str = "prenet",
    rate: float | None = None,
) -> EvalResult:
    rows = (_score(i, gain, rate) for i in range(n))
    return _scored(method, *rows, dataset=dataset, protocol=protocol, load=_pictures)


def _report(*results: EvalResult, **more: object) -> EvalReport:
    results = results or (_result("one", 5), _result("two", 7), _result("three", 6))
    return EvalReport(title="Report", results=results, **more)


@pytest.fixture(scope="session")
def score() -> Callable[..., Score]:
    """One picture's figures; PSNR grows by 1 dB a picture."""
    return _score


@pytest.fixture(scope="session")
def pictures() -> Callable[..., PanelPictures]:
    """The pictures behind a score of that number."""
    return _pictures


@pytest.fixture(scope="session")
def scored() -> Callable[..., EvalResult]:
    """A method with the scores given."""
    return _scored


@pytest.fixture(scope="session")
def result() -> Callable[..., EvalResult]:
    """A method on a dataset, better than the input by a gain."""
    return _result


@pytest.fixture(scope="session")
def report() -> Callable[..., EvalReport]:
    """A page's worth of results; three methods by default."""
    return _report
