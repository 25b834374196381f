"""Pictures in memory, and the conversion of their pixels: tensors, 8 bits, smaller sizes.

Nothing else in rainkit converts between arrays and tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor, device

__all__ = [
    "LUMA_WEIGHTS",
    "RGB8",
    "Animation",
    "Encoding",
    "Picture",
    "Pixels",
    "check_samples",
    "shrink",
    "to_array",
    "to_tensor",
    "to_uint8",
]


Pixels: TypeAlias = NDArray[Any]
"""An array of uint8 or uint16 samples; OpenCV and Pillow declare no narrower type."""

RGB8: TypeAlias = NDArray[np.uint8]
"""An 8-bit RGB picture, uint8 [H, W, 3]."""

_Sample = TypeVar("_Sample", np.uint8, np.uint16)

LUMA_WEIGHTS = np.array([[0.299, 0.587, 0.114]], np.float32)
"""Weights of R, G and B in the luma Y of ITU-R BT.601, float32 [1, 3] for ``cv2.transform``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How the pixels of a file are compressed, which its result takes over.

    Attributes:
        tables: quantisation tables of a JPEG file, one for each component, 64 numbers each.
        subsampling: chroma subsampling such as ``4:2:0``; None if there is none to tell.
        progressive: whether a JPEG file is progressive.
        rgb: whether a JPEG file holds RGB and not YCbCr.
        lossless: whether a WebP file is lossless.
        bits: bits per sample of a HEIC file.
    """

    tables: tuple[tuple[int, ...], ...] = ()
    subsampling: str | None = None
    progressive: bool = False
    rgb: bool = False
    lossless: bool = False
    bits: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Animation:
    """How the frames of an animation follow each other.

    Attributes:
        durations: time that each frame is shown, in milliseconds.
        loop: what the file says of repetitions, where 0 is for ever; None if it says nothing.
        apart: whether the first frame is no part of the animation, but shown in its place by
            programs that know no animated PNG files.
    """

    durations: tuple[float, ...]
    loop: int | None = None
    apart: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One upright picture, the first one of a file with several frames or pages.

    Attributes:
        rgb: pixels, [H, W, 3] uint8 or uint16; a grey picture has three equal channels.
        alpha: opacity, [H, W] in the dtype of ``rgb``, or None.
        exif: EXIF data without the orientation, which is already applied to ``rgb``.
        icc: colour profile of ``rgb``; None means sRGB.
        grey: whether the file had one colour channel, and is written with one.
        dpi: density in pixels per inch, across and down.
        xmp: XMP data, in which the picture is upright.
        comment: the comment of a JPEG file.
        chunks: names and bodies of PNG chunks that tell of its colours or hold text.
        encoding: how the pixels of the file were compressed; None if it does not matter.
        following: the further frames or pages of the file, if all were asked for.
        animation: how the frames follow each other; None for a single picture and for pages.
        notes: what reading has changed, in one sentence part each.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    grey: bool = False
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    comment: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    encoding: Encoding | None = None
    following: tuple[Picture, ...] = ()
    animation: Animation | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]


def check_samples(pixels: Pixels) -> None:
    """Refuse samples whose range of values is not known.

    Raises:
        ImageError: they are neither uint8 nor uint16.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"samples of {pixels.dtype} are not taken: give uint8 or uint16")


# torch is imported inside the functions, so that finding and reading files need not wait for it.


def to_tensor(rgb: Pixels, device: device | None = None) -> Tensor:
    """Convert [H, W, 3] uint8 or uint16 to [1, 3, H, W] float32 in [0, 1].

    The tensor is in channels-last memory format.

    Args:
        rgb: the samples.
        device: where the tensor is, to which uint8 samples are moved before they are converted;
            None for the CPU.

    Raises:
        ImageError: the samples are neither uint8 nor uint16.
    """
    import torch

    check_samples(rgb)
    if rgb.dtype != np.uint8:
        scaled = rgb.astype(np.float32)
        scaled /= np.iinfo(rgb.dtype).max
        return torch.from_numpy(np.ascontiguousarray(scaled)).permute(2, 0, 1)[None].to(device)
    plain = np.ascontiguousarray(rgb)
    if not plain.flags.writeable:  # torch warns about memory that must not be written to
        plain = plain.copy()
    return torch.from_numpy(plain).to(device).permute(2, 0, 1)[None].float().div_(255)


def to_array(picture: Tensor, dtype: type[_Sample]) -> NDArray[_Sample]:
    """Convert a [1, 3, H, W] or [3, H, W] float tensor to [H, W, 3] of ``dtype``.

    Values are clamped to [0, 1], scaled, and rounded to the nearest level.
    """
    import torch

    single = picture[0] if picture.dim() == 4 else picture
    largest = int(np.iinfo(dtype).max)
    scaled = single.detach().permute(1, 2, 0).float().clamp(0, 1).mul_(largest).round_()
    if dtype is np.uint8:
        scaled = scaled.to(torch.uint8)
    return np.ascontiguousarray(scaled.cpu().numpy().astype(dtype, copy=False))


def to_uint8(rgb: Pixels) -> NDArray[np.uint8]:
    """Return uint8 as it is, and uint16 scaled by 255 / 65535 and rounded to the nearest level.

    Raises:
        ImageError: the samples are neither uint8 nor uint16.
    """
    check_samples(rgb)
    if rgb.dtype == np.uint8:
        return rgb.astype(np.uint8, copy=False)
    # 65535 = 255 * 257, so that adding half of 257 rounds exactly.
    return ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """Shrink [H, W] or [H, W, C] pixels to a longest side; smaller pictures are not changed."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
