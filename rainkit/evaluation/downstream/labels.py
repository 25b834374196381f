"""Labels, found by the pictures' names: boxes of COCO and KITTI files, and maps of class ids."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rainkit.choices import nearest
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

    def cropped(self, crop: tuple[int, int, int, int]) -> Boxes:
        """Return the boxes of a part of the picture: its top, left, height and width."""
        top, left, height, width = crop
        corners = np.clip(
            self.corners - (left, top, left, top), 0, (width, height, width, height)
        ).tolist()
        return Boxes.of(zip(corners, self.classes.tolist(), self.ignored.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A picture that is to be scored.

    Attributes:
        shown: its name in messages.
        dataset: name of its dataset.
        names: names that its labels may have, the most certain first.
        size: width and height in pixels; None if it cannot be compared.
    """

    shown: str
    dataset: str
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
        notices: what a reader of the figures must know of the labels.
    """

    path: Path
    names: tuple[str, ...]
    size: Callable[[int], tuple[int, int] | None]
    read: Callable[[int], Truth]
    classes: Mapping[int, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def find(self, pictures: Sequence[Wanted]) -> tuple[int, ...]:
        """Return the number of each picture's label; labels of other pictures are passed over.

        Raises:
            PairingError: a picture has no label, more than one, or one for another size.
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

        A label whose path begins with the name of one dataset is not one of another dataset.

        Raises:
            PairingError: a picture has more than one label, or one for another size.
        """
        tables: list[dict[str, list[int]]] = [defaultdict(list), defaultdict(list)]
        for number, name in enumerate(self.names):
            for table, key in zip(tables, _keys(name), strict=True):
                table[key].append(number)
        datasets = {picture.dataset for picture in pictures}
        homes = [_home(name, datasets) for name in self.names]
        hits = [self._hits(picture, tables, homes) for picture in pictures]
        for picture, hit in zip(pictures, hits, strict=True):
            if not hit:
                continue
            if len(hit) > 1:
                several = listed([self.names[number] for number in hit])
                raise PairingError(
                    f"--labels {self.path}: {picture.shown} may be any of {several}; name labels"
                    " DATASET/PICTURE"
                )
            size = None
            with suppress(DatasetError):  # reported when the label is read
                size = self.size(hit[0])
            if None not in (size, picture.size) and size != picture.size:
                (w, h), (pw, ph) = size or (0, 0), picture.size or (0, 0)
                raise PairingError(
                    f"--labels {self.path}: {self.names[hit[0]]} is for {w}x{h} px, but"
                    f" {picture.shown} has {pw}x{ph}"
                )
        return tuple(hit[0] if hit else None for hit in hits)

    @staticmethod
    def _hits(
        picture: Wanted, tables: Sequence[dict[str, list[int]]], homes: Sequence[str | None]
    ) -> list[int]:
        paths, bare = tables
        for name in picture.names:
            if (key := _keys(name)[0]) in paths:
                return paths[key]
        for name in picture.names:
            found = bare.get(_keys(name)[1], [])
            if own := [each for each in found if homes[each] in (None, picture.dataset)]:
                return own
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


def _home(name: str, datasets: Iterable[str]) -> str | None:
    """Return the dataset with whose name a label's path begins; None if there is none."""
    found = (each for each in datasets if name.startswith(f"{each}/"))
    return max(found, key=len, default=None)


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
    return Labels(
        path=folder,
        names=names,
        size=lambda _: None,
        read=all_boxes.__getitem__,
        classes={number: name for name, number in ids.items()},
        notices=_strangers(folder, ids, found - {_DONT_CARE}),
    )


def _kitti_rows(path: Path) -> Iterable[tuple[str, list[float]]]:
    try:
        # Notepad's mark at the start would be a part of the first class.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
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
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"--labels {path}: cannot be read as JSON ({error})") from error
    try:
        categories = {each["id"]: str(each.get("name") or "") for each in content["categories"]}
        named = {n: name for name, n in ids.items()} if ids else _named(categories)
        pictures = [(each["id"], str(each["file_name"]), _side(each)) for each in content["images"]]
        boxes: dict[Any, list[tuple[Sequence[float], int, bool]]] = {i: [] for i, _, _ in pictures}
        for place, each in enumerate(content["annotations"]):
            category = each["category_id"]
            own = ids.get(categories[category]) if ids else _class_id(category)
            if own is not None:
                x, y, width, height = map(float, each["bbox"])
                box = (x, y, x + width, y + height)
                if not np.isfinite(box).all() or width < 0 or height < 0:
                    raise DatasetError(
                        f"--labels {path}: annotation {each.get('id', place)} has the bbox"
                        f" {each['bbox']}; it must be left, top, width and height in pixels, not"
                        " negative or infinite sizes"
                    )
                boxes[each["image_id"]].append((box, own, bool(each.get("iscrowd", 0))))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DatasetError(
            f"--labels {path}: is not a COCO file, which lists images (id, file_name), categories"
            " (id, name) and annotations (image_id, category_id, bbox)"
            f" ({type(error).__name__}: {error})"
        ) from error
    return Labels(
        path=path,
        names=tuple(name for _, name, _ in pictures),
        size=lambda number: pictures[number][2],
        read=lambda number: Boxes.of(boxes[pictures[number][0]]),
        classes=named,
        notices=_strangers(path, ids, set(categories.values()) - {""}) if ids else (),
    )


def _named(categories: Mapping[Any, Any]) -> dict[int, str]:
    return {_class_id(number): name for number, name in categories.items() if name}


def _class_id(number: Any) -> int:
    """Return a category's id as that of a class, which is a small number from 0 on.

    Raises:
        ValueError: it is something else.
    """
    found = int(number)
    if not 0 <= found < 1 << 31:
        raise ValueError(f"the category id {number} is not one of a class")
    return found


def _side(picture: Any) -> tuple[int, int] | None:
    if "width" not in picture or "height" not in picture:
        return None
    return int(picture["width"]), int(picture["height"])


def _strangers(path: Path, ids: dict[str, int], found: set[str]) -> tuple[str, ...]:
    """Return a line about names that the labels do not have, with the nearest that they have.

    Raises:
        UsageError: the labels have none of the names: every detection would be wrong.
    """
    if not found & ids.keys():
        raise UsageError(
            f"--class {', '.join(ids)}: {path} has none of these classes, but"
            f" {listed(sorted(found)) or 'no classes'}"
        )
    if not (lacking := [name for name in ids if name not in found]):
        return ()
    folded = {name.casefold(): name for name in sorted(found - ids.keys())}
    near = {name: nearest(name, folded) for name in lacking}
    hints = [f"{folded[like]} for {name}" for name, like in near.items() if like is not None]
    meant = f"; the nearest that it has: {listed(hints)}" if hints else ""
    return (f"--class {listed(lacking)}: {path} has no such class{meant}",)


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
