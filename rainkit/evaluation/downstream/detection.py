"""Read the boxes that a detector finds, and compute their average precision by pycocotools."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rainkit.errors import MethodError
from rainkit.evaluation.downstream.labels import EVERY_CLASS, Boxes
from rainkit.evaluation.downstream.models import shown

__all__ = ["CERTAIN", "FIGURES", "Detections", "Precision", "certain", "detections"]

FIGURES = ("AP", "AP50", "AP75")
"""Average precision: the mean over the overlaps .50 to .95, and at .50 and .75 alone."""

CERTAIN = 0.5
"""Lowest score of a detection on the clean picture that counts as true."""

_MOST = 100
"""Largest number of detections per picture and class that COCO considers."""
_PARTS = ("boxes", "scores", "labels")
_EXPECTED = (
    "expected boxes [N,4] and scores [N] (float) and labels [N] (int), as a tuple in this order or"
    " a dict"
)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The detections in one picture.

    Attributes:
        corners: [N,4] float; left, top, right and bottom in pixels.
        scores: [N] float; scores.
        classes: [N] int; class ids.
    """

    corners: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


def detections(answer: Any, model: str) -> Detections:
    """Read a detector's answer to one picture.

    The answer consists of boxes, scores and labels, as a tuple in this order or a dict. It may also
    be what torchvision's detectors return: a list of one such dict, or a tuple of losses and such a
    list.

    Raises:
        MethodError: the answer is something else; the message names ``model``.
    """
    found = answer
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], list):
        found = found[1]
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, Mapping) and found.keys() >= set(_PARTS):
        found = tuple(found[name] for name in _PARTS)
    wrong = MethodError(f"--model {model}: {_EXPECTED}; found {shown(answer)}")
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise wrong
    if not all(hasattr(each, "is_floating_point") for each in found):
        raise wrong
    boxes, scores, labels = found
    count = len(labels) if labels.dim() == 1 else -1
    floats = boxes.is_floating_point() and scores.is_floating_point()
    whole = not labels.is_floating_point() and not labels.is_complex()
    if boxes.shape != (count, 4) or scores.shape != (count,) or not (floats and whole):
        raise wrong
    corners, values = (each.detach().cpu().double().numpy() for each in (boxes, scores))
    if not (np.isfinite(corners).all() and np.isfinite(values).all()):
        raise MethodError(f"--model {model}: gives boxes or scores that are nan or infinite")
    return Detections(corners, values, labels.cpu().numpy().astype(np.int64))


def certain(found: Detections) -> Boxes:
    """Return the detections with a score of :data:`CERTAIN` or more as true boxes."""
    rows = zip(found.corners.tolist(), found.scores, found.classes.tolist(), strict=True)
    return Boxes.of((box, label, False) for box, score, label in rows if score >= CERTAIN)


class Precision:
    """The average precision of a dataset, to which pictures are added one by one.

    Args:
        most: largest number of detections per picture and class, those with the highest scores.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._pictures: list[tuple[Boxes, Detections]] = []

    def add(self, truth: Boxes, found: Detections) -> None:
        """Add a picture."""
        self._pictures.append((truth, found))

    def figures(self) -> dict[str, float]:
        """Return :data:`FIGURES`, 0 to 1: means over the classes with true boxes; NaN without."""
        classes = sorted(
            {int(c) for truth, _ in self._pictures for c in truth.classes[~truth.ignored]}
        )
        if not classes:
            return dict.fromkeys(FIGURES, math.nan)
        # pycocotools prints what it does.
        with contextlib.redirect_stdout(io.StringIO()):
            precision, overlaps = self._evaluated(classes)
        at = {
            "AP": precision,
            "AP50": precision[np.isclose(overlaps, 0.5)],
            "AP75": precision[np.isclose(overlaps, 0.75)],
        }
        return {name: _mean(at[name]) for name in FIGURES}

    def _evaluated(self, classes: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the precision [overlap, recall, class], -1 if undefined, and the overlaps."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        images = [{"id": number} for number in range(1, len(self._pictures) + 1)]
        # Annotations count from 1 on, since 0 stands for "matched with none".
        true: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for number, (truth, answer) in enumerate(self._pictures, 1):
            for corners, label, ignored in zip(
                truth.corners, truth.classes.tolist(), truth.ignored.tolist(), strict=True
            ):
                for each in classes if label == EVERY_CLASS else (label,):
                    about = {"iscrowd": int(ignored)}
                    true.append(_annotation(len(true) + 1, number, each, corners) | about)
            for corners, score, label in zip(
                answer.corners, answer.scores.tolist(), answer.classes.tolist(), strict=True
            ):
                about = {"score": score, "iscrowd": 0}
                found.append(_annotation(len(found) + 1, number, label, corners) | about)
        sides = []
        for boxes in (true, found):
            side = COCO()
            side.dataset = {
                "images": images,
                "categories": [{"id": each} for each in classes],
                "annotations": boxes,
            }
            side.createIndex()
            sides.append(side)
        evaluator = COCOeval(*sides, "bbox")
        evaluator.params.maxDets = [self._most]
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, math.inf]], ["all"]
        evaluator.evaluate()
        evaluator.accumulate()
        return evaluator.eval["precision"][..., 0, 0], evaluator.params.iouThrs


def _annotation(
    number: int, picture: int, label: int, corners: NDArray[np.float64]
) -> dict[str, Any]:
    left, top, right, bottom = corners.tolist()
    box = [left, top, right - left, bottom - top]
    return {
        "id": number,
        "image_id": picture,
        "category_id": label,
        "bbox": box,
        "area": box[2] * box[3],
    }


def _mean(precision: NDArray[np.float64]) -> float:
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else math.nan
