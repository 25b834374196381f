"""Encoding of picture files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from rainkit.errors import FileError, ImageError
from rainkit.files import atomic_path
from rainkit.images.metadata import profile_fits
from rainkit.images.picture import Picture, Pixels, to_uint8

__all__ = ["encode", "write"]

_FORMATS = {
    ".bmp": "BMP",
    ".jfif": "JPEG",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}

# Tags and values of TIFF 6.0, sections 8 and 14, and of its Adobe and ICC supplements.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _BYTE_COUNTS, _PREDICTOR, _EXTRA = 273, 277, 278, 279, 317, 338
_PROFILE = 34675
_DEFLATE, _DIFFERENCES, _BLACK_IS_ZERO, _RGB, _UNASSOCIATED_ALPHA = 8, 2, 1, 2, 2
_STRIP_BYTES = 1 << 18


def write(path: Path, picture: Picture, *, overwrite: bool = False, quality: int = 95) -> None:
    """Write a picture in the format of the suffix, whole or not at all.

    A grey picture gets one channel. EXIF data and the colour profile are written to all formats
    but BMP, alpha to all but JPEG, and 16 bits to PNG and TIFF.

    Args:
        path: path of the file to write; its folder is created if it is missing.
        picture: the picture to write.
        overwrite: whether an existing file is replaced.
        quality: quality of JPEG and WebP, 1 to 100.

    Raises:
        ImageError: The suffix is unknown, the file exists, or the system refuses to write.
    """
    data = encode(picture, path.suffix, quality=quality)
    try:
        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(data)
    except FileError as error:
        raise ImageError(str(error)) from error.__cause__


def encode(picture: Picture, suffix: str, *, quality: int = 95) -> bytes:
    """Return the bytes of a file in the format of a suffix such as ``.png``; see :func:`write`."""
    kind = _FORMATS.get(suffix.lower())
    if kind is None:
        what = f"a {suffix} file" if suffix else "a file without a suffix"
        raise ImageError(f"rainkit cannot write {what}: use {', '.join(_FORMATS)}")
    if kind == "PNG":
        return _png(picture)
    if kind == "TIFF":
        alpha = picture.alpha is not None
        samples = _samples(picture, alpha=alpha)
        return _tiff(samples, alpha=alpha, exif=picture.exif, icc=_profile(picture))
    if kind == "BMP" and picture.alpha is not None:  # Pillow leaves alpha out
        return _by_opencv(picture, ".bmp")
    return _by_pillow(picture, kind, quality)


def _by_pillow(picture: Picture, kind: str, quality: int) -> bytes:
    samples = _samples(picture, alpha=kind == "WEBP")
    image = Image.fromarray(to_uint8(samples))
    options: dict[str, Any] = {"quality": quality}
    if picture.exif is not None:
        options["exif"] = picture.exif
    if (icc := _profile(picture)) is not None:
        options["icc_profile"] = icc
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _by_opencv(picture: Picture, suffix: str) -> bytes:
    samples = _samples(picture, alpha=True)
    if samples.ndim == 3 and samples.shape[2] == 2:  # OpenCV has no grey with alpha
        samples = np.dstack([picture.rgb, samples[..., 1]])
    if suffix == ".bmp":
        samples = to_uint8(samples)
    if samples.ndim == 3:
        samples = np.ascontiguousarray(samples[..., [2, 1, 0, 3][: samples.shape[2]]])
    return cv2.imencode(suffix, samples)[1].tobytes()


def _png(picture: Picture) -> bytes:
    """Encode with OpenCV, several times faster than Pillow, and insert metadata after IHDR."""
    data = _by_opencv(picture, ".png")
    chunks = b""
    if (icc := _profile(picture)) is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if picture.exif is not None:
        chunks += _chunk(b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    end = 8 + 25  # signature and IHDR
    return data[:end] + chunks + data[end:]


def _chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk (PNG specification, section 5.3)."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _tiff(
    samples: Pixels, *, alpha: bool, exif: bytes | None = None, icc: bytes | None = None
) -> bytes:
    """Return the bytes of a TIFF file with lossless compression.

    Pillow cannot write 16-bit colour, OpenCV cannot write metadata, and neither writes EXIF data
    into a compressed file.

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
    strips = [_compressed(pixels[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    directory[_ROWS] = rows
    directory[_BYTE_COUNTS] = tuple(sizes)
    # Offsets count from the end of the directory; Pillow adds the position of that.
    directory[_OFFSETS] = tuple(sum(sizes[:i]) for i in range(len(sizes)))
    file = io.BytesIO()
    directory.save(file)
    file.writelines(strips)
    return file.getvalue()


def _compressed(rows: Pixels) -> bytes:
    """Deflate the differences between horizontal neighbours (TIFF 6.0, section 14)."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    little = differences.astype(differences.dtype.newbyteorder("<"), copy=False)
    return zlib.compress(little.tobytes(), 1)


def _samples(picture: Picture, *, alpha: bool) -> Pixels:
    """Return [H, W] or [H, W, C]: one channel if the picture is grey, and alpha last."""
    colour: Pixels = picture.rgb
    if picture.grey:
        colour = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY)
    if picture.alpha is not None and alpha:
        colour = np.dstack([colour, picture.alpha])
    return colour


def _profile(picture: Picture) -> bytes | None:
    """Return the colour profile unless it is for another number of channels than are written."""
    return picture.icc if profile_fits(picture.icc, grey=picture.grey) else None
