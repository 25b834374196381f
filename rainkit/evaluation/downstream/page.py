"""A page of pictures with what a detector or a segmenter sees in them, result beside result."""

from __future__ import annotations

import base64
import colorsys
import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

import rainkit
from rainkit.evaluation.downstream.accuracy import CERTAIN, Detections, same_objects
from rainkit.evaluation.downstream.labels import EVERY_CLASS, Boxes
from rainkit.images import RGB8
from rainkit.render.html import MOST_SHOWN, render, thumbnail, thumbnail_side
from rainkit.render.text_tables import TextTable

__all__ = ["FAINT", "Box", "Looked", "Page", "Region", "Sheet", "Sheets", "View", "page"]

FAINT = 0.3
"""Lowest score of detections that are on a page."""

_MOST_BOXES = 100
"""Largest number of detections on a picture, those with the highest scores."""
_SMALL_REGION = 0.005
"""Smallest share of a picture of classes that are listed below it."""
_TURN = 137.508
"""Degrees between the hues of two class ids that follow on one another: the golden angle."""
_BACKGROUND = "__background__"
"""torchvision's name of the class that is none."""

ClassMap = NDArray[np.uint16]
"""[H,W] class ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle on a picture: a detection, or a label.

    Attributes:
        left, top, width, height: its place in percent of the picture.
        name: name of the class.
        hue: colour of the class in degrees.
        score: score of the detection; None for a label.
        change: ``new`` if the input has no such object, ``lost`` if a result lacks it.
    """

    left: float
    top: float
    width: float
    height: float
    name: str
    hue: float
    score: float | None = None
    change: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """The pixels of one class.

    Attributes:
        name: name of the class.
        hue: colour of the class in degrees; None if it is not coloured.
        share: share of the picture, 0 to 1.
        change: difference of the share from the input's; None for the input itself.
    """

    name: str
    hue: float | None
    share: float
    change: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One version of a picture, and the model's answer to it.

    Attributes:
        result: name of the row that it belongs to.
        picture: bytes of a JPEG file.
        note: the answer in words.
        boxes: the detections.
        mask: bytes of a PNG file in which every class has its colour; empty for detectors.
        regions: the classes of pixels, the largest first.
    """

    result: str
    picture: bytes
    note: str
    boxes: tuple[Box, ...] = ()
    mask: bytes = b""
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """All versions of one picture.

    Attributes:
        name: ``dataset/picture``.
        width: width in pixels.
        height: height in pixels.
        views: the versions, in the order of the rows.
        truth: the labels.
    """

    name: str
    width: int
    height: int
    views: tuple[View, ...]
    truth: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """A version of a picture, and the model's answer.

    Attributes:
        result: name of the row.
        rgb: the picture.
        found: :class:`Detections`, or the classes of pixels [H,W], of all versions alike.
    """

    result: str
    rgb: RGB8
    found: Any


class Sheets:
    """The sheets of a page, made one by one while the pictures are in memory.

    Args:
        classes: names of classes by their ids; a class without a name is called by its id.
        pictures: number of pictures that there will be.
        versions: largest number of versions of a picture.
        ignore: class ids of pixels of labels that are not counted, and are not coloured.
    """

    def __init__(
        self,
        classes: Mapping[int, str],
        pictures: int,
        versions: int,
        ignore: Collection[int] = (),
    ) -> None:
        self._classes = classes
        self._ignore = frozenset(ignore)
        self._most = max(1, 2 * MOST_SHOWN // max(1, versions))
        self._side = thumbnail_side(-(-min(pictures, self._most) * versions // 2))
        self._made: list[Sheet] = []

    @property
    def made(self) -> tuple[Sheet, ...]:
        """The sheets, in the order in which they were made."""
        return tuple(self._made)

    @property
    def full(self) -> bool:
        """Whether there is no room for another picture."""
        return len(self._made) >= self._most

    def add(
        self, name: str, looked: Sequence[Looked], truth: Boxes | ClassMap | None = None
    ) -> None:
        """Make the sheet of a picture.

        Args:
            name: ``dataset/picture``.
            looked: its versions; answers are compared with that to the first one.
            truth: the labels, if there are any.
        """
        first = looked[0]
        height, width = first.rgb.shape[:2]
        if isinstance(first.found, Detections):
            views = tuple(self._boxes_view(each, looked) for each in looked)
        else:
            views = tuple(self._regions_view(each, first) for each in looked)
            if truth is not None and not isinstance(truth, Boxes):
                views = (*views, self._labels_view(truth, first))
        labels = self._labels(truth, width, height) if isinstance(truth, Boxes) else ()
        self._made.append(Sheet(name=name, width=width, height=height, views=views, truth=labels))

    def _boxes_view(self, each: Looked, looked: Sequence[Looked]) -> View:
        found: Detections = each.found
        before: Detections = looked[0].found
        certain = found.scores >= CERTAIN
        note = f"{_boxes(int(certain.sum()))} with a score of {CERTAIN} or more"
        if certain.any():
            note += f", {found.scores[certain].mean():.3f} on average"
        changed: dict[int, str] = {}
        if each is looked[0]:
            pairs = [{i for i, _ in same_objects(found, other.found)} for other in looked[1:]]
            # Lost is what no result has, where there are any.
            kept = set().union(*pairs) if pairs else set(range(len(found.scores)))
            changed = {int(i): "lost" for i in np.flatnonzero(certain) if int(i) not in kept}
        else:
            same = same_objects(before, found)
            kept = {j for _, j in same}
            changed = {int(j): "new" for j in np.flatnonzero(certain) if int(j) not in kept}
            lost = int((before.scores >= CERTAIN).sum()) - len(same)
            note += f"; {len(changed)} new, {lost} lost"
        height, width = each.rgb.shape[:2]
        order = np.argsort(-found.scores, kind="stable")[:_MOST_BOXES].tolist()
        boxes = tuple(
            self._box(
                found.corners[i], int(found.classes[i]), width, height,
                score=float(found.scores[i]), change=changed.get(i, ""),
            )
            for i in reversed(order)  # the surest are drawn last
            if found.scores[i] >= FAINT
        )  # fmt: skip
        return View(
            result=each.result, picture=thumbnail(each.rgb, self._side), note=note, boxes=boxes
        )

    def _labels(self, truth: Boxes, width: int, height: int) -> tuple[Box, ...]:
        return tuple(
            self._box(corners, int(label), width, height, change="ignored" if ignored else "")
            for corners, label, ignored in zip(
                truth.corners, truth.classes, truth.ignored, strict=True
            )
        )

    def _box(
        self,
        corners: NDArray[np.float64],
        label: int,
        width: int,
        height: int,
        *,
        score: float | None = None,
        change: str = "",
    ) -> Box:
        limits = np.array([width, height, width, height], np.float64)
        left, top, right, bottom = (100 * np.clip(corners, 0, limits) / limits).tolist()
        return Box(
            left=left,
            top=top,
            width=right - left,
            height=bottom - top,
            name=self._name(label),
            hue=_hue(label),
            score=score,
            change=change,
        )

    def _regions_view(self, each: Looked, first: Looked) -> View:
        found: ClassMap = each.found
        before: ClassMap = first.found
        were = None if each is first else _shares(before)
        same = "" if each is first else f"{np.mean(found == before):.1%} of the pixels as in"
        return View(
            result=each.result,
            picture=thumbnail(each.rgb, self._side),
            note=f"{same} {first.result}" if same else "",
            mask=self._mask(found),
            regions=self._regions(_shares(found), were),
        )

    def _labels_view(self, truth: ClassMap, first: Looked) -> View:
        known = truth[~np.isin(truth, tuple(self._ignore))]
        return View(
            result="labels",
            picture=thumbnail(first.rgb, self._side),
            note=f"{known.size / truth.size:.1%} of the pixels are labelled",
            mask=self._mask(truth, self._ignore),
            regions=self._regions(_shares(known), None),
        )

    def _regions(
        self, shares: Mapping[int, float], were: Mapping[int, float] | None
    ) -> tuple[Region, ...]:
        return tuple(
            Region(
                name=self._name(label),
                hue=None if self._is_background(label) else _hue(label),
                share=share,
                change=None if were is None else share - were.get(label, 0.0),
            )
            for label, share in sorted(shares.items(), key=lambda item: -item[1])
            if share >= _SMALL_REGION
        )

    def _mask(self, found: ClassMap, hidden: Collection[int] = ()) -> bytes:
        """Return a PNG file with a palette, which is small, as large as the picture on the page."""
        height, width = found.shape
        scale = min(1.0, self._side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(found, size, interpolation=cv2.INTER_NEAREST)
        labels, places = np.unique(small, return_inverse=True)
        # A palette has 256 places; more classes than that share their colours.
        image = Image.fromarray((places.reshape(small.shape) % 256).astype(np.uint8))
        image.putpalette([level for label in labels[:256].tolist() for level in _colour(label)])
        opaque = [not (label in hidden or self._is_background(label)) for label in labels.tolist()]
        file = io.BytesIO()
        image.save(file, "PNG", transparency=bytes(255 * each for each in opaque[:256]))
        return file.getvalue()

    def _name(self, label: int) -> str:
        if label == EVERY_CLASS:
            return "any class"
        name = self._classes.get(label, f"class {label}")
        return "background" if name == _BACKGROUND else name

    def _is_background(self, label: int) -> bool:
        return self._classes.get(label) == _BACKGROUND


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The content of a page.

    Attributes:
        title: its heading.
        task: ``detection`` or ``segmentation``.
        table: the figures.
        sheets: the pictures.
        facts: facts about the run, by what they are of.
        meaning: sentences that say what the figures mean.
        notes: what a reader of the figures must know.
        failures: pictures left out, and the reason.
        left_out: number of pictures that are not shown, since they are too many for a page.
    """

    title: str
    task: str
    table: TextTable
    sheets: tuple[Sheet, ...]
    facts: Mapping[str, str]
    meaning: str = ""
    notes: tuple[str, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    left_out: int = 0


def page(content: Page) -> str:
    """Return a page as one HTML file, which forbids the browser to load anything."""
    package = "rainkit.evaluation.downstream"
    script = render(package, "downstream.js.j2")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    html = render(
        package,
        "downstream.html.j2",
        {"png": _png},
        page=content,
        script=Markup(script),  # noqa: S704 - our own file
        digest=digest,
        certain=CERTAIN,
        faint=FAINT,
        version=rainkit.__version__,
    )
    # File names may hold bytes that are not UTF-8; these are shown as question marks.
    return html.encode("utf-8", "replace").decode("utf-8")


def _png(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _boxes(count: int) -> str:
    return "1 box" if count == 1 else f"{count} boxes"


def _hue(label: int) -> float:
    return round((label * _TURN + 210) % 360, 1)


def _colour(label: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb(_hue(label) / 360, 0.5, 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)


def _shares(found: ClassMap) -> dict[int, float]:
    labels, counts = np.unique(found, return_counts=True)
    shares = counts / max(1, found.size)
    return {int(label): float(share) for label, share in zip(labels, shares, strict=True)}
