"""Encoding of picture files."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from rainkit.errors import FileError, ImageError, UsageError
from rainkit.files import atomic_path
from rainkit.images import heif, tags
from rainkit.images.metadata import exif_tree, profile_fits
from rainkit.images.picture import (
    Animation,
    Encoding,
    Picture,
    Pixels,
    check_samples,
    to_uint8,
)
from rainkit.images.tags import Entry

__all__ = ["encode", "not_held", "write"]

_FORMATS = {
    ".apng": "PNG",
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".hif": "HEIC",
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
_JPEG_EXIF_BYTES = 65_533
_QUALITY = 95

_NAMES = {"WEBP": "WebP"}
_ANIMATED = frozenset({"AVIF", "GIF", "PNG", "WEBP"})
_DEEP = frozenset({"PNG", "TIFF"})
_SRGB_PRIMARIES, _HDR_TRANSFERS = 1, (16, 18)
"""Codes of ITU-T H.273: primaries of sRGB, and the transfers PQ and HLG."""


def write(
    path: Path, picture: Picture, *, overwrite: bool = False, quality: int | None = None
) -> None:
    """Write a picture in the format of the suffix, whole or not at all.

    A grey picture gets one channel. EXIF and XMP data and the colour profile are written to all
    formats but BMP and GIF, the density to JPEG, PNG, TIFF and BMP, alpha to all but JPEG, and 16
    bits to PNG and TIFF (12 of them to HEIC). Comments are written to JPEG and GIF, PNG chunks to
    PNG, frames to GIF, PNG, WebP and AVIF, pages to TIFF. :func:`not_held` tells what is left out.

    Args:
        path: path of the file to write; its folder is created if it is missing.
        picture: the picture to write.
        overwrite: whether an existing file is replaced.
        quality: quality of JPEG, WebP, HEIC and AVIF, 1 to 100; None for that of the source, if the
            picture was read from a JPEG or lossless WebP file and is written as such, or else 95.

    Raises:
        ImageError: The suffix is unknown, the file exists, the system refuses to write, or the
            pixels are not those of a :class:`Picture`.
        UsageError: The quality is not a whole number from 1 to 100.
    """
    data = encode(picture, path.suffix, quality=quality)
    try:
        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_bytes(data)
    except FileError as error:
        raise ImageError(str(error)) from error.__cause__


def encode(picture: Picture, suffix: str, *, quality: int | None = None) -> bytes:
    """Return the bytes of a file in the format of a suffix such as ``.png``; see :func:`write`."""
    kind = _FORMATS.get(suffix.lower())
    if kind is None:
        what = f"a {suffix} file" if suffix else "a file without a suffix"
        raise ImageError(f"rainkit cannot write {what}: use {', '.join(_FORMATS)}")
    given: Any = quality  # a fraction, for example
    if quality is not None and (not isinstance(given, Integral) or not 1 <= quality <= 100):
        raise UsageError(f"quality={quality}: give a whole number from 1 to 100")
    for each in (picture, *picture.following):
        _check(each)
    if kind == "AVIF" and not heif.readable(kind):
        raise ImageError(f"AVIF files cannot be written here: {heif.remedy(kind)}")
    if picture.animation is not None and kind in _ANIMATED:
        return _animated(picture, picture.animation, kind, quality)
    if kind == "GIF":
        return _gif([picture], _metadata(picture, kind))
    if kind == "PNG":
        return _png(picture)
    if kind == "TIFF":
        return _tiff(picture)
    if kind == "HEIC":
        return heif.encode(picture, _samples(picture, alpha=True), _profile(picture), quality)
    if kind == "BMP":
        # Pillow leaves alpha out.
        opaque = picture.alpha is None
        data = _by_pillow(picture, kind, quality) if opaque else _by_opencv(picture, ".bmp")
        across, down = _per_metre(picture.dpi or (0, 0))
        return data[:38] + struct.pack("<ii", across, down) + data[46:]
    data = _by_pillow(picture, kind, quality)
    if kind == "JPEG" and picture.dpi:
        return _with_density(data, picture.dpi)
    return _with_colours(data, picture, kind)


def _check(picture: Picture) -> None:
    """Refuse pixels that no encoder takes, or that some of them would take for others."""
    rgb, alpha = picture.rgb, picture.alpha
    check_samples(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ImageError(f"cannot write pixels of {list(rgb.shape)}: give [height, width, 3]")
    if alpha is not None and (alpha.shape, alpha.dtype) != (rgb.shape[:2], rgb.dtype):
        raise ImageError(
            f"cannot write alpha of {alpha.dtype} {list(alpha.shape)}: give {rgb.dtype} "
            f"{list(rgb.shape[:2])}, as the pixels have"
        )


def not_held(picture: Picture, suffix: str) -> tuple[str, ...]:
    """Return what of a picture a file with this suffix cannot hold, a part of a sentence each."""
    kind = _FORMATS.get(suffix.lower(), "")
    files = f"{_NAMES.get(kind, kind)} files"
    said = []
    if picture.following and kind not in (_ANIMATED if picture.animation else {"TIFF"}):
        what = "frame" if picture.animation else "page"
        said.append(f"only the first {what} kept, since {files} hold no more")
    if kind == "JPEG" and picture.alpha is not None:
        said.append(f"transparency left out, which {files} cannot hold")
    if picture.rgb.dtype != np.uint8 and kind not in _DEEP:
        known = picture.encoding or Encoding()
        bits = 12 if kind == "HEIC" else 8
        if kind != "HEIC" or known.bits == 8:
            said.append(f"16 bits reduced to {bits}, since {files} hold no more")
    if kind == "GIF":
        said.append(f"colours reduced to 256, since {files} hold no more")
    if kind in ("BMP", "GIF") and (picture.icc or picture.exif or picture.xmp):
        said.append(f"EXIF data and colour profile left out, which {files} cannot hold")
    if kind == "JPEG" and picture.exif and len(picture.exif) > _JPEG_EXIF_BYTES:
        said.append(f"EXIF data left out, which are too long for {files}")
    if kind == "JPEG" and picture.xmp and len(picture.xmp) >= _JPEG_XMP_BYTES:
        said.append(f"XMP data left out, which are too long for {files}")
    if kind not in ("PNG", "HEIC", "AVIF") and picture.icc is None and _other_colours(picture):
        said.append(f"the code of the colour space left out, which {files} cannot hold")
    return tuple(said)


def _with_colours(data: bytes, picture: Picture, kind: str) -> bytes:
    """Return the file with the code of the colour space, which Pillow cannot set in AVIF files."""
    codes = _colour_codes(picture)
    if kind != "AVIF" or picture.icc is not None or codes is None:
        return data
    return heif.with_colour_codes(data, *codes)


def _other_colours(picture: Picture) -> bool:
    """Return whether a cICP chunk tells of other colours than those of sRGB."""
    codes = _colour_codes(picture)
    return codes is not None and (codes[0] != _SRGB_PRIMARIES or codes[1] in _HDR_TRANSFERS)


def _colour_codes(picture: Picture) -> tuple[int, int] | None:
    """Return primaries and transfer of a cICP chunk."""
    codes = [body for name, body in picture.chunks if name == b"cICP" and len(body) == 4]
    return (codes[0][0], codes[0][1]) if codes else None


def _by_pillow(picture: Picture, kind: str, quality: int | None) -> bytes:
    samples = _samples(picture, alpha=kind in ("AVIF", "WEBP"))
    image = Image.fromarray(to_uint8(samples))
    file = io.BytesIO()
    image.save(file, kind, **_options(picture, kind, quality), **_metadata(picture, kind))
    return file.getvalue()


def _options(picture: Picture, kind: str, quality: int | None) -> dict[str, Any]:
    """Return Pillow's options for what the pixels lose: as in the source, if nothing was chosen."""
    known = picture.encoding or Encoding()
    if kind == "WEBP" and quality is None and known.lossless:
        return {"lossless": True}
    if kind != "JPEG" or quality is not None or not known.tables or (picture.grey and known.rgb):
        return {"quality": _QUALITY if quality is None else quality}
    tables = known.tables[:1] if picture.grey else known.tables
    while tables[-2:-1] == tables[-1:]:  # the last one serves all further components
        tables = tables[:-1]
    options: dict[str, Any] = {"qtables": [list(table) for table in tables]}
    if known.subsampling is not None and not picture.grey:
        options["subsampling"] = known.subsampling
    if known.rgb:
        options["keep_rgb"] = True
    return options | ({"progressive": True} if known.progressive else {})


def _metadata(picture: Picture, kind: str) -> dict[str, Any]:
    """Return Pillow's options for the metadata that a format holds."""
    options: dict[str, Any] = {}
    jpeg = kind == "JPEG"
    if kind in ("GIF", "JPEG") and picture.comment:
        options["comment"] = picture.comment
    if kind in ("BMP", "GIF"):
        return options
    if picture.exif is not None and not (jpeg and len(picture.exif) > _JPEG_EXIF_BYTES):
        options["exif"] = picture.exif
    if (icc := _profile(picture)) is not None:
        options["icc_profile"] = icc
    if picture.xmp and not (jpeg and len(picture.xmp) >= _JPEG_XMP_BYTES):
        options["xmp"] = picture.xmp
    return options


def _animated(picture: Picture, animation: Animation, kind: str, quality: int | None) -> bytes:
    """Encode all frames as whole pictures, each of which replaces the one before it."""
    frames = [picture, *picture.following]
    options: dict[str, Any] = {"duration": [round(each) for each in animation.durations]}
    if animation.loop is not None and kind != "AVIF":
        options["loop"] = animation.loop
    if kind == "GIF":
        return _gif(frames, options | _metadata(picture, kind))
    if kind == "PNG":
        # A first picture that stands apart is none of the animation, and has no duration.
        durations = animation.durations[1:] if animation.apart else animation.durations
        options |= {"duration": list(durations), "disposal": 0, "blend": 0}
        options["default_image"] = animation.apart
    else:
        options |= _options(picture, kind, quality) | _metadata(picture, kind)
    clear = any(each.alpha is not None for each in frames)
    shown = [_shown(each, with_alpha=clear) for each in frames]
    file = io.BytesIO()
    shown[0].save(file, kind, save_all=True, append_images=shown[1:], **options)
    data = file.getvalue()
    return _with_chunks(data, picture) if kind == "PNG" else _with_colours(data, picture, kind)


def _shown(frame: Picture, *, with_alpha: bool) -> Image.Image:
    if not with_alpha:
        return Image.fromarray(to_uint8(_samples(frame, alpha=False)))
    rgb, alpha = to_uint8(frame.rgb), frame.alpha
    opacity = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else to_uint8(alpha)
    return Image.fromarray(np.dstack([rgb, opacity]))


_CLEAR = 255
"""Number of the transparent colour in a palette."""


def _gif(frames: list[Picture], options: dict[str, Any]) -> bytes:
    """Encode with a palette for each frame; what is more transparent than opaque becomes clear."""
    clear = any(each.alpha is not None for each in frames)
    shown = []
    for each in frames:
        image = Image.fromarray(to_uint8(_samples(each, alpha=False)))
        image = image.convert("RGB").quantize(_CLEAR if clear else 256)
        if each.alpha is not None:
            palette = image.getpalette() or []
            indices = np.array(image)
            indices[to_uint8(each.alpha) < 128] = _CLEAR
            image = Image.fromarray(indices)
            image.putpalette((palette + [0] * 768)[:768])
        shown.append(image)
    if clear:
        options = options | {"transparency": _CLEAR, "disposal": 2}
    if len(shown) > 1:
        options = options | {"save_all": True, "append_images": shown[1:]}
    file = io.BytesIO()
    shown[0].save(file, "GIF", optimize=False, **options)
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
    return _with_chunks(data, picture)


def _with_chunks(data: bytes, picture: Picture) -> bytes:
    """Return a PNG file with the picture's metadata after IHDR."""
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
    """Return the bytes of a TIFF file with lossless compression, with a page for each picture.

    Pillow cannot write 16-bit colour, OpenCV cannot write metadata, and neither writes EXIF data
    into a compressed file. The byte order is that of the EXIF data, which stay as they are.
    """
    pages = [picture] if picture.animation is not None else [picture, *picture.following]
    orders = [exif_tree(_plain_exif(each))[0] for each in pages if each.exif is not None]
    order: Literal["<", ">"] = orders[0] if orders else "<"
    file, pointer = bytearray(tags.head(order, 0)), 4
    for each in pages:
        directory = _tiff_page(each, order, file)
        file += b"\0" * (len(file) % 2)
        struct.pack_into(f"{order}I", file, pointer, len(file))
        pointer = len(file) + 2 + 12 * len(directory)
        file += tags.pack(directory, order, len(file))
    return bytes(file)


def _plain_exif(picture: Picture) -> bytes:
    return (picture.exif or b"").removeprefix(b"Exif\0\0")


def _tiff_page(
    picture: Picture, order: Literal["<", ">"], file: bytearray
) -> dict[int, Entry | tags.Tree]:
    """Add the samples of a page to a file, and return its tags."""
    samples = _samples(picture, alpha=True)
    pixels = samples[..., None] if samples.ndim == 2 else samples
    height, width, channels = pixels.shape
    colours = channels - (picture.alpha is not None)
    directory: dict[int, Entry | tags.Tree] = {}
    if picture.exif is not None:
        written, known = exif_tree(_plain_exif(picture))
        directory |= known if written == order else {}
    rows = max(1, _STRIP_BYTES // (width * channels * pixels.itemsize))
    places = [len(file)]
    for top in range(0, height, rows):
        file += _compressed(pixels[top : top + rows], order)
        places.append(len(file))
    sizes = tuple(end - start for start, end in pairwise(places))
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
        (_BYTE_COUNTS, "I", sizes),
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
    return directory


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
