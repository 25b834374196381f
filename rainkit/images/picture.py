"""A decoded picture and what its file said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

__all__ = ["Picture", "Pixels"]

Pixels: TypeAlias = NDArray[Any]
"""An array of uint8 or uint16 samples. The type says no more: OpenCV and Pillow do not either."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One upright picture.

    Attributes:
        rgb: [H,W,3] uint8 or uint16; a grey picture has three equal channels.
        alpha: [H,W] opacity in the dtype of ``rgb``, or None.
        exif: EXIF data without the orientation, which ``rgb`` has been turned by.
        icc: the colour profile that ``rgb`` is in; None means sRGB.
        grey: the file had one colour channel, and gets one when written again.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    grey: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]
