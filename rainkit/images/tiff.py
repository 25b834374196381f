"""Encoding of TIFF files with 16 bits, alpha, EXIF data and colour profiles.

Pillow cannot write 16-bit colour, OpenCV cannot write metadata, and neither writes EXIF data into a
compressed file.
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
    """Return the bytes of a TIFF file with lossless compression.

    Args:
        samples: grey [H, W] or [H, W, C] samples, uint8 or uint16.
        alpha: whether the last channel is opacity.
        exif: EXIF data in Pillow's form.
        icc: colour profile.
    """
    pixels = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = pixels.shape
    colours = channels - alpha
    directory = ImageFileDirectory_v2()
    if exif is not None:
        known = Image.Exif()
        known.load(exif)
        for tag, value in known.items():
            # The value of a sub-directory's tag is an offset into the old file.
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
    # Offsets count from the end of the directory; Pillow adds the position of that.
    directory[_OFFSETS] = tuple(sum(sizes[:i]) for i in range(len(sizes)))
    file = io.BytesIO()
    directory.save(file)
    file.writelines(strips)
    return file.getvalue()


def _compress(rows: Pixels) -> bytes:
    """Deflate the differences between horizontal neighbours (TIFF 6.0, section 14)."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    little = differences.astype(differences.dtype.newbyteorder("<"), copy=False)
    return zlib.compress(little.tobytes(), 1)
