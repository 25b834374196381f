"""Run a detector or a segmenter on photographs of real rain, which have no clean pictures.

Labels, where there are some, give the accuracy before and after deraining. Without labels the
answers themselves are compared: how many boxes with which scores there are, and which are new or
lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.pairs import holds_pairs
from rainkit.datasets.readers import ReadOptions
from rainkit.errors import (
    DatasetError,
    ImageError,
    PairingError,
    UsageError,
    described,
)
from rainkit.evaluation.cached_derainer import CachedDerainer, DerainerRequest, check_derainers
from rainkit.evaluation.downstream import accuracy, benefit
from rainkit.evaluation.downstream.accuracy import Confusion, Detections, same_objects
from rainkit.evaluation.downstream.benefit import (
    FILES,
    INPUT,
    PAGE,
    Downstream,
    DownstreamRequest,
    Figure,
    Row,
)
from rainkit.evaluation.downstream.labels import Labels, Wanted
from rainkit.evaluation.downstream.models import Model
from rainkit.evaluation.downstream.page import Looked, Sheets
from rainkit.evaluation.no_target import Photograph, found_photographs, refuse_inside
from rainkit.evaluation.scores import Advance, Failure
from rainkit.images import RGB8
from rainkit.render.text_tables import check_folder

__all__ = ["PhotographsRequest", "are_photographs", "measure_photographs", "run_photographs"]

_LEVELS = (0.3, 0.5, 0.7, 0.9)
"""Scores from which on boxes are counted."""

_FIGURES: Mapping[str, tuple[Figure, ...]] = {
    "detection": (
        *(Figure(f"boxes_{level}", f"boxes >= {level}", "count") for level in _LEVELS),
        Figure("score", "mean score", "score"),
        Figure("new", "new", "count"),
        Figure("lost", "lost", "count"),
        Figure("score_gain", "score gain", "gain"),
        Figure("agreement", "agreement %"),
    ),
    "segmentation": (
        Figure("confidence", "confidence %"),
        Figure("same", "same pixels %"),
        Figure("agreement", "agreement %"),
    ),
}
"""Figures that need no labels."""

_MEANING = {
    "detection": (
        "boxes >= S is the number of boxes with a score of S or more; mean score, new, lost, score"
        f" gain and agreement are of boxes with {accuracy.CERTAIN} or more. A box is of the same"
        " object as one on the input if both have one class and overlap by half (intersection over"
        " union); new boxes are of no object of the input, lost ones of objects that only the input"
        " has; score gain is the mean difference of the scores of the same objects; agreement is"
        " the share of all boxes, of the input and of the result, that are of the same objects"
    ),
    "segmentation": (
        "confidence is the mean over pixels of the probability of the class that the model chose,"
        " n/a for models that give class maps; same pixels is the share of pixels that have the"
        " class that they have on the input; agreement is the mean over classes of intersection"
        " over union with the answer on the input"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotographsRequest:
    """Request to run a model on photographs before and after deraining.

    Attributes:
        folders: rainy photographs: folders, which are searched through all their levels, or files.
        methods: methods that derain the photographs.
        output: folder for the figures, and for the derained pictures in its folder ``restored``.
        model: the model, and labels of some or all of the photographs.
        limit: largest number of pictures per folder, the first ones in natural order; None for all.
        overwrite: replace files that are there.
        notices: what a reader of the figures must know.
    """

    folders: tuple[Path, ...]
    methods: tuple[DerainerRequest, ...]
    output: Path
    model: DownstreamRequest
    limit: int | None = None
    overwrite: bool = False
    notices: tuple[str, ...] = ()


def are_photographs(paths: Sequence[Path], reading: ReadOptions) -> bool:
    """Return whether files and folders hold photographs alone, and not pairs.

    Raises:
        UsageError: some hold pairs, and others do not.
        PairingError, DatasetError: a folder has the layout of pairs, but its files do not agree.
    """
    if reading.layout is not None:
        return False
    pairs = [
        path
        for path in paths
        if path.is_dir() and holds_pairs(path, prefer=("test",), options=reading)
    ]
    if pairs and len(pairs) < len(paths):
        other = next(path for path in paths if path not in pairs)
        raise UsageError(
            f"{pairs[0]} holds pairs, but {other} does not; give one kind at a time, or --photos to"
            " take all pictures for photographs"
        )
    return not pairs


def run_photographs(
    request: PhotographsRequest, advance: Advance | None = None
) -> tuple[Downstream, tuple[Path, ...]]:
    """Measure as :func:`measure_photographs` does, write the files, and return their paths, too.

    Raises:
        UsageError: as there, or ``output`` holds results and ``overwrite`` is off.
        PairingError, MethodError, WeightsError, DatasetError: as there.
        FileError: the files cannot be written.
    """
    names = (*FILES, *([PAGE] if request.model.report else ()))
    check_folder(request.output, names, overwrite=request.overwrite)
    found = measure_photographs(request, advance)
    if request.overwrite:
        (request.output / PAGE).unlink(missing_ok=True)  # it would show another run
    return found, benefit.write(found, request.output, overwrite=request.overwrite)


def measure_photographs(request: PhotographsRequest, advance: Advance | None = None) -> Downstream:
    """Derain photographs, run the model on them before and after, and compare its answers.

    Model and labels are loaded before anything is derained. A photograph that cannot be read or
    derained, on which the model fails, or whose labels cannot be read, is left out of all rows.
    Derained pictures are kept, and used again the next time.

    Args:
        request: the photographs, the methods and the model.
        advance: called after every picture that is derained, and after every photograph that the
            model has seen in all versions.

    Raises:
        UsageError: a wrong option, name or path.
        PairingError: no photograph has labels, or one has labels of another size.
        MethodError: a method or the model fails, or the answer is not that of the task.
        WeightsError, DatasetError: a file of weights or labels is damaged.
    """
    photographs = found_photographs(request.folders, limit=request.limit)
    refuse_inside(request.folders, request.output)
    names = (INPUT, *check_derainers(request.methods))
    model, labels = benefit.prepared(request.model)
    truths = _matched(labels, photographs)
    total = len(photographs) * (len(request.methods) + 1)
    progress = _Progress(total, advance)
    failed: dict[Photograph, str] = {}
    files: dict[Photograph, dict[str, ImageRef]] = {p: {INPUT: p.rainy} for p in photographs}
    made: dict[str, Any] = {}
    for method in request.methods:
        made |= _derain(replace(method, keep=request.output), files, failed, progress)
    classes = benefit.class_names(model, labels, request.model)
    sheets = Sheets(classes, len(photographs), len(names), request.model.ignore)
    looks = _Looks(request.model, model, labels)
    rows: list[Row] = []
    labelled = 0
    for dataset in dict.fromkeys(each.dataset for each in photographs):
        own = [each for each in photographs if each.dataset == dataset and each not in failed]
        tallies = {name: looks.tally() for name in names}
        count = 0
        for photograph in own:
            shown = f"{dataset}/{photograph.name}"
            try:
                answers = {name: looks(stored) for name, stored in files[photograph].items()}
                truth = looks.truth(truths.get(photograph))
            except UsageError:
                raise
            except Exception as error:  # whatever it is, the others can be measured
                failed[photograph] = described(error)
                progress.tick()
                continue
            labelled += truth is not None
            for name, tally in tallies.items():
                try:
                    tally.add(answers[INPUT], answers[name], truth, is_input=name == INPUT)
                except PairingError as error:
                    raise PairingError(f"{shown}: {error}") from None
            if request.model.report and not sheets.full:
                looked = [
                    Looked(result=name, rgb=each.rgb, found=each.found)
                    for name, each in answers.items()
                ]
                sheets.add(shown, looked, truth)
            count += 1
            progress.tick()
        rows += [
            Row(dataset=dataset, result=name, images=count, figures=tally.figures())
            for name, tally in tallies.items()
        ]
    measured = sum({row.dataset: row.images for row in rows}.values())
    return Downstream(
        task=request.model.task,
        model={"name": model.name, "sha256": model.sha256, "runtime": model.runtime},
        truth="none" if labels is None else "labels",
        rows=tuple(rows),
        shown=_shown(request.model.task, with_labels=labels is not None),
        meaning=_meaning(request.model.task, with_labels=labels is not None),
        failures=tuple((each.dataset, Failure(each.name, why)) for each, why in failed.items()),
        notices=(
            *request.notices,
            *(labels.notices if labels is not None else ()),
            *_notices(labels, labelled, measured),
        ),
        about=benefit.about(request.model) | {"methods": made},
        sheets=sheets.made,
        left_out=measured - len(sheets.made),
    )


class _Progress:
    """What has been done, of all that there is to do."""

    def __init__(self, total: int, advance: Advance | None) -> None:
        self._total, self._advance, self._done = total, advance, 0

    def tick(self) -> None:
        self._done += 1
        if self._advance is not None:
            self._advance(self._done, self._total)


def _derain(
    request: DerainerRequest,
    files: Mapping[Photograph, dict[str, ImageRef]],
    failed: dict[Photograph, str],
    progress: _Progress,
) -> dict[str, Any]:
    """Derain all photographs, note where the results are kept, and return what made them."""
    with CachedDerainer(request) as derainer:
        for photograph, own in files.items():
            if photograph not in failed:
                try:
                    derainer.restore(photograph.dataset, photograph.name, photograph.rainy.read())
                except UsageError:
                    raise
                except Exception as error:
                    failed[photograph] = described(error)
                path = derainer.path(photograph.dataset, photograph.name)
                if path is not None:
                    own[derainer.label] = ImageRef(path)
            progress.tick()
        return {derainer.label: derainer.about}


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """A picture, what the model sees in it, and how sure it is of the classes of pixels."""

    rgb: RGB8
    found: Any
    confidence: float


class _Counts(Protocol):
    """Figures of one row, counted photograph by photograph."""

    def add(self, before: _Answer, after: _Answer, truth: Any, *, is_input: bool) -> None: ...

    def figures(self) -> dict[str, float]: ...


class _Looks:
    """Runs the model on files, and makes what counts its answers."""

    def __init__(
        self, request: DownstreamRequest, model: Model, labels: Labels[Any] | None
    ) -> None:
        self._task = benefit.task_of(request)
        self._name = request.task
        self._model, self._labels = model, labels

    def __call__(self, stored: ImageRef) -> _Answer:
        rgb = stored.read()
        answer = self._model(rgb)
        found = self._task.read(answer, rgb, self._model.name)
        sure = accuracy.confidence(answer) if self._name == "segmentation" else math.nan
        return _Answer(rgb, found, sure)

    def truth(self, number: int | None) -> Any:
        return None if self._labels is None or number is None else self._labels.read(number)

    def tally(self) -> _Counts:
        accurate = None if self._labels is None else self._task.tally()
        return _Boxes(accurate) if self._name == "detection" else _Pixels(accurate)


@dataclass(slots=True)
class _Boxes:
    """The boxes of one row, and their accuracy where there are labels."""

    accurate: benefit.Tally | None
    scores: list[NDArray[np.float64]] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    before: int = 0
    is_input: bool = False

    def add(self, before: _Answer, after: _Answer, truth: Any, *, is_input: bool) -> None:
        old: Detections = before.found
        new: Detections = after.found
        self.is_input = is_input
        self.scores.append(new.scores)
        self.before += int((old.scores >= accuracy.CERTAIN).sum())
        self.gains += [new.scores[j] - old.scores[i] for i, j in same_objects(old, new)]
        if self.accurate is not None and truth is not None:
            self.accurate.add(truth, new)

    def figures(self) -> dict[str, float]:
        scores = np.concatenate(self.scores) if self.scores else np.zeros(0)
        certain = scores[scores >= accuracy.CERTAIN]
        # Models give float32, in which 0.9 is less than 0.9 in float64.
        single = scores.astype(np.float32)
        found = {f"boxes_{n}": float((single >= np.float32(n)).sum()) for n in _LEVELS}
        found["score"] = float(certain.mean()) if certain.size else math.nan
        if not self.is_input:
            same, boxes = len(self.gains), self.before + len(certain)
            found |= {
                "new": float(len(certain) - same),
                "lost": float(self.before - same),
                "score_gain": float(np.mean(self.gains)) if same else math.nan,
                "agreement": 2 * same / boxes if boxes else math.nan,
            }
        return found | (self.accurate.figures() if self.accurate is not None else {})


@dataclass(slots=True)
class _Pixels:
    """The classes of pixels of one row, and their accuracy where there are labels."""

    accurate: benefit.Tally | None
    confidences: list[float] = field(default_factory=list)
    agreed: Confusion = field(default_factory=Confusion)
    is_input: bool = False

    def add(self, before: _Answer, after: _Answer, truth: Any, *, is_input: bool) -> None:
        self.is_input = is_input
        self.confidences.append(after.confidence)
        self.agreed.add(before.found, after.found)
        if self.accurate is not None and truth is not None:
            self.accurate.add(truth, after.found)

    def figures(self) -> dict[str, float]:
        found = {"confidence": float(np.mean(self.confidences)) if self.confidences else math.nan}
        if not self.is_input:
            agreed = self.agreed.figures()
            found |= {"same": agreed["accuracy"], "agreement": agreed["mIoU"]}
        return found | (self.accurate.figures() if self.accurate is not None else {})


def _matched(
    labels: Labels[Any] | None, photographs: Sequence[Photograph]
) -> dict[Photograph, int]:
    """Return the number of the label of each photograph that has one."""
    if labels is None:
        return {}
    numbers = labels.find_some([*map(_wanted, photographs)])
    found = {p: n for p, n in zip(photographs, numbers, strict=True) if n is not None}
    if not found:
        raise PairingError(
            f"--labels {labels.path}: no labels for any of {len(photographs)} photographs; labels"
            " go by the picture's name"
        )
    return found


def _wanted(photograph: Photograph) -> Wanted:
    size = None
    with suppress(ImageError, DatasetError):  # reported when the picture is read
        size = photograph.rainy.size()
    named = f"{photograph.dataset}/{photograph.name}"
    return Wanted(
        shown=named,
        dataset=photograph.dataset,
        names=(named, photograph.name, photograph.rainy.path.name),
        size=size,
    )


def _shown(task: str, *, with_labels: bool) -> tuple[Figure, ...]:
    accurate = (Figure(name, f"{name} %") for name in benefit.FIGURES[task])
    return (*(accurate if with_labels else ()), *_FIGURES[task])


def _meaning(task: str, *, with_labels: bool) -> str:
    return f"{benefit.WHAT[task]}; {_MEANING[task]}." if with_labels else f"{_MEANING[task]}."


def _notices(labels: Labels[Any] | None, labelled: int, measured: int) -> Iterable[str]:
    """Say what the figures are about, and what they cannot say."""
    if labels is None:
        yield (
            "without labels nothing says which answers are right: more or surer ones may be wrong,"
            " so look at the pictures"
        )
    elif labelled < measured:
        yield (
            f"{labelled} of {measured} photographs have labels; accuracy is that on these, all"
            " other figures are of all photographs"
        )
