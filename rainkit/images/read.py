"""Decoding picture files."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import io
import logging
import os
import re
import stat
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageCms, JpegImagePlugin, UnidentifiedImageError

from rainkit.errors import ImageError, one_line
from rainkit.files import counted, system_reason
from rainkit.images import bmp, heif, tags, tiff
from rainkit.images.metadata import (
    Carried,
    carried,
    exif_orientation,
    orientation,
    png_chunks,
)
from rainkit.images.picture import Animation, Encoding, Picture, Pixels
from rainkit.images.tags import Directory

__all__ = [
    "MAX_PIXELS",
    "decode",
    "open_file",
    "opencv_silent",
    "plain_png",
    "read",
    "size",
]


MAX_PIXELS = 2**28
"""Largest number of pixels of a picture, 16384 x 16384; larger ones are refused before decoding.

It is the largest number of all frames or pages of a file, too."""

_most = ContextVar("most", default=MAX_PIXELS)
"""Largest number of pixels of the picture that is being decoded."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")

_TURNS: dict[int, tuple[int, bool]] = {
    # EXIF orientation: quarter turns anticlockwise, and whether left and right are then mirrored
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}

_opening, _quiet = threading.Lock(), threading.Lock()

_PNG = b"\x89PNG\r\n\x1a\n"
_PLAIN_CHUNKS = frozenset({b"IHDR", b"IDAT", b"IEND", b"pHYs", b"tIME", b"sRGB"})
"""Chunks that do not change colours and hold no metadata to keep."""
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT"})
_PLAIN_HEADER = bytes((8, 2, 0, 0, 0))
"""The end of IHDR: bit depth, colour type, compression, filter method, not interlaced."""

_REMEDY = "not supported; save it as 8- or 16-bit RGB"

_RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc"}
    | {".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"}
    | {".sr2", ".srf", ".srw", ".x3f"}
)
"""Suffixes of camera raws. Most of them are TIFF files, of which Pillow reads the thumbnail."""

_RAW_SIGNATURES = (
    (b"IIU\0", 0),  # Panasonic RW2
    (b"IIRO", 0),
    (b"IIRS", 0),
    (b"MMOR", 0),  # Olympus ORF
    (b"FUJIFILMCCD-RAW", 0),
    (b"CR\2", 8),
    (b"HEAPCCDR", 6),  # Canon CR2 and CRW
    (b"ftypcrx ", 4),  # Canon CR3
    (b"\0MRM", 0),
    (b"FOVb", 0),  # Minolta MRW, Sigma X3F
)

_SIGNATURES = (
    (b"\xff\x0a", 0, "JPEG XL"),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000"),
    (b"8BPS", 0, "Photoshop"),
    (b"gimp xcf", 0, "GIMP"),
    (b"%PDF", 0, "PDF"),
)
"""The first bytes of other kinds of pictures, at which offset, and the name of the kind."""

_HDR_SIGNATURES = (
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance"),
    (b"#?RGBE", "Radiance"),
    (b"PF\n", "PFM"),
)

# Without a handler, Python would write the lines of Pillow's logger to stderr without the file.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}

_SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}

_SPECIAL = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}


class _Samples(NamedTuple):
    rgb: Pixels
    alpha: Pixels | None
    grey: bool


def read(path: Path | str, *, every_frame: bool = False) -> Picture:
    """Decode a picture file, whatever its suffix, and turn it upright.

    JPEG, PNG, WebP, TIFF, BMP and GIF files are read, AVIF files where Pillow knows them, and HEIC
    files with the extra ``rainkit[heif]``. Grey and colour pictures with 8 or 16 bits, 1-bit
    pictures, palettes, alpha and CMYK are supported. Pillow decodes 8-bit files, because it refuses
    truncated ones. OpenCV decodes 16-bit files, which Pillow would reduce to 8 bits, and plain PNG
    files.

    Args:
        path: path of the file.
        every_frame: whether all frames of an animation or pages of a TIFF file are read; without
            it, this is the first one.

    Raises:
        ImageError: The file is missing, empty, damaged, not a picture, or not supported.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            data = file.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    return decode(data, path, every_frame=every_frame)


def open_file(path: Path) -> BinaryIO:
    """Open a picture file for reading its bytes.

    Pipes, sockets and devices are refused, because opening or reading one may wait for ever.

    Raises:
        ImageError: The file is missing, special, or the system refuses to open it.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # opening a folder says that it is one
            return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    kind = _SPECIAL.get(stat.S_IFMT(mode), "device")
    raise ImageError(f"{path}: is a {kind}, not a file; save the picture to a file first")


def _unreadable(path: Path, error: OSError) -> ImageError:
    return ImageError(f"{path}: cannot be read ({system_reason(error)})")


def decode(
    data: bytes, name: Path | str, *, every_frame: bool = False, largest: int | None = None
) -> Picture:
    """Decode the bytes of a picture file as :func:`read` does; messages name it ``name``.

    Args:
        data: the bytes of the file.
        name: name of the file in messages.
        every_frame: whether all frames or pages are decoded.
        largest: the largest number of pixels, of all frames or pages together; a header that tells
            of more is refused before anything is decoded. None for :data:`MAX_PIXELS`.

    Raises:
        ImageError: The file is empty, damaged, not a picture, too large, or not supported.
    """
    before = _most.set(MAX_PIXELS if largest is None else largest)
    try:
        path = name if isinstance(name, Path) else Path(name)
        return _decoded(data, path, every_frame=every_frame)
    finally:
        _most.reset(before)


def _decoded(data: bytes, path: Path, *, every_frame: bool) -> Picture:
    if not data:
        raise ImageError(f"{path}: is empty (0 bytes)")
    if (rgb := plain_png(data, _most.get())) is not None:
        return _upright(_Samples(rgb, None, False), 1, carried(data, {}, "PNG", turned=False))
    _refuse_other_kinds(data, path)
    _libtiff.failed = False
    try:
        decoded = (
            _decode_tiff(path, data, every_frame=every_frame)
            or _decode_bmp(path, data)
            or _decode_heic(path, data)
        )
        if decoded is None:
            with _open(io.BytesIO(data)) as image:
                decoded = _decode(path, data, image, every_frame=every_frame)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        if data.startswith(tiff.SIGNATURES):
            raise ImageError(f"{path}: is damaged, or a kind of TIFF that is {_REMEDY}") from error
        raise ImageError(
            f"{path}: is not a JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF picture"
        ) from error
    except MemoryError as error:
        raise ImageError(f"{path}: does not fit into memory") from error
    except Exception as error:  # Pillow's decoders raise errors of many classes
        raise ImageError(f"{path}: is damaged ({one_line(error)})") from error
    if _libtiff.failed:
        raise ImageError(f"{path}: is damaged (libtiff cannot decode all of its pixels)")
    return decoded


def size(file: BinaryIO, name: Path | str) -> tuple[int, int]:
    """Return width and height in px of a picture as :func:`read` decodes it, from its header.

    Args:
        file: the open file, at its start.
        name: name of the file in messages.

    Raises:
        ImageError: The file is not a picture, or its header is damaged.
    """
    try:
        with _open(file) as image:
            width, height = image.size
            upright = width == height or (image.format == "PNG" and not _may_be_turned(file))
            # Of a PNG file, metadata may follow the pixels, which are decoded to find it.
            turned = not upright and orientation(image) >= 5
    except Exception as error:  # Pillow's parsers raise errors of many classes
        file.seek(0)
        if (declared := _declared_size(file.read())) is None:
            raise ImageError(f"{name}: cannot be read ({one_line(error)})") from error
        return declared
    return (height, width) if turned else (width, height)


def _declared_size(data: bytes) -> tuple[int, int] | None:
    """Return the size of a picture that Pillow does not read, but :func:`decode` does."""
    try:
        if (bitmap := bmp.other_bitmap(data)) is not None:
            return bitmap.width, bitmap.height
        if heif.kind_of(data) == "HEIC":
            return heif.open_heic(data).size
        found = tiff.layout(data) if data.startswith(tiff.SIGNATURES) else None
    except Exception:  # pillow-heif raises errors of many classes
        return None
    if found is None or not found.own or tiff.unsupported(found) is not None:
        return None
    width, height = found.width, found.height
    return (height, width) if found.orientation >= 5 else (width, height)


def _may_be_turned(png: BinaryIO) -> bool:
    """Return whether a PNG has a chunk with EXIF data, for which Pillow would decode all pixels."""
    place, found = png.tell(), False
    png.seek(8)
    while not found and len(head := png.read(8)) == 8:
        found = head[4:] in (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
        png.seek(int.from_bytes(head[:4]) + 4, io.SEEK_CUR)
    png.seek(place)
    return found


def plain_png(data: bytes, largest: int) -> NDArray[np.uint8] | None:
    """Return the pixels of a plain and undamaged PNG file, [H, W, 3] RGB, or None for any other.

    OpenCV decodes in one call and lets other threads run meanwhile, whereas Pillow returns to
    Python at each of many chunks: two threads read a quarter more pictures per second. OpenCV
    prints what is wrong with a damaged file, so the checksum of every chunk is verified first.

    Args:
        data: the bytes of the file.
        largest: the largest number of pixels that is accepted.
    """
    if not data.startswith(_PNG) or data[24:29] != _PLAIN_HEADER:
        return None
    if not 0 < int.from_bytes(data[16:20]) * int.from_bytes(data[20:24]) <= largest:
        return None
    if not _whole(memoryview(data)):
        return None
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _whole(data: memoryview) -> bool:
    """Return whether the file consists of plain chunks with good checksums, from IHDR to IEND."""
    place, kind = len(_PNG), b""
    for kind, body, checksum in png_chunks(data):
        if kind not in _PLAIN_CHUNKS or zlib.crc32(body, zlib.crc32(kind)) != checksum:
            return False
        place += 12 + len(body)
    return place == len(data) and kind == b"IEND"


def _refuse_wrong_checksums(path: Path, data: memoryview) -> None:
    """Refuse a PNG file whose pixels are not what was written, which Pillow often overlooks."""
    for kind, body, checksum in png_chunks(data):
        if kind in _PIXEL_CHUNKS and zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise ImageError(f"{path}: is damaged (wrong checksum of {kind.decode()})")


def _ends(gif: bytes) -> bool:
    """Return whether the blocks of a GIF file end with the trailer (GIF89a, section 27).

    Pillow leaves frames out if a file ends before them.
    """

    def colours(place: int) -> int:  # size in bytes of a table of colours
        return 3 << (gif[place] & 7) + 1 if gif[place] & 0x80 else 0

    try:
        place = 13 + colours(10)
        while gif[place] != 0x3B:
            if gif[place] == 0x2C:  # an image with its colours and the size of its codes
                place += 11 + colours(place + 9)
            elif gif[place] == 0x21:  # an extension with its label
                place += 2
            else:
                return False
            while size := gif[place]:
                place += 1 + size
            place += 1
    except IndexError:
        return False
    return True


def _refuse_other_kinds(data: bytes, path: Path) -> None:
    """Refuse by name what is a picture, but of a kind that is not read.

    Raises:
        ImageError: The file is a camera raw, has high dynamic range, or is of another known kind.
    """
    raw = any(data.startswith(head, place) for head, place in _RAW_SIGNATURES)
    suffix = path.suffix.lower()
    if raw or (data.startswith(tiff.SIGNATURES) and (suffix in _RAW_SUFFIXES or tiff.is_raw(data))):
        raise ImageError(
            f"{path}: is a camera raw file, of which only a thumbnail could be read; "
            "develop it first, for example with darktable or RawTherapee, and give the result"
        )
    for head, kind in _HDR_SIGNATURES:
        if data.startswith(head):
            raise ImageError(
                f"{path}: is a picture with a high dynamic range ({kind}), whose white is "
                "undefined; save it with 8 or 16 bits after tone mapping"
            )
    for head, place, kind in _SIGNATURES:
        if data.startswith(head, place):
            raise ImageError(f"{path}: is a {kind} file, which is not read; save it as PNG or JPEG")
    container = heif.kind_of(data)
    if container is not None and not heif.readable(container):
        raise ImageError(f"{path}: is a {container} file; to read it, {heif.remedy(container)}")
    codes = heif.colour_codes(data) if container == "AVIF" else None
    if codes is not None and codes[1] in _HDR_TRANSFERS:
        raise ImageError(
            f"{path}: is a picture with a high dynamic range ({_HDR_TRANSFERS[codes[1]]}), of "
            "which AVIF files are read with 8 bits only; save it with 8 bits after tone mapping"
        )


_libtiff = threading.local()
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


def _note_error(_module: object, _format: object, _values: object) -> None:
    _libtiff.failed = True


_NOTE_ERROR = _HANDLER(_note_error)  # libtiff keeps the pointer, but no reference


@functools.cache
def _watch_libtiff() -> None:
    """Let Pillow's libtiff note its errors in ``_libtiff.failed`` instead of printing them.

    What it prints names no file, and Pillow takes what is left of some pictures in spite of it.
    Where the library is not found beside Pillow, nothing is changed.
    """
    home = Path(PIL.__file__).parent
    for path in (*home.parent.glob("pillow.libs/libtiff*"), *home.glob(".dylibs/libtiff*")):
        try:
            library = ctypes.CDLL(os.fspath(path))
            library.TIFFSetErrorHandler.argtypes = [_HANDLER]
            library.TIFFSetErrorHandler(_NOTE_ERROR)
        except (OSError, AttributeError):
            continue


def _open(file: BinaryIO) -> Image.Image:
    # Pillow warns above 89 million pixels; rainkit checks its own limit before it decodes anything.
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(
    path: Path,
    data: bytes,
    image: Image.Image,
    *,
    every_frame: bool = False,
    page: Directory | None = None,
) -> Picture:
    _check_size(path, *image.size)
    # The pixels first: Pillow's parser of metadata would decode them, and so hide their errors.
    # Pillow also decodes what OpenCV decodes again, because OpenCV does not notice truncated files.
    image.load()
    if image.format == "PNG":
        _refuse_wrong_checksums(path, memoryview(data))
    if image.format == "GIF" and not _ends(data):
        raise ImageError(f"{path}: is damaged (it is truncated)")
    turn, kind = orientation(image), "JPEG" if image.format == "MPO" else str(image.format)
    stored = tiff.layout(data, page).orientation if kind == "TIFF" else turn
    known = carried(data, image.info, kind, turned=stored >= 5, page=page)
    if kind == "AVIF" and known.icc is None:
        known = _with_codes(known, data)
    frames = getattr(image, "n_frames", 1) if kind in ("GIF", "PNG", "WEBP", "AVIF") else 1
    if every_frame and frames > 1:
        return _animated(path, data, image, turn, known)
    notes: tuple[str, ...] = ()
    if kind == "AVIF" and (bits := heif.avif_bits(data)) > 8:
        notes = (f"read with 8 of its {bits} bits, as Pillow does",)
    if kind == "JPEG":
        if image.format == "MPO" and (others := getattr(image, "n_frames", 1) - 1) > 0:
            notes = (f"{counted(others, 'further picture')} of the file left out",)
        known, said = _of_one_picture(known)
        notes += said
    if image.mode in ("I", "F", "I;16S"):
        raise ImageError(f"{path}: has samples of 32 bits, {_REMEDY}")
    encoding = None
    if image.format == "PNG" and data[24] == 16:  # IHDR, the first chunk: bit depth
        samples = _decode_16_bit_png(path, memoryview(data))
    else:
        if image.mode == "CMYK":
            encoding = None  # which is that of four colours
            image, note = _from_cmyk(image, known.icc)
            known, notes = known._replace(icc=None), (note,)
        else:
            encoding = _encoding(image, kind, data)
        samples = _decode_8_bit(image, data)
        del image
    upright = _upright(samples, turn, known)
    return dataclasses.replace(upright, encoding=encoding, notes=notes)


def _encoding(image: Image.Image, kind: str, data: bytes) -> Encoding | None:
    """Return how the pixels of a file are compressed, if its result is to be written so, too."""
    if kind == "WEBP":
        return Encoding(lossless=_lossless_webp(memoryview(data)))
    if kind != "JPEG" or not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    try:
        tables = [tuple(image.quantization[component[3]]) for component in image.layer]
    except (KeyError, IndexError):
        return None
    if len(tables) not in (1, 3) or any(len(table) != 64 for table in tables):
        return None
    sampling = _SUBSAMPLINGS.get(JpegImagePlugin.get_sampling(image))
    if sampling is None and len(tables) == 3:  # such as 4:1:1 and 4:4:0, which Pillow cannot write
        halved = image.layer[0][1] * image.layer[0][2] > 1
        sampling = "4:2:0" if halved else "4:4:4"
    return Encoding(
        tables=tuple(tables),
        subsampling=sampling,
        progressive=bool(image.info.get("progressive")),
        rgb=len(tables) == 3 and image.info.get("adobe_transform") == 0,
    )


def _lossless_webp(data: memoryview, place: int = 12) -> bool:
    """Return whether the first frame of a WebP file is lossless (RFC 9649, section 2)."""
    while place + 8 <= len(data):
        kind, length = (
            bytes(data[place : place + 4]),
            int.from_bytes(data[place + 4 : place + 8], "little"),
        )
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        place += 8 + (16 if kind == b"ANMF" else length + length % 2)
    return False


def _animated(path: Path, data: bytes, image: Image.Image, turn: int, known: Carried) -> Picture:
    """Decode all frames of an animation as whole pictures, whatever they keep of others."""
    count = int(getattr(image, "n_frames", 1))
    width, height = image.size
    if count * width * height > _most.get():
        raise ImageError(
            f"{path}: has {count} frames of {width}x{height}, more than {_most.get():,} pixels; "
            "cut it into parts, or make a video of it"
        )
    frames, durations, kind = [], [], image.format
    for number in range(count):
        image.seek(number)
        image.load()
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        pixels = np.array(rgba)
        frames.append((np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy()))
        durations.append(float(image.info.get("duration", 0) or 0))
    opaque = all(int(alpha.min()) == 255 for _, alpha in frames)
    grey = all(_is_grey(rgb) for rgb, _ in frames)
    pictures = [
        _upright(_Samples(rgb, None if opaque else alpha, grey), turn, known)
        for rgb, alpha in frames
    ]
    lossless = kind == "WEBP" and _lossless_webp(memoryview(data))
    loop = image.info.get("loop")
    deep = kind == "PNG" and data[24] == 16
    bits = heif.avif_bits(data) if kind == "AVIF" else 16 if deep else 8
    return dataclasses.replace(
        pictures[0],
        encoding=Encoding(lossless=lossless),
        following=tuple(pictures[1:]),
        animation=Animation(
            durations=tuple(durations),
            loop=loop if isinstance(loop, int) else None,
            apart=bool(image.info.get("default_image")),
        ),
        notes=(f"read with 8 of its {bits} bits, as Pillow does",) if bits > 8 else (),
    )


def _is_grey(rgb: Pixels) -> bool:
    return bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())


def _decode_tiff(path: Path, data: bytes, *, every_frame: bool) -> Picture | None:
    """Decode a TIFF file; None for others, and for those whose only picture Pillow reads.

    Raises:
        ImageError: The file is a TIFF of a kind that is not supported.
    """
    if not data.startswith(tiff.SIGNATURES):
        return None
    _watch_libtiff()
    if not every_frame or not tags.first(data).following:
        return _decode_page(path, data, tiff.layout(data))
    pages: list[Picture] = []
    left = _most.get()
    for number, page in enumerate(tiff.directories(data)):
        found = tiff.layout(data, page)
        if number and found.aside:  # which would still show the rain
            continue
        left -= found.width * found.height
        if left < 0:
            raise ImageError(f"{path}: has pages of more than {_most.get():,} pixels; cut it up")
        name = path if not number else Path(f"{path}, page {number + 1}")
        picture = _decode_page(name, data, found)
        if picture is None:
            with _open(io.BytesIO(data)) as image:
                image.seek(number)
                picture = _decode(name, data, image, page=page)
        pages.append(picture)
    return dataclasses.replace(pages[0], following=tuple(pages[1:]))


def _decode_page(path: Path, data: bytes, found: tiff.Layout) -> Picture | None:
    """Decode a page of a TIFF file that Pillow does not read correctly; None for others."""
    if (reason := tiff.unsupported(found)) is not None:
        raise ImageError(f"{path}: has {reason}, {_REMEDY}")
    if not found.own:
        return None
    _check_size(path, found.width, found.height)
    samples = _samples(*tiff.colours(data, found))
    turn, page = found.orientation, found.directory
    return _upright(samples, turn, carried(data, {}, "TIFF", turned=turn >= 5, page=page))


def _decode_heic(path: Path, data: bytes) -> Picture | None:
    """Decode the primary picture of a HEIC file; None for others."""
    if heif.kind_of(data) != "HEIC":
        return None
    found = heif.open_heic(data)
    _check_size(path, *found.size)
    exif = found.info.get("exif") or b""
    known = carried(data, found.info, "HEIC", turned=exif_orientation(exif) >= 5)
    if known.icc is None:
        known = _with_codes(known, data)
    known, said = _of_one_picture(known)
    samples = _samples(*found.colours())  # libheif has turned them
    sampled = {420: "4:2:0", 422: "4:2:2"}.get(found.info.get("chroma", 444), "4:4:4")
    notes: tuple[str, ...] = ()
    if found.others:
        notes = (f"{counted(found.others, 'further picture')} of the file left out",)
    return dataclasses.replace(
        _upright(samples, 1, known),
        encoding=Encoding(subsampling=sampled, bits=int(found.info.get("bit_depth", 8))),
        notes=notes + said,
    )


def _with_codes(known: Carried, data: bytes) -> Carried:
    """Return metadata with the code of a HEIF file's colour space, unless it is sRGB."""
    codes = heif.colour_codes(data)
    if codes is None:
        return known
    return known._replace(chunks=((b"cICP", bytes((codes[0], codes[1], 0, 1))),))


_GAIN_MAP = rb"hdrgm:\w+|G?Container:Directory"
_MOTION = rb"G?Camera:(?:MotionPhoto|MicroVideo)\w*"


def _of_one_picture(known: Carried) -> tuple[Carried, tuple[str, ...]]:
    """Return metadata that promise no gain map and no video, which results do not have."""
    xmp, said = known.xmp or b"", []
    for names, what in (
        (_MOTION, "the video of the motion photo left out"),
        (_GAIN_MAP, "the gain map of its bright parts left out"),
    ):
        less = re.sub(rb"\s(?:" + names + rb")\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", xmp)
        less = re.sub(
            rb"<(" + names + rb")(?:\s[^>]*)?(?:/>|>.*?</\1>)", b"", less, flags=re.DOTALL
        )
        if less != xmp:
            xmp = less
            said.append(what)
    return (known._replace(xmp=xmp), tuple(said)) if said else (known, ())


def _decode_bmp(path: Path, data: bytes) -> Picture | None:
    """Decode a BMP file that Pillow refuses though it is valid; None for others.

    Raises:
        ImageError: The file is a BMP of a kind that is not supported.
    """
    try:
        found = bmp.other_bitmap(data)
    except ValueError as error:
        raise ImageError(f"{path}: has {error}, {_REMEDY}") from error
    if found is None:
        return None
    _check_size(path, found.width, found.height)
    known = carried(data, {}, "BMP", turned=False)
    return _upright(_samples(*bmp.colours(data, found)), 1, known)


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > _most.get():
        raise ImageError(
            f"{path}: has {width}x{height} pixels, more than {_most.get():,}; cut it into parts"
        )


def _samples(colour: Pixels, alpha: Pixels | None) -> _Samples:
    """Return samples of colours [H, W, 3] or grey [H, W]."""
    grey = colour.ndim == 2
    return _Samples(np.dstack([colour] * 3) if grey else colour, alpha, grey)


def _upright(samples: _Samples, turn: int, known: Carried) -> Picture:
    upright = samples if turn == 1 else _turn(samples, turn)
    return Picture(**upright._asdict(), **known._asdict())


def _decode_8_bit(image: Image.Image, data: bytes) -> _Samples:
    grey = image.mode in ("1", "L", "LA")
    if image.mode in ("P", "PA") and image.palette is not None:
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 1, 3)
        grey = _is_grey(palette)
    if image.format == "PNG" and image.mode == "L" and "transparency" in image.info:
        # Pillow scales grey of 2 and 4 bits to 8, but not the level that is transparent.
        image.info["transparency"] *= 255 // (2 ** data[24] - 1)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = np.array(image.convert("RGBA"))
        return _Samples(np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].copy(), grey)
    # Of large pictures each copy counts.
    return _Samples(np.array(image if image.mode == "RGB" else image.convert("RGB")), None, grey)


def _decode_16_bit_png(path: Path, data: memoryview) -> _Samples:
    """Decode with OpenCV, from nothing but the pixels of the file.

    The frames of an animation would otherwise be taken for the picture, and transparent colours be
    left out for grey.
    """
    kept, clear = bytearray(data[:8]), b""
    for kind, body, checksum in png_chunks(data):
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            kept += len(body).to_bytes(4) + kind + body + (checksum or 0).to_bytes(4)
        elif kind == b"tRNS":
            clear = bytes(body)
    with opencv_silent():
        decoded = cv2.imdecode(np.frombuffer(kept, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise ImageError(f"{path}: is damaged, or a kind of 16-bit PNG that is {_REMEDY}")
    if decoded.ndim == 2:
        alpha = None
        if len(clear) >= 2:
            alpha = np.where(decoded == int.from_bytes(clear[:2]), 0, 65535).astype(np.uint16)
        return _samples(decoded, alpha)
    rgb = np.ascontiguousarray(decoded[..., 2::-1])
    if decoded.shape[2] == 4:
        return _Samples(rgb, decoded[..., 3].copy(), data[25] == 4)  # IHDR: grey with alpha
    if len(clear) >= 6:
        key = np.frombuffer(clear[:6], ">u2")
        alpha = np.where((rgb == key).all(axis=2), 0, 65535).astype(np.uint16)
        return _Samples(rgb, alpha, False)
    return _Samples(rgb, None, False)


def _from_cmyk(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str]:
    """Convert to sRGB, with the embedded profile if there is one that works, and tell it."""
    plain = "converted from CMYK to sRGB by a rule of thumb, since it has no colour profile"
    if icc is not None:
        try:
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except ImageCms.PyCMSError:
            converted = None
            plain = plain.replace("it has no colour profile", "its colour profile is broken")
        if converted is not None:
            return converted, "converted from CMYK to sRGB through its colour profile"
    return image.convert("RGB"), plain


def _turn(samples: _Samples, orientation: int) -> _Samples:
    turns, mirrored = _TURNS.get(orientation, (0, False))

    def turn(array: Pixels) -> Pixels:
        turned = np.rot90(array, turns)
        return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)

    alpha = None if samples.alpha is None else turn(samples.alpha)
    return _Samples(turn(samples.rgb), alpha, samples.grey)


@contextmanager
def opencv_silent() -> Iterator[None]:
    """Silence OpenCV within a block; its log level belongs to the process and is restored."""
    log = cv2.utils.logging
    with _quiet:
        level = log.setLogLevel(log.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            log.setLogLevel(level)
