"""Run a detector or a segmenter before and after deraining, and compare its figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

from rainkit.datasets.image_ref import ImageRef
from rainkit.errors import (
    DatasetError,
    ImageError,
    MethodError,
    PairingError,
    UsageError,
    described,
)
from rainkit.evaluation.downstream import accuracy, models
from rainkit.evaluation.downstream.labels import Boxes, Labels, Wanted, read_boxes, read_maps
from rainkit.evaluation.downstream.page import Looked, Page, Sheet, Sheets, page
from rainkit.evaluation.scores import Advance, Comparison, Failure, versions
from rainkit.images import RGB8
from rainkit.render import text_tables
from rainkit.render.text_tables import TextTable, finite, json_text, write_texts

__all__ = [
    "CLEAN",
    "COLUMNS",
    "FIGURES",
    "FILES",
    "INPUT",
    "PAGE",
    "WHAT",
    "Downstream",
    "DownstreamRequest",
    "Figure",
    "Row",
    "Tally",
    "Task",
    "about",
    "check",
    "class_names",
    "latex",
    "markdown",
    "measure",
    "prepared",
    "recovered",
    "task_of",
    "write",
]


FIGURES: Mapping[str, tuple[str, ...]] = {
    "detection": accuracy.DETECTION_FIGURES,
    "segmentation": accuracy.SEGMENTATION_FIGURES,
}
"""Names of the figures of each task; the first one is the main figure."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    task: ("dataset", "result", "images", *(c for f in figures for c in (f"{f} %", "recovered %")))
    for task, figures in FIGURES.items()
}
"""Headings of the table of each task."""

FILES = ("downstream.md", "downstream.json", "downstream.tex")
"""Files that :func:`write` makes."""

PAGE = "downstream.html"
"""The page that :func:`write` makes if the pictures were asked for."""

INPUT, CLEAN = "input", "clean"
_TEXTS = 2
WHAT: Mapping[str, str] = {
    "detection": (
        "AP is the mean average precision over the overlaps .50 to .95, AP50 and AP75 are at one"
        " overlap, as pycocotools computes them"
    ),
    "segmentation": (
        "mIoU is the mean over classes of intersection over union of all pixels of the dataset,"
        " accuracy the share of pixels that are right"
    ),
}
"""What the figures of each task mean."""
_RECOVERED = (
    "recovered is (result - input) / (clean - input): 100 if the model does as well as on the clean"
    " pictures, 0 if deraining does not help, less if it harms; n/a where rain costs nothing"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of the table: the name of a figure, its heading, and how it is printed."""

    name: str
    heading: str
    form: Literal["percent", "count", "score", "gain"] = "percent"

    def text(self, value: float | None) -> str:
        """Return a cell; it is empty if a row does not have the figure."""
        if value is None:
            return ""
        if math.isnan(value):
            return "n/a"
        if self.form == "percent":
            return f"{100 * value:.1f}"
        return format(value, {"count": ".0f", "score": ".3f", "gain": "+.3f"}[self.form])


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The model's figures on one kind of pictures of a dataset.

    Attributes:
        dataset: name of the dataset.
        result: ``input``, ``clean``, or the name of a restored result.
        images: number of pictures.
        figures: figures by name; shares are 0 to 1; NaN if undefined.
        recovered: the share of the loss by rain that a restored result recovers, by figure; NaN if
            the figure is no higher on the clean pictures than on the input.
    """

    dataset: str
    result: str
    images: int
    figures: Mapping[str, float]
    recovered: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Downstream:
    """The result of a downstream run.

    Attributes:
        task: ``detection`` or ``segmentation``.
        model: ``name``, ``sha256`` and ``runtime``.
        truth: ``labels``; ``agreement`` with the model's own answer on the clean picture; or
            ``none`` for photographs without labels.
        rows: the rows of every dataset: the input, the results, the clean pictures if there are
            any.
        shown: the figures of photographs without clean pictures; empty for pairs.
        meaning: sentences that say what :attr:`shown` means.
        failures: pictures left out of all rows, with the name of their dataset.
        notices: what a reader of the figures must know.
        about: what defines the figures, and the versions of what computed them.
        sheets: the pictures for the page, if it was asked for.
        left_out: number of pictures for which the page has no room.
    """

    task: str
    model: Mapping[str, str]
    truth: str
    rows: tuple[Row, ...]
    shown: tuple[Figure, ...] = ()
    meaning: str = ""
    failures: tuple[tuple[str, Failure], ...] = ()
    notices: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    sheets: tuple[Sheet, ...] = ()
    left_out: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of :attr:`cells`."""
        if self.shown:
            return ("dataset", "result", "images", *(figure.heading for figure in self.shown))
        return COLUMNS[self.task]

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Table as text; only the first row of a dataset has its name and number of pictures."""
        rows, last = [], None
        for row in self.rows:
            first, last = row.dataset != last, row.dataset
            cells = [row.dataset if first else "", row.result, str(row.images) if first else ""]
            cells += [figure.text(row.figures.get(figure.name)) for figure in self.shown]
            for name in () if self.shown else FIGURES[self.task]:
                percent = Figure(name, name)
                cells += [percent.text(row.figures[name]), percent.text(row.recovered.get(name))]
            rows.append(tuple(cells))
        return tuple(rows)

    @property
    def title(self) -> str:
        """Title of the table."""
        truth = {
            "labels": "against labels",
            "agreement": "against its own answer on the clean pictures",
            "none": "on rainy and derained photographs",
        }
        return f"Downstream {self.task}: {self.model['name']} {truth[self.truth]}"

    @property
    def exit_code(self) -> int:
        """1 if a picture failed, else 0."""
        return 1 if self.failures else 0

    def to_data(self) -> dict[str, Any]:
        """Return everything for JSON, with null for NaN, in a stable order of keys."""
        return {
            "task": self.task,
            "model": dict(self.model),
            "truth": self.truth,
            **self.about,
            "notices": list(self.notices),
            "failed": [{"dataset": dataset, **asdict(each)} for dataset, each in self.failures],
            "rows": [
                {
                    "dataset": row.dataset,
                    "result": row.result,
                    "images": row.images,
                    "figures": {name: finite(each) for name, each in row.figures.items()},
                    "recovered": {name: finite(each) for name, each in row.recovered.items()},
                }
                for row in self.rows
            ],
        }


def recovered(result: float, rainy: float, clean: float) -> float:
    """Return the share of the loss by rain that a result recovers; NaN if rain costs nothing."""
    return (result - rainy) / (clean - rainy) if clean > rainy else math.nan


def markdown(found: Downstream) -> str:
    """Return the table as Markdown, with what defines and qualifies its figures."""
    table = text_tables.markdown(found.columns, found.cells, _TEXTS)
    lines = [f"**{found.title}**", "", *table, ""]
    lines.append(_meaning(found))
    lines.append(f"Model {found.model['name']}, SHA-256 {found.model['sha256']}.")
    versions = found.about.get("versions", {})
    lines.append("Made with " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".")
    lines += [f"Note: {notice}." for notice in found.notices]
    lines += [f"Left out: {dataset}/{each.name}: {each.reason}" for dataset, each in found.failures]
    return "\n".join(lines) + "\n"


def latex(found: Downstream) -> str:
    """Return the table as LaTeX for the package booktabs, with thin rules between datasets."""
    starts = [number for number, cells in enumerate(found.cells) if cells[0] and number]
    lines = text_tables.latex(found.columns, found.cells, _TEXTS, rules=starts)
    return "\n".join(lines) + "\n"


def write(found: Downstream, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write :data:`FILES`, and :data:`PAGE` if there are sheets, and return their paths.

    The folder is made if it does not exist.

    Raises:
        UsageError: a file exists and ``overwrite`` is off.
        FileError: the folder cannot be written.
    """
    texts = (markdown(found), json_text(found.to_data()), latex(found))
    contents = dict(zip(FILES, texts, strict=True))
    if found.sheets:
        contents[PAGE] = _page(found)
    return write_texts(folder, contents, overwrite=overwrite)


def _page(found: Downstream) -> str:
    model = found.model
    truth = {
        "labels": str(found.about.get("labels")),
        "agreement": "none: the answer on the clean picture counts as true",
        "none": "none",
    }
    methods = found.about.get("methods", {})
    derained = ", ".join(own["weights"]["name"] for own in methods.values())
    return page(
        Page(
            title=f"What {model['name']} sees with and without rain",
            task=found.task,
            table=TextTable(found.title, found.columns, found.cells),
            sheets=found.sheets,
            facts={
                "task": found.task,
                "model": f"{model['name']}, SHA-256 {model['sha256'][:12]}",
                "runs on": model["runtime"],
                "labels": truth[found.truth],
                **({"derained by": derained} if derained else {}),
                "pictures": str(len(found.sheets) + found.left_out),
            },
            meaning=_meaning(found),
            notes=found.notices,
            failures=tuple((f"{name}/{each.name}", each.reason) for name, each in found.failures),
            left_out=found.left_out,
        )
    )


def _meaning(found: Downstream) -> str:
    return found.meaning or f"{WHAT[found.task]}; {_RECOVERED}."


_LITTLE = 0.01
"""Smallest loss of a figure by rain of which shares are meaningful."""

Key = tuple[str, str]
"""Role and name of a row; the role is needed since results may be called ``clean``, too."""
_INPUT, _CLEAN = ("rainy", INPUT), ("target", CLEAN)
Files = dict[Key, ImageRef]
"""Files of one picture, by row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownstreamRequest:
    """The model to run, and the labels that count as true.

    Attributes:
        task: ``detection`` or ``segmentation``.
        model: a ``.pt`` file of TorchScript, an ``.onnx`` file, or ``NAME=FILE``: the name of a
            torchvision model and a file of weights.
        labels: a COCO file or a folder of KITTI files for detection; a folder of PNG files of class
            ids for segmentation. If None, the model's own answer on the clean picture counts as
            true.
        classes: names of the detector's classes in the order of their ids, from 1 on.
        device: device as for :func:`rainkit.precision.choose_runtime`.
        ignore: class ids of pixels that are not counted.
        report: whether the pictures are kept for a page.
    """

    task: str
    model: str
    labels: Path | None = None
    classes: tuple[str, ...] = ()
    device: str = "auto"
    ignore: tuple[int, ...] = (255,)
    report: bool = False


class Tally(Protocol):
    """Figures of a dataset, counted picture by picture."""

    def add(self, truth: Any, found: Any) -> None:
        """Add a picture: what is true, and what was found."""

    def figures(self) -> dict[str, float]:
        """Return the figures by name; NaN if undefined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """The functions that differ between tasks.

    Attributes:
        read: reads the model's answer to a picture.
        believe: turns an answer into labels, for use in place of labels.
        tally: returns an empty tally for a dataset.
    """

    read: Callable[[Any, RGB8, str], Any]
    believe: Callable[[Any], Any]
    tally: Callable[[], Tally]


def check(request: DownstreamRequest) -> None:
    """Refuse what cannot work before anything is derained, by reading the model and the labels.

    Raises:
        UsageError: the task, model or kind of file is unknown, or a file or package is missing.
        WeightsError: the model's file is damaged or does not fit the model.
        DatasetError: a label file is damaged.
    """
    prepared(request)


def measure(
    comparisons: Sequence[Comparison],
    request: DownstreamRequest,
    advance: Advance | None = None,
) -> Downstream:
    """Run the model on the input, on each result and on the clean pictures, and compare.

    The model runs on every file once, whatever the number of comparisons that share it. If a file
    or the labels of a picture cannot be read, or the model fails on it, the picture is left out of
    all rows of its dataset.

    Args:
        comparisons: results with the files of their restored pictures.
        request: the model to run, and the labels.
        advance: called after every picture.

    Raises:
        UsageError: as in :func:`check`, or the restored pictures of a comparison were not kept.
        PairingError: a picture has no labels, or labels of another size.
        MethodError: for no picture the model gives an answer of the task.
        DatasetError: as in :func:`check`, or the labels of no picture can be read.
        WeightsError: as in :func:`check`.
    """
    datasets, failures = _grouped(comparisons)
    model, labels = prepared(request)
    task = task_of(request)
    truths = {} if labels is None else _matched(labels, datasets)
    every = [files for pictures in datasets.values() for files in pictures.values()]
    seen = _Memo(
        lambda rgb: task.read(model(rgb), rgb, model.name),
        (stored for files in every for stored in files.values()),
    )
    done = 0
    fault: MethodError | DatasetError | None = None
    rows: list[Row] = []
    notices: list[str] = list(labels.notices) if labels is not None else []
    versions_of_each = max((len(files) for files in every), default=0)
    sheets = Sheets(
        class_names(model, labels, request), len(every), versions_of_each, request.ignore
    )
    for dataset, pictures in datasets.items():
        keys = dict.fromkeys(key for files in pictures.values() for key in files)
        tallies = {key: task.tally() for key in sorted(keys, key=_order)}
        count = 0
        for name, files in pictures.items():
            try:
                found = {key: seen(stored) for key, stored in files.items()}
                if labels is None:
                    truth = task.believe(found[_CLEAN])
                else:
                    truth = _truth(labels, truths[dataset, name], files)
            except UsageError:
                raise
            except Exception as error:  # whatever it is, the others can be measured
                if fault is None and isinstance(error, MethodError | DatasetError):
                    fault = error
                failures.append((dataset, Failure(name, described(error))))
            else:
                _add(tallies, truth, found, f"{dataset}/{name}")
                count += 1
                if request.report and not sheets.full:
                    looked = [
                        Looked(result=key[1], rgb=files[key].read(), found=found[key])
                        for key in tallies
                    ]
                    sheets.add(f"{dataset}/{name}", looked, None if labels is None else truth)
            done += 1
            if advance is not None:
                advance(done, len(every))
        rows += _rows(dataset, count, {key: tally.figures() for key, tally in tallies.items()})
        notices += _notices(request, [row for row in rows if row.dataset == dataset])
    if fault is not None and not any(row.images for row in rows):
        raise fault
    if labels is None:
        notices.insert(0, _agreement(request.task))
    return Downstream(
        task=request.task,
        model={"name": model.name, "sha256": model.sha256, "runtime": model.runtime},
        truth="agreement" if labels is None else "labels",
        rows=tuple(rows),
        failures=tuple(failures),
        notices=tuple(notices),
        about=about(request),
        sheets=sheets.made,
        left_out=sum({row.dataset: row.images for row in rows}.values()) - len(sheets.made),
    )


def class_names(
    model: models.Model, labels: Labels[Any] | None, request: DownstreamRequest
) -> Mapping[int, str]:
    """Return the names of classes by their ids: those that the user, the labels or the model gives.

    The class 0 of models whose classes the user names is the background.
    """
    if request.classes:
        return {0: "background", **dict(enumerate(request.classes, 1))}
    return {**model.classes, **(labels.classes if labels is not None else {})}


class _Memo:
    """The model's answers to files, each kept as long as it will be asked for again."""

    def __init__(self, answer: Callable[[RGB8], Any], asked: Iterable[ImageRef]) -> None:
        self._answer = answer
        self._left = Counter(asked)
        self._kept: dict[ImageRef, Any] = {}

    def __call__(self, stored: ImageRef) -> Any:
        self._left[stored] -= 1
        found = self._kept.pop(stored, None)
        if found is None:
            found = self._answer(stored.read())
        if self._left[stored] > 0:
            self._kept[stored] = found
        return found


def prepared(request: DownstreamRequest) -> tuple[models.Model, Labels[Any] | None]:
    """Return the model, loaded, and the labels, as :func:`check` checks them."""
    if request.task not in FIGURES:
        raise UsageError(f"--task {request.task}: choose {' or '.join(FIGURES)}")
    if request.task == "detection":
        models.need("pycocotools", "--task detection")
    labelled = request.labels is not None and request.task == "detection"
    if request.classes and not (labelled or request.report):
        raise UsageError(
            "--class: names classes of --labels for detection, or of a page (--report), and neither"
            " is given; leave it out"
        )
    file = models.model_file(request.model, request.task)
    labels: Labels[Any] | None = None
    if request.labels is not None:
        if not request.labels.exists():
            raise UsageError(
                f"--labels {request.labels}: does not exist; give the file or folder of the labels"
            )
        if request.task == "detection":
            labels = read_boxes(request.labels, request.classes)
        else:
            labels = read_maps(request.labels)
    return models.load(file, request.task, request.device), labels


def task_of(request: DownstreamRequest) -> Task:
    """Return the functions of the request's task."""
    if request.task == "segmentation":
        return Task(
            read=lambda answer, rgb, name: accuracy.class_map(answer, rgb.shape, name),
            believe=lambda found: found,
            tally=lambda: accuracy.Confusion(request.ignore),
        )
    # The model should find all of its own detections again, however many they are.
    most = {} if request.labels is not None else {"most": 1_000_000}
    return Task(
        read=lambda answer, _, name: accuracy.detections(answer, name),
        believe=accuracy.certain,
        tally=partial(accuracy.Precision, **most),
    )


def _grouped(
    comparisons: Sequence[Comparison],
) -> tuple[dict[str, dict[str, Files]], list[tuple[str, Failure]]]:
    """Return the files by dataset and picture, and the pictures that not all rows have."""
    names = [each.restored for each in comparisons]
    if len(set(names)) < len(names):
        raise UsageError(f"{', '.join(names)}: two results of one name cannot be told apart")
    datasets: dict[str, dict[str, Files]] = {}
    for comparison in comparisons:
        roles = {each.role for each in comparison.files}
        if "target" not in roles:
            raise UsageError(f"{comparison.restored}: the clean pictures are needed, too")
        if "restored" not in roles:
            raise UsageError(
                f"{comparison.restored}: the restored pictures were not kept; pass --output"
            )
        keys = {"rainy": _INPUT, "target": _CLEAN, "restored": ("restored", comparison.restored)}
        for each in comparison.files:
            files = datasets.setdefault(each.dataset, {}).setdefault(each.picture, {})
            files.setdefault(keys[each.role], each.stored)
    whole: dict[str, dict[str, Files]] = {}
    failures = []
    for dataset, pictures in datasets.items():
        wanted = dict.fromkeys(key for files in pictures.values() for key in files)
        whole[dataset] = {}
        for name, files in pictures.items():
            if lacking := [result for role, result in wanted if (role, result) not in files]:
                failures.append((dataset, Failure(name, f"is not among {', '.join(lacking)}")))
            else:
                whole[dataset][name] = files
    return whole, failures


def _matched(
    labels: Labels[Any], datasets: Mapping[str, Mapping[str, Files]]
) -> dict[tuple[str, str], int]:
    """Return the number of each picture's label."""
    pictures = {
        (dataset, name): _wanted(dataset, name, files)
        for dataset, pictures in datasets.items()
        for name, files in pictures.items()
    }
    return dict(zip(pictures, labels.find([*pictures.values()]), strict=True))


def _wanted(dataset: str, name: str, files: Files) -> Wanted:
    stored = [files[key] for key in (_INPUT, _CLEAN) if key in files]
    size = None
    # A half of a side-by-side picture, or a crop, has another size than the labelled picture.
    if not (files[_CLEAN].half or files[_CLEAN].crop):
        with suppress(ImageError, DatasetError):  # reported when the picture is read
            size = files[_CLEAN].size()
    return Wanted(
        shown=f"{dataset}/{name}",
        dataset=dataset,
        names=(f"{dataset}/{name}", name, *(each.member or each.path.name for each in stored)),
        size=size,
    )


def _truth(labels: Labels[Any], number: int, files: Files) -> Any:
    """Return what is true in a picture; if it is a crop, the labels are cropped with it.

    Labels that do not tell their size are those of the whole clean picture.

    Raises:
        DatasetError: the label cannot be read, or is for a picture of another size.
    """
    truth = labels.read(number)
    crops = [files[key] for key in (_CLEAN, _INPUT) if key in files and files[key].crop]
    size = labels.size(number)
    for stored in crops:
        if stored.crop and size in (None, replace(stored, crop=None).size()):
            top, left, height, width = stored.crop
            if isinstance(truth, Boxes):
                return truth.cropped(stored.crop)
            return truth[top : top + height, left : left + width]
    if crops and size is not None and size != crops[0].size():
        (w, h), (pw, ph) = size, crops[0].size()
        raise DatasetError(
            f"--labels {labels.path}: {labels.names[number]} is for {w}x{h} px, but the picture"
            f" is cropped to {pw}x{ph}"
        )
    return truth


def _add(tallies: Mapping[Key, Tally], truth: Any, found: Mapping[Key, Any], shown: str) -> None:
    try:
        for key, tally in tallies.items():
            tally.add(truth, found[key])
    except PairingError as error:
        raise PairingError(f"{shown}: {error}") from None


def _rows(dataset: str, count: int, figures: Mapping[Key, dict[str, float]]) -> list[Row]:
    return [
        Row(
            dataset=dataset,
            result=key[1],
            images=count,
            figures=own,
            recovered={
                name: recovered(value, figures[_INPUT][name], figures[_CLEAN][name])
                for name, value in own.items()
                if key[0] == "restored" and _INPUT in figures
            },
        )
        for key, own in figures.items()
    ]


def _order(key: Key) -> int:
    """Return a row's place: the input comes first, then the results, then the clean pictures."""
    return ("rainy", "restored", "target").index(key[0])


def _notices(request: DownstreamRequest, rows: Sequence[Row]) -> list[str]:
    """Say what a reader must know about the figures of a dataset."""
    if not rows:
        return []
    first, last, main = rows[0], rows[-1], FIGURES[request.task][0]
    if last.figures[main] == 0:
        return [
            f"{last.dataset}: {main} is 0 even on the clean pictures, as it is where the model's"
            " class ids are not those of the labels"
        ]
    if first.result == INPUT and last.figures[main] - first.figures[main] < _LITTLE:
        return [
            f"{last.dataset}: rain costs this model less than {_LITTLE:.0%} of {main} here, so that"
            " shares of it say little"
        ]
    return []


def _agreement(task: str) -> str:
    said = "the model's own answer on the clean picture counts as true"
    if task == "detection":
        said += f", boxes with a score of {accuracy.CERTAIN} or more"
    return f"without labels {said}; so clean is 100 % by construction, right or wrong"


def about(request: DownstreamRequest) -> dict[str, Any]:
    """Return what defines the figures, and the versions of what computes them, for JSON."""
    import torch

    made = versions() | {"torch": torch.__version__}
    if request.task == "detection":
        own: dict[str, Any] = {"classes": list(request.classes)}
        made["pycocotools"] = version("pycocotools")
        if request.labels is None:
            own["certain"] = accuracy.CERTAIN
    else:
        own = {"ignore": list(request.ignore)}
    labels = None if request.labels is None else str(request.labels)
    return {"labels": labels, **own, "versions": made}
