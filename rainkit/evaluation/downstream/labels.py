"""Labels, found by the pictures' names: boxes of COCO and KITTI files, and maps of class ids."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rainkit.datasets.pairing import listed
from rainkit.errors import DatasetError, PairingError, UsageError
from rainkit.images import SUFFIXES

__all__ = ["EVERY_CLASS", "Boxes", "Labels", "Wanted", "read_boxes", "read_maps"]

Truth = TypeVar("Truth")
ClassMap = NDArray[np.uint16]
"""[H,W] class ids."""

EVERY_CLASS = -1
"""Class of a region in which detections of any class are ignored."""

_DONT_CARE = "DontCare"
_ENDINGS = SUFFIXES | {".txt"}


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The true objects of one picture.

    Attributes:
        corners: [N,4] float; left, top, right and bottom in pixels.
        classes: [N] int; class ids, or :data:`EVERY_CLASS`.
        ignored: [N] bool; true for regions in which detections do not count.
    """

    corners: NDArray[np.float64]
    classes: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Iterable[tuple[Sequence[float], int, bool]]) -> Boxes:
        """Return boxes of corners, class and whether each is ignored, without those of no area."""
        kept = [each for each in rows if each[0][2] > each[0][0] and each[0][3] > each[0][1]]
        return cls(
            np.array([each[0] for each in kept], np.float64).reshape(-1, 4),
            np.array([each[1] for each in kept], np.int64),
            np.array([each[2] for each in kept], np.bool_),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A picture that is to be scored.

    Attributes:
        shown: its name in messages.
        names: names that its labels may have, the most certain first.
        size: width and height in pixels; None if it cannot be compared.
    """

    shown: str
    names: tuple[str, ...]
    size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels(Generic[Truth]):
    """The labels of many pictures.

    Attributes:
        path: the file or folder.
        names: names of the labels, as paths with ``/``.
        size: returns the width and height of the picture of a label, by its number; None if they
            are not known.
        read: returns a label by its number.
        classes: names of classes by their ids, if the labels tell.
    """

    path: Path
    names: tuple[str, ...]
    size: Callable[[int], tuple[int, int] | None]
    read: Callable[[int], Truth]
    classes: Mapping[int, str] = field(default_factory=dict)

    def find(self, pictures: Sequence[Wanted]) -> tuple[int, ...]:
        """Return the number of each picture's label; labels of other pictures are passed over.

        Raises:
            PairingError: a picture has no label, more than one, or one for another size.
            DatasetError: a label cannot be read.
        """
        found = self.find_some(pictures)
        without = [p.shown for p, number in zip(pictures, found, strict=True) if number is None]
        if without:
            raise PairingError(
                f"--labels {self.path}: no labels for {listed(without)}; labels go by the"
                " picture's name"
            )
        return tuple(number for number in found if number is not None)

    def find_some(self, pictures: Sequence[Wanted]) -> tuple[int | None, ...]:
        """Return the number of each picture's label, or None for a picture without one.

        Raises:
            PairingError: a picture has more than one label, or one for another size.
            DatasetError: a label cannot be read.
        """
        tables: list[dict[str, list[int]]] = [defaultdict(list), defaultdict(list)]
        for number, name in enumerate(self.names):
            for table, key in zip(tables, _keys(name), strict=True):
                table[key].append(number)
        hits = [self._hits(picture, tables) for picture in pictures]
        for picture, hit in zip(pictures, hits, strict=True):
            if not hit:
                continue
            if len(hit) > 1:
                several = listed([self.names[number] for number in hit])
                raise PairingError(
                    f"--labels {self.path}: {picture.shown} may be any of {several}; name labels"
                    " DATASET/PICTURE"
                )
            size = self.size(hit[0])
            if None not in (size, picture.size) and size != picture.size:
                (w, h), (pw, ph) = size or (0, 0), picture.size or (0, 0)
                raise PairingError(
                    f"--labels {self.path}: {self.names[hit[0]]} is for {w}x{h} px, but"
                    f" {picture.shown} has {pw}x{ph}"
                )
        return tuple(hit[0] if hit else None for hit in hits)

    def _hits(self, picture: Wanted, tables: Sequence[dict[str, list[int]]]) -> list[int]:
        for part, table in enumerate(tables):  # paths come before bare names
            for name in picture.names:
                if (key := _keys(name)[part]) in table:
                    return table[key]
        return []


def read_boxes(path: Path, classes: Sequence[str] = ()) -> Labels[Boxes]:
    """Read the boxes of a COCO file, or of a folder of KITTI files.

    Args:
        path: a ``.json`` file, or a folder of one ``.txt`` file per picture.
        classes: names of the model's classes from 1 on. KITTI files need them; without them the
            category ids of a COCO file are the model's.

    Raises:
        UsageError: the path is neither, or no class of ``classes`` has a box.
        DatasetError: a file is damaged.
    """
    twice = [name for name in classes if classes.count(name) > 1]
    if twice:
        raise UsageError(f"--class {twice[0]}: is given twice; ids follow the order")
    ids = {name: number for number, name in enumerate(classes, 1)}
    if path.is_dir():
        return _kitti(path, ids)
    if path.suffix.casefold() != ".json" or not path.is_file():
        raise UsageError(
            f"--labels {path}: for detection give a COCO file (.json), or a folder of KITTI files"
        )
    return _coco(path, ids)


def read_maps(path: Path) -> Labels[ClassMap]:
    """Read class ids of pixels from a folder of 8-bit PNG files of one channel, grey or palette.

    Raises:
        UsageError: the folder does not exist, or holds no PNG file.
    """
    names = _files(path, ".png", "PNG files of class ids")
    return Labels(
        path=path,
        names=names,
        size=lambda number: _map_size(path / names[number]),
        read=lambda number: _map(path / names[number]),
    )


def _files(folder: Path, suffix: str, kind: str) -> tuple[str, ...]:
    if not folder.is_dir():
        raise UsageError(f"--labels {folder}: is not a folder; give a folder of {kind}")
    found = (path.relative_to(folder).as_posix() for path in folder.rglob(f"*{suffix}"))
    names = tuple(sorted(name for name in found if not PurePosixPath(name).name.startswith(".")))
    if not names:
        raise UsageError(f"--labels {folder}: holds no {suffix} file; give a folder of {kind}")
    return names


def _keys(name: str) -> tuple[str, str]:
    """Return the path and the file's name, without a suffix of pictures or labels."""
    path = PurePosixPath(name)
    bare = path.with_suffix("") if path.suffix.casefold() in _ENDINGS else path
    return bare.as_posix(), bare.name


def _kitti(folder: Path, ids: dict[str, int]) -> Labels[Boxes]:
    names = _files(folder, ".txt", "KITTI files, one per picture")
    if not ids:
        raise UsageError(
            f"--labels {folder}: KITTI files name classes; name the model's with --class, in the"
            " order of their ids from 1 on"
        )
    found: set[str] = set()
    all_boxes = []
    for name in names:
        rows = list(_kitti_rows(folder / name))
        found |= {kind for kind, _ in rows}
        all_boxes.append(
            Boxes.of(
                (corners, ids.get(kind, EVERY_CLASS), kind == _DONT_CARE)
                for kind, corners in rows
                if kind in ids or kind == _DONT_CARE
            )
        )
    _refuse_strangers(folder, ids, found - {_DONT_CARE})
    return Labels(
        path=folder,
        names=names,
        size=lambda _: None,
        read=all_boxes.__getitem__,
        classes={number: name for name, number in ids.items()},
    )


def _kitti_rows(path: Path) -> Iterable[tuple[str, list[float]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as text") from error
    for number, line in enumerate(lines, 1):
        if not (fields := line.split()):
            continue
        try:
            corners = [float(field) for field in fields[4:8]]
        except ValueError:
            corners = []
        if len(corners) < 4 or not np.isfinite(corners).all():
            raise DatasetError(
                f"{path}, line {number}: is not a line of KITTI: type, three figures, left, top,"
                " right, bottom"
            )
        yield fields[0], corners


def _coco(path: Path, ids: dict[str, int]) -> Labels[Boxes]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"--labels {path}: cannot be read as JSON ({error})") from error
    try:
        categories = {each["id"]: each.get("name", "") for each in content["categories"]}
        pictures = [(each["id"], str(each["file_name"]), _side(each)) for each in content["images"]]
        boxes: dict[Any, list[tuple[Sequence[float], int, bool]]] = {i: [] for i, _, _ in pictures}
        for each in content["annotations"]:
            category = each["category_id"]
            own = ids.get(categories[category]) if ids else int(category)
            if own is not None:
                x, y, width, height = map(float, each["bbox"])
                box = (x, y, x + width, y + height)
                boxes[each["image_id"]].append((box, own, bool(each.get("iscrowd", 0))))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"--labels {path}: is not a COCO file, which lists images (id, file_name), categories"
            " (id, name) and annotations (image_id, category_id, bbox)"
            f" ({type(error).__name__}: {error})"
        ) from error
    if ids:
        _refuse_strangers(path, ids, set(categories.values()))
    return Labels(
        path=path,
        names=tuple(name for _, name, _ in pictures),
        size=lambda number: pictures[number][2],
        read=lambda number: Boxes.of(boxes[pictures[number][0]]),
        classes={n: name for name, n in ids.items()} if ids else _named(categories),
    )


def _named(categories: Mapping[Any, Any]) -> dict[int, str]:
    return {int(number): str(name) for number, name in categories.items() if name}


def _side(picture: Any) -> tuple[int, int] | None:
    if "width" not in picture or "height" not in picture:
        return None
    return int(picture["width"]), int(picture["height"])


def _refuse_strangers(path: Path, ids: dict[str, int], found: set[str]) -> None:
    """Refuse names of which the labels have none: every detection would be wrong."""
    if not found & ids.keys():
        raise UsageError(
            f"--class {', '.join(ids)}: {path} has none of these classes, but"
            f" {listed(sorted(found)) or 'no classes'}"
        )


def _map_image(path: Path) -> Image.Image:
    try:
        image = Image.open(path, formats=("PNG",))
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as PNG") from error
    if image.mode not in ("1", "L", "P"):
        image.close()
        raise DatasetError(
            f"{path}: has the mode {image.mode}; class ids are PNG files of one channel with "
            "up to 8 bits"
        )
    return image


def _map_size(path: Path) -> tuple[int, int]:
    with _map_image(path) as image:
        return image.size


def _bits(path: Path) -> int:
    """Return the bits per sample of a PNG file, which its first chunk tells."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _map(path: Path) -> ClassMap:
    try:
        with _map_image(path) as image:
            ids = np.asarray(image, np.uint16)
            grey = image.mode == "L"
        # Of 2 and 4 bits, Pillow makes grey levels from 0 to 255, but ids are what is stored.
        return ids // (255 // (2 ** _bits(path) - 1)) if grey else ids
    except (
        OSError,
        SyntaxError,
        ValueError,
    ) as error:  # of damaged files
        raise DatasetError(f"{path}: cannot be read as PNG ({error})") from error
