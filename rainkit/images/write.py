"""Encoding of picture files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from rainkit.errors import FileError, ImageError
from rainkit.files import atomic_path
from rainkit.images import tags
from rainkit.images.metadata import exif_tree, profile_fits
from rainkit.images.picture import Picture, Pixels, to_uint8
from rainkit.images.tags import Entry

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
_PROFILE, _XMP, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 34675, 700, 282, 283, 296
_DEFLATE, _DIFFERENCES, _BLACK_IS_ZERO, _RGB, _UNASSOCIATED_ALPHA = 8, 2, 1, 2, 2
_STRIP_BYTES = 1 << 18
_JPEG_XMP_BYTES = 65_000
"""Longest XMP data of a JPEG file, about; longer ones would need several segments."""


def write(path: Path, picture: Picture, *, overwrite: bool = False, quality: int = 95) -> None:
    """Write a picture in the format of the suffix, whole or not at all.

    A grey picture gets one channel. EXIF and XMP data and the colour profile are written to all
    formats but BMP, the density to all but WebP, alpha to all but JPEG, and 16 bits to PNG and
    TIFF. Comments are written to JPEG, PNG chunks to PNG.

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
        return _tiff(picture)
    if kind == "BMP":
        # Pillow leaves alpha out.
        opaque = picture.alpha is None
        data = _by_pillow(picture, kind, quality) if opaque else _by_opencv(picture, ".bmp")
        across, down = _per_metre(picture.dpi or (0, 0))
        return data[:38] + struct.pack("<ii", across, down) + data[46:]
    data = _by_pillow(picture, kind, quality)
    return _with_density(data, picture.dpi) if kind == "JPEG" and picture.dpi else data


def _by_pillow(picture: Picture, kind: str, quality: int) -> bytes:
    samples = _samples(picture, alpha=kind == "WEBP")
    image = Image.fromarray(to_uint8(samples))
    options: dict[str, Any] = {"quality": quality}
    if picture.exif is not None:
        options["exif"] = picture.exif
    if (icc := _profile(picture)) is not None:
        options["icc_profile"] = icc
    if kind == "JPEG" and picture.comment:
        options["comment"] = picture.comment
    if picture.xmp and (kind == "WEBP" or (kind == "JPEG" and len(picture.xmp) < _JPEG_XMP_BYTES)):
        options["xmp"] = picture.xmp
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _per_metre(dpi: tuple[float, float]) -> tuple[int, int]:
    across, down = (min(round(each / 0.0254), 2**31 - 1) for each in dpi)
    return across, down


def _with_density(data: bytes, dpi: tuple[float, float]) -> bytes:
    """Return a JPEG file that tells its density in whole pixels per inch or centimetre (JFIF)."""
    if data[6:11] != b"JFIF\0":
        return data
    unit, densities = 1, dpi
    if any(abs(each - round(each)) > 1e-3 for each in dpi):
        centimetres = dpi[0] / 2.54, dpi[1] / 2.54
        if all(abs(each - round(each)) < 1e-3 for each in centimetres):
            unit, densities = 2, centimetres
    across, down = (min(max(round(each), 1), 65535) for each in densities)
    return data[:13] + struct.pack(">BHH", unit, across, down) + data[18:]


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
    grey_alpha = picture.grey and picture.alpha is not None  # which OpenCV does not know
    data = _grey_alpha_png(picture) if grey_alpha else _by_opencv(picture, ".png")
    chunks = b"".join(_chunk(name, body) for name, body in picture.chunks)
    if picture.dpi is not None:
        chunks += _chunk(b"pHYs", struct.pack(">IIB", *_per_metre(picture.dpi), 1))
    if picture.xmp is not None:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.xmp)
    if (icc := _profile(picture)) is not None:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if picture.exif is not None:
        chunks += _chunk(b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    end = 8 + 25  # signature and IHDR
    return data[:end] + chunks + data[end:]


def _grey_alpha_png(picture: Picture) -> bytes:
    """Return a PNG file of grey and alpha; each byte is stored as the difference to its left."""
    samples = _samples(picture, alpha=True)
    height, width, _ = samples.shape
    stored = samples.astype(samples.dtype.newbyteorder(">"))
    raw = stored.view(np.uint8).reshape(height, -1)
    rows = np.ones((height, 1 + raw.shape[1]), np.uint8)  # the first byte is the filter: Sub
    rows[:, 1:] = raw
    rows[:, 1 + 2 * samples.itemsize :] -= raw[:, : -2 * samples.itemsize]
    head = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, 4, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk (PNG specification, section 5.3)."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _tiff(picture: Picture) -> bytes:
    """Return the bytes of a TIFF file with lossless compression.

    Pillow cannot write 16-bit colour, OpenCV cannot write metadata, and neither writes EXIF data
    into a compressed file. The byte order is that of the EXIF data, which stay as they are.
    """
    samples = _samples(picture, alpha=True)
    pixels = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = pixels.shape
    colours = channels - (picture.alpha is not None)
    order: Literal["<", ">"] = "<"
    directory: dict[int, Entry | tags.Tree] = {}
    if picture.exif is not None:
        order, known = exif_tree(picture.exif.removeprefix(b"Exif\0\0"))
        directory |= known
    rows = max(1, _STRIP_BYTES // (width * channels * pixels.itemsize))
    strips = [_compressed(pixels[top : top + rows], order) for top in range(0, height, rows)]
    places = [8]
    for strip in strips:
        places.append(places[-1] + len(strip))
    for tag, code, values in (
        (_WIDTH, "I", (width,)),
        (_HEIGHT, "I", (height,)),
        (_BITS, "H", (8 * pixels.itemsize,) * channels),
        (_COMPRESSION, "H", (_DEFLATE,)),
        (_PREDICTOR, "H", (_DIFFERENCES,)),
        (_PHOTOMETRIC, "H", (_RGB if colours == 3 else _BLACK_IS_ZERO,)),
        (_SAMPLES, "H", (channels,)),
        (_ROWS, "I", (rows,)),
        (_OFFSETS, "I", tuple(places[:-1])),
        (_BYTE_COUNTS, "I", tuple(map(len, strips))),
    ):
        directory[tag] = Entry.of(code, order, *values)
    if picture.alpha is not None:
        directory[_EXTRA] = Entry.of("H", order, _UNASSOCIATED_ALPHA)
    if (icc := _profile(picture)) is not None:
        directory[_PROFILE] = Entry(7, len(icc), icc)
    if picture.xmp is not None:
        directory[_XMP] = Entry(1, len(picture.xmp), picture.xmp)
    if picture.dpi is not None and _X_RESOLUTION not in directory:
        for tag, dpi in zip((_X_RESOLUTION, _Y_RESOLUTION), picture.dpi, strict=True):
            exact = Entry.of("I", order, min(round(dpi * 10_000), 2**32 - 1), 10_000)
            directory[tag] = Entry(5, 1, exact.data)
        directory[_UNIT] = Entry.of("H", order, 2)
    end = places[-1] + places[-1] % 2
    body = (tags.head(order, end) + b"".join(strips)).ljust(end, b"\0")
    return body + tags.pack(directory, order, end)


def _compressed(rows: Pixels, order: Literal["<", ">"]) -> bytes:
    """Deflate the differences between horizontal neighbours (TIFF 6.0, section 14)."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    ordered = differences.astype(differences.dtype.newbyteorder(order), copy=False)
    return zlib.compress(ordered.tobytes(), 1)


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
