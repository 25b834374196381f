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

from rainkit.errors import FileError, ImageError
from rainkit.files import atomic_path
from rainkit.images.metadata import fits
from rainkit.images.picture import Picture, Pixels, to_uint8
from rainkit.images.read import encode_tiff

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
        return encode_tiff(samples, alpha=alpha, exif=picture.exif, icc=_profile(picture))
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


def _by_opencv(picture: Picture, suffix: str) -> bytes:
    samples = _samples(picture, alpha=True)
    if samples.ndim == 3 and samples.shape[2] == 2:  # OpenCV has no grey with alpha
        samples = np.dstack([picture.rgb, samples[..., 1]])
    if suffix == ".bmp":
        samples = to_uint8(samples)
    if samples.ndim == 3:
        samples = np.ascontiguousarray(samples[..., [2, 1, 0, 3][: samples.shape[2]]])
    return cv2.imencode(suffix, samples)[1].tobytes()


def _chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk (PNG specification, section 5.3)."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


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
    return picture.icc if fits(picture.icc, grey=picture.grey) else None
