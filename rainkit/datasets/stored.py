"""A picture in a dataset: a file, a member of an archive, or half of a side-by-side picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rainkit import images
from rainkit.datasets.containers import is_container, open_member
from rainkit.errors import DatasetError, ImageError

__all__ = ["Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a picture is kept.

    Attributes:
        path: the file.
        member: name in it, if it is a tar archive; key, if it is an LMDB folder.
        half: ``left`` or ``right``, if two pictures lie side by side in it.
        crop: height and width to cut it to from the top left, if not whole.
    """

    path: Path
    member: str = ""
    half: str = ""
    crop: tuple[int, int] | None = None

    @classmethod
    def at(cls, root: Path, locator: str) -> Stored:
        """What a manifest's locator names: ``path``, ``path::member``, ``path::left|right``.

        Raises:
            DatasetError: it leads out of ``root``, or is none.
        """
        name, _, inner = locator.partition("::")
        relative = PurePosixPath(name)
        odd = relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name
        if odd or not relative.parts:
            raise DatasetError(f"{locator!r} is not a path inside {root}; make the dataset again")
        path = root / relative
        if not path.resolve().is_relative_to(root.resolve()):
            raise DatasetError(f"{path}: is a link that leaves {root}; put the file itself there")
        if is_container(path):
            return cls(path, member=inner)
        if inner not in ("", "left", "right"):
            raise DatasetError(f"{locator!r}: {name} has a left and a right half, but no {inner!r}")
        return cls(path, half=inner)

    def open(self) -> BinaryIO:
        """The encoded picture, whole even if this is half of it.

        Raises:
            ImageError: there is no such file.
            DatasetError: the container is damaged or does not hold it.
        """
        if self.member:
            return open_member(self.path, self.member)
        return images.open_file(self.path)

    def read(self) -> NDArray[np.uint8]:
        """Decode it: uint8 [H,W,3] RGB; 16-bit pictures are rounded to 8 bit.

        Raises:
            ImageError: it is missing, no picture, or not made of two halves.
            DatasetError: as :meth:`open`.
        """
        with self.open() as file:
            rgb = images.to_uint8(images.decode(file.read(), self._file).rgb)
        if self.half:
            middle = self._middle(rgb.shape[1])
            rgb = rgb[:, :middle] if self.half == "left" else rgb[:, middle:]
        if self.crop is not None:
            rgb = rgb[: self.crop[0], : self.crop[1]]
        return np.ascontiguousarray(rgb)

    def size(self) -> tuple[int, int]:
        """Width and height in px, from the picture's header.

        Raises:
            ImageError, DatasetError: as :meth:`read`.
        """
        if self.crop is not None:
            return self.crop[1], self.crop[0]
        with self.open() as file:
            width, height = images.size(file, self._file)
        return (self._middle(width) if self.half else width), height

    def __str__(self) -> str:
        return f"{self._file}::{self.half}" if self.half else self._file

    @property
    def _file(self) -> str:
        return f"{self.path}::{self.member}" if self.member else str(self.path)

    def _middle(self, width: int) -> int:
        if width % 2:
            raise ImageError(f"{self._file}: is {width} px wide, which is not two equal halves")
        return width // 2
