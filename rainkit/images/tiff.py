"""Encoding TIFF: 16 bits, alpha, EXIF and colour profiles together.

Pillow writes no 16-bit colour, OpenCV no metadata, and neither EXIF beside compression.
"""

from __future__ import annotations

import io
import zlib

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from rainkit.images.picture import Pixels

__all__ = ["encode_tiff"]

_STRIP_BYTES = 1 << 18

# Tags and values of TIFF 6.0, sections 8 and 14, and of its Adobe and ICC supplements.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _BYTE_COUNTS, _PREDICTOR, _EXTRA = 273, 277, 278, 279, 317, 338
_PROFILE = 34675
_DEFLATE, _DIFFERENCES, _BLACK_IS_ZERO, _RGB, _UNASSOCIATED_ALPHA = 8, 2, 1, 2, 2


def encode_tiff(
    samples: Pixels, *, alpha: bool, exif: bytes | None = None, icc: bytes | None = None
) -> bytes:
    """The bytes of a TIFF file, losslessly compressed.

    Args:
        samples: [H,W] grey or [H,W,C], uint8 or uint16.
        alpha: the last channel is opacity.
        exif: EXIF data as Pillow gives it.
        icc: the colour profile.
    """
    pixels = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = pixels.shape
    colours = channels - alpha
    directory = ImageFileDirectory_v2()
    if exif is not None:
        known = Image.Exif()
        known.load(exif)
        for tag, value in known.items():
            # Sub-directories are listed as offsets into the old file.
            directory[tag] = known.get_ifd(tag) or value
    directory[_WIDTH], directory[_HEIGHT] = width, height
    directory[_BITS] = (8 * pixels.itemsize,) * channels
    directory[_COMPRESSION], directory[_PREDICTOR] = _DEFLATE, _DIFFERENCES
    directory[_PHOTOMETRIC] = _RGB if colours == 3 else _BLACK_IS_ZERO
    directory[_SAMPLES] = channels
    if alpha:
        directory[_EXTRA] = _UNASSOCIATED_ALPHA
    if icc is not None:
        directory[_PROFILE] = icc
    rows = max(1, _STRIP_BYTES // (width * channels * pixels.itemsize))
    strips = [_compress(pixels[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    directory[_ROWS] = rows
    directory[_BYTE_COUNTS] = tuple(sizes)
    # Counted from the end of the directory: Pillow adds where that is.
    directory[_OFFSETS] = tuple(sum(sizes[:i]) for i in range(len(sizes)))
    file = io.BytesIO()
    directory.save(file)
    file.writelines(strips)
    return file.getvalue()


def _compress(rows: Pixels) -> bytes:
    """Differences from the pixel on the left (TIFF 6.0, section 14), deflated."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    little = differences.astype(differences.dtype.newbyteorder("<"), copy=False)
    return zlib.compress(little.tobytes(), 1)
