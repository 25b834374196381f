"""A decoded picture with its metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

__all__ = ["Picture", "Pixels"]

Pixels: TypeAlias = NDArray[Any]
"""An array of uint8 or uint16 samples; OpenCV and Pillow declare no narrower type."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One upright picture.

    Attributes:
        rgb: pixels, [H, W, 3] uint8 or uint16; a grey picture has three equal channels.
        alpha: opacity, [H, W] in the dtype of ``rgb``, or None.
        exif: EXIF data without the orientation, which is already applied to ``rgb``.
        icc: colour profile of ``rgb``; None means sRGB.
        grey: whether the file had one colour channel, and is written with one.
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
