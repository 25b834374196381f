"""The accuracy of detectors (average precision) and of segmenters (classes of pixels)."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rainkit.errors import MethodError, PairingError
from rainkit.evaluation.downstream.labels import EVERY_CLASS, Boxes
from rainkit.evaluation.downstream.models import shown

__all__ = [
    "CERTAIN",
    "DETECTION_FIGURES",
    "SEGMENTATION_FIGURES",
    "Confusion",
    "Detections",
    "Precision",
    "certain",
    "class_map",
    "confidence",
    "detections",
    "same_objects",
]


DETECTION_FIGURES = ("AP", "AP50", "AP75")
"""Average precision: the mean over the overlaps .50 to .95, and at .50 and .75 alone."""

CERTAIN = 0.5
"""Lowest score of a detection that counts as found, and as true on the clean picture."""

_SAME = 0.5
"""Smallest overlap of two boxes of one object."""

_MOST_DETECTIONS = 100
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
    list. Boxes without area are left out, as they are of labels.

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
    kept = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    return Detections(corners[kept], values[kept], labels.cpu().numpy().astype(np.int64)[kept])


def certain(found: Detections) -> Boxes:
    """Return the detections with a score of :data:`CERTAIN` or more as true boxes."""
    rows = zip(found.corners.tolist(), found.scores, found.classes.tolist(), strict=True)
    return Boxes.of((box, label, False) for box, score, label in rows if score >= CERTAIN)


def same_objects(
    before: Detections, after: Detections, least: float = CERTAIN
) -> list[tuple[int, int]]:
    """Return the detections that are of one object in both answers, by their numbers.

    Each detection belongs to one object at most: in the order of the scores of ``after``, it takes
    the one of ``before`` of the same class that overlaps most, by half or more (intersection over
    union).

    Args:
        before: the answer to one picture.
        after: the answer to another one of the same scene.
        least: lowest score of detections that are considered, in both.
    """
    free = {int(i) for i in np.flatnonzero(before.scores >= least)}
    found = []
    for j in np.argsort(-after.scores, kind="stable").tolist():
        if after.scores[j] < least:
            break
        overlaps = {
            i: _overlap(before.corners[i], after.corners[j])
            for i in free
            if before.classes[i] == after.classes[j]
        }
        best = max(overlaps, key=lambda i: (overlaps[i], -i), default=None)
        if best is not None and overlaps[best] >= _SAME:
            free.remove(best)
            found.append((best, j))
    return sorted(found)


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return intersection over union of two boxes; 0 if they have no area."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    inside = float(np.prod(np.maximum(sides, 0)))
    areas = (float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (one, other))
    union = sum(areas) - inside
    return inside / union if union > 0 else 0.0


class Precision:
    """The average precision of a dataset, to which pictures are added one by one.

    Args:
        most: largest number of detections per picture and class, those with the highest scores.
    """

    def __init__(self, most: int = _MOST_DETECTIONS) -> None:
        self._most = most
        self._pictures: list[tuple[Boxes, Detections]] = []

    def add(self, truth: Boxes, found: Detections) -> None:
        """Add a picture."""
        self._pictures.append((truth, found))

    def figures(self) -> dict[str, float]:
        """Return :data:`DETECTION_FIGURES`, 0 to 1: means over classes with boxes; else NaN."""
        classes = sorted(
            {int(c) for truth, _ in self._pictures for c in truth.classes[~truth.ignored]}
        )
        if not classes:
            return dict.fromkeys(DETECTION_FIGURES, math.nan)
        # pycocotools prints what it does.
        with contextlib.redirect_stdout(io.StringIO()):
            precision, overlaps = self._evaluated(classes)
        at = {
            "AP": precision,
            "AP50": precision[np.isclose(overlaps, 0.5)],
            "AP75": precision[np.isclose(overlaps, 0.75)],
        }
        return {name: _mean(at[name]) for name in DETECTION_FIGURES}

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


SEGMENTATION_FIGURES = ("mIoU", "accuracy")
"""Mean over classes of intersection over union; share of the pixels with the right class."""

ClassMap = NDArray[np.uint16]
"""[H,W] class ids."""

_MOST_CLASSES = 1024
"""Largest number of classes, more than any model has, which limits the confusion matrix."""


def class_map(answer: Any, shape: Sequence[int], model: str) -> ClassMap:
    """Read a segmenter's answer to one picture, whose shape begins with height and width.

    The answer consists of logits [1,K,H,W] or a class map [1,H,W], alone or as ``out`` of a dict.
    If it has another size than the picture, logits are resized bilinearly and class maps by the
    nearest neighbour.

    Raises:
        MethodError: the answer is something else; the message names ``model``.
    """
    import torch
    import torch.nn.functional as F

    height, width = shape[:2]
    found = answer.get("out") if isinstance(answer, Mapping) else answer
    wrong = MethodError(
        f"--model {model}: expected logits [1,K,H,W] of two classes or more (float), or a class"
        f" map [1,H,W] (int), alone or as 'out' of a dict; found {shown(answer)}"
    )
    if not isinstance(found, torch.Tensor) or found.shape[:1] != (1,) or not found.numel():
        raise wrong
    if found.dim() == 4 and found.is_floating_point() and 1 < found.shape[1] <= _MOST_CLASSES:
        if not torch.isfinite(found).all():
            raise MethodError(f"--model {model}: gives logits that are nan or infinite")
        if found.shape[2:] != (height, width):
            found = F.interpolate(found.float(), (height, width), mode="bilinear")
        found = found.argmax(1)
    elif found.dim() != 3 or found.is_floating_point() or found.is_complex():
        raise wrong
    elif found.shape[1:] != (height, width):
        ids = found[:, None].cpu().float()  # exact up to 2^24
        found = F.interpolate(ids, (height, width), mode="nearest-exact")[:, 0].long()
    classes = found[0].cpu().numpy()
    if classes.min() < 0 or classes.max() >= _MOST_CLASSES:
        raise MethodError(f"--model {model}: gives class ids beyond 0 to {_MOST_CLASSES - 1}")
    return classes.astype(np.uint16)


def confidence(answer: Any) -> float:
    """Return the mean over pixels of the probability of the class that a segmenter chose.

    The answer is one that :func:`class_map` reads. Its values are taken for logits, unless they are
    probabilities already. A class map does not tell, for which the result is NaN.
    """
    found = answer.get("out") if isinstance(answer, Mapping) else answer
    if found is None or found.dim() != 4:
        return math.nan
    values = found.float()
    given = bool((values >= 0).all()) and bool((values.sum(1) - 1).abs().max() < 1e-3)
    return float((values if given else values.softmax(1)).amax(1).mean())


class Confusion:
    """The confusion matrix of a dataset, to which pictures are added one by one.

    Args:
        ignore: classes whose true pixels are not counted.
    """

    def __init__(self, ignore: Sequence[int] = ()) -> None:
        self._ignore = tuple(ignore)
        self._counts = np.zeros((0, 0), np.int64)  # [true, found]

    def add(self, truth: ClassMap, found: ClassMap) -> None:
        """Add a picture.

        Raises:
            PairingError: the maps differ in size.
        """
        if truth.shape != found.shape:
            (h, w), (fh, fw) = truth.shape, found.shape
            raise PairingError(f"sizes differ: classes of {w}x{h} px against {fw}x{fh}")
        counted = ~np.isin(truth, self._ignore)
        true, seen = truth[counted].astype(np.int64), found[counted].astype(np.int64)
        if not true.size:
            return
        side = max(len(self._counts), int(true.max()) + 1, int(seen.max()) + 1)
        more = side - len(self._counts)
        self._counts = np.pad(self._counts, (0, more))
        self._counts += np.bincount(true * side + seen, minlength=side * side).reshape(side, side)

    def figures(self) -> dict[str, float]:
        """Return :data:`SEGMENTATION_FIGURES`, 0 to 1; NaN without pixels.

        The mean is over the classes that are true or found somewhere and are not ignored.
        """
        right = np.diag(self._counts)
        union = self._counts.sum(0) + self._counts.sum(1) - right
        there = (union > 0) & ~np.isin(np.arange(len(union)), self._ignore)
        if not there.any():
            return dict.fromkeys(SEGMENTATION_FIGURES, math.nan)
        values = (float((right[there] / union[there]).mean()), right.sum() / self._counts.sum())
        return {
            name: float(value) for name, value in zip(SEGMENTATION_FIGURES, values, strict=True)
        }
