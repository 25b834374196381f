"""Metadata, which a restored picture takes over from its input."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from PIL import ExifTags, Image

from rainkit.images import tags
from rainkit.images.tags import Directory, Tree

__all__ = [
    "Carried",
    "carried",
    "exif_orientation",
    "exif_tree",
    "kept_exif",
    "metadata",
    "orientation",
    "png_chunks",
    "profile_fits",
]

_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_XMP, _PROFILE, _INTEROP, _PIXELS_X, _PIXELS_Y = 700, 34675, 40965, 40962, 40963
_KEPT_TAGS = frozenset(
    {ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model}
    | {_X_RESOLUTION, _Y_RESOLUTION, _UNIT}
    | {ExifTags.Base.DocumentName, ExifTags.Base.PageName, ExifTags.Base.PageNumber}
    | {ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist}
    | {ExifTags.Base.HostComputer, ExifTags.Base.Rating, ExifTags.Base.RatingPercent}
    | {ExifTags.Base.XPTitle, ExifTags.Base.XPComment, ExifTags.Base.XPAuthor}
    | {ExifTags.Base.XPKeywords, ExifTags.Base.XPSubject, ExifTags.Base.Copyright}
)
"""Tags that are kept. The others of a TIFF describe the layout of its file, and a thumbnail would
still show the rain."""

_COLOUR_CHUNKS = frozenset({b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"})
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_OTHER_TEXT = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
"""Starts of text chunks that hold XMP or EXIF, which are kept as such."""

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>))\s*[0-9]""")


class Carried(NamedTuple):
    """Metadata that go along; see :class:`~rainkit.images.Picture` for the fields."""

    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    comment: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()


def carried(
    data: bytes,
    info: Mapping[Any, Any],
    kind: str,
    *,
    turned: bool,
    page: Directory | None = None,
) -> Carried:
    """Return the metadata of a picture file that go along. Broken ones are left out.

    Args:
        data: the file.
        info: what Pillow tells of it, after it has decoded the pixels.
        kind: its format, such as ``PNG``.
        turned: whether the picture is turned by a quarter, so that width becomes height.
        page: the tags of a page of a TIFF file; None for its first one.
    """
    exif = icc = xmp = dpi = None
    if kind == "TIFF":
        try:
            first = tags.first(data) if page is None else page
            dpi = _density(first)
        except tags.BROKEN:
            return Carried()
        exif = kept_exif(data, turned=turned, page=page)
        icc, xmp = _blob(first, _PROFILE), _blob(first, _XMP)
    else:
        exif = kept_exif(_exif_bytes(info), turned=turned)
        icc, xmp = info.get("icc_profile") or None, info.get("xmp")
    if kind == "JPEG" and info.get("jfif_unit") in (1, 2) and 0 not in info["jfif_density"]:
        across, down = info["jfif_density"]
        dpi = (across, down) if info["jfif_unit"] == 1 else (across * 2.54, down * 2.54)
    if kind == "BMP" and len(data) >= 46 and int.from_bytes(data[14:18], "little") >= 40:
        dpi = _per_metre(*struct.unpack_from("<ii", data, 38))
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    if kind == "PNG":
        chunks, dpi = _png_metadata(memoryview(data))
    return Carried(
        exif=exif,
        icc=icc,
        dpi=(dpi[1], dpi[0]) if dpi and turned else dpi,
        xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if isinstance(xmp, bytes) else None,
        comment=info.get("comment") if kind in ("JPEG", "GIF") else None,
        chunks=chunks,
    )


def png_chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview, int | None]]:
    """Yield name, body and checksum of each PNG chunk, the last one perhaps cut short."""
    place, kind = 8, b""
    while place < len(data) and kind != b"IEND":
        end = place + 8 + int.from_bytes(data[place : place + 4])
        kind = bytes(data[place + 4 : place + 8])
        checksum = data[end : end + 4]
        yield kind, data[place + 8 : end], int.from_bytes(checksum) if len(checksum) == 4 else None
        place = end + 4


def _png_metadata(
    data: memoryview,
) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[float, float] | None]:
    """Return the chunks of a PNG file that are kept as they are, and its density."""
    chunks, dpi = [], None
    for kind, body, _ in png_chunks(data):
        if kind == b"pHYs" and len(body) == 9 and body[8] == 1:
            dpi = _per_metre(*struct.unpack_from(">II", body))
        text = kind in _TEXT_CHUNKS and not bytes(body[:32]).startswith(_OTHER_TEXT)
        if text or kind in _COLOUR_CHUNKS:
            chunks.append((kind, bytes(body)))
    return tuple(chunks), dpi


def _per_metre(across: int, down: int) -> tuple[float, float] | None:
    return (across * 0.0254, down * 0.0254) if across > 0 and down > 0 else None


def _density(first: Directory) -> tuple[float, float] | None:
    """Return the density that a TIFF directory tells in a unit, in pixels per inch."""
    unit = {2: 1.0, 3: 2.54}.get(first.number(_UNIT, 2))
    across, down = first.entries.get(_X_RESOLUTION), first.entries.get(_Y_RESOLUTION)
    if unit is None or across is None or down is None or across.kind != 5 or down.kind != 5:
        return None
    parts = [struct.unpack(f"{first.order}II", each.data[:8]) for each in (across, down)]
    if not all(map(all, parts)):
        return None
    return parts[0][0] / parts[0][1] * unit, parts[1][0] / parts[1][1] * unit


def _blob(first: Directory, tag: int) -> bytes | None:
    entry = first.entries.get(tag)
    return bytes(entry.data) if entry is not None else None


def _exif_bytes(info: Mapping[Any, Any]) -> bytes:
    """Return the EXIF data in what Pillow tells of a file, without their prefix."""
    found = info.get("exif")
    if found is None and isinstance(hexadecimal := info.get("Raw profile type exif"), str):
        try:
            found = bytes.fromhex("".join(hexadecimal.split("\n")[3:]))
        except ValueError:
            found = None
    return re.sub(rb"^(Exif\0\0)+", b"", found) if isinstance(found, bytes) else b""


def kept_exif(data: bytes, *, turned: bool = False, page: Directory | None = None) -> bytes | None:
    """Return the part of EXIF data that is kept, in Pillow's form; None if there is nothing.

    Args:
        data: EXIF data without their prefix, or a TIFF file.
        turned: whether what they tell of width and height is to be exchanged.
        page: the tags of a page of the TIFF file; None for its first one.
    """
    try:
        order, tree = exif_tree(data, _KEPT_TAGS, page)
    except tags.BROKEN:
        return None
    if not tree:
        return None
    if turned:
        tree = _exchange(tree, _X_RESOLUTION, _Y_RESOLUTION)
        below = tree.get(ExifTags.IFD.Exif)
        if isinstance(below, Mapping):
            tree = {**tree, ExifTags.IFD.Exif: _exchange(below, _PIXELS_X, _PIXELS_Y)}
    return b"Exif\0\0" + tags.head(order, 8) + tags.pack(tree, order, 8)


def exif_tree(
    data: bytes, kept: frozenset[int] | None = None, page: Directory | None = None
) -> tuple[Literal["<", ">"], Tree]:
    """Return byte order and directories of EXIF data.

    Args:
        data: EXIF data without their prefix, or a TIFF file.
        kept: tags of the directory; None for all of them.
        page: the directory; None for the first one.

    Raises:
        BROKEN: The directory cannot be read; broken ones below it are left out.
    """
    first = tags.first(data) if page is None else page
    tree: dict[int, Any] = {
        tag: entry for tag, entry in first.entries.items() if kept is None or tag in kept
    }
    for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if below := _below(data, first, tag):
            tree[tag] = below
        else:
            tree.pop(tag, None)
    return first.order, tree


def _below(data: bytes, directory: Directory, tag: int) -> dict[int, Any]:
    try:
        found = directory.below(data, tag)
    except tags.BROKEN:
        return {}
    if found is None:
        return {}
    tree: dict[int, Any] = dict(found.entries)
    if tag == ExifTags.IFD.Exif and tree.pop(_INTEROP, None) is not None:
        tree[_INTEROP] = _below(data, found, _INTEROP)
    return {tag: entry for tag, entry in tree.items() if entry}


def _exchange(tree: Tree, one: int, other: int) -> Tree:
    if one not in tree or other not in tree:
        return tree
    return {**tree, one: tree[other], other: tree[one]}


def metadata(image: Image.Image) -> tuple[bytes | None, int]:
    """Return the EXIF data of an image in memory to keep, and the orientation to apply.

    Raises:
        Exception: The pixels, which are decoded first, are damaged.
    """
    image.load()  # or else the parser would decode them, and their errors would pass for its own
    turn = orientation(image)
    try:
        data = _with_text_as_bytes(image.getexif()).tobytes()
    except Exception:  # Pillow's parser raises errors of many classes
        return None, 1  # a picture with broken metadata is not refused
    return kept_exif(data.removeprefix(b"Exif\0\0"), turned=turn >= 5), turn


def _with_text_as_bytes(exif: Image.Exif) -> Image.Exif:
    """Return the same data; Pillow reads text as Latin-1, but writes '?' for what is not ASCII."""

    def encoded(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {tag: encoded(each) for tag, each in value.items()}
        if not isinstance(value, str):
            return value
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            return value.encode()

    copied = Image.Exif()
    for tag in exif:
        below = tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
        if value := (exif.get_ifd(tag) if below else exif[tag]):
            copied[tag] = encoded(value)
        if tag == ExifTags.IFD.Exif and _INTEROP in copied.get(tag, {}):
            copied[tag][_INTEROP] = encoded(exif.get_ifd(_INTEROP))  # not its old offset
    return copied


def exif_orientation(exif: bytes) -> int:
    """Return the orientation that EXIF data tell, 1 to 8; 1 if they do not."""
    try:
        value = tags.first(exif.removeprefix(b"Exif\0\0")).number(ExifTags.Base.Orientation, 1)
    except tags.BROKEN:
        return 1
    return value if value in range(1, 9) else 1


def orientation(image: Image.Image) -> int:
    """Return the orientation to apply, 1 to 8; 1 is upright.

    Raises:
        Exception: The pixels of a PNG file, which its metadata may follow, are damaged.
    """
    if image.format == "TIFF":  # Pillow turns TIFF files itself, and no others
        return 1
    if image.format == "PNG":
        image.load()
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's parser raises errors of many classes
        return 1
    return value if value in range(1, 9) else 1


def profile_fits(icc: bytes | None, *, grey: bool) -> bool:
    """Return whether a colour profile is for grey (or else RGB) pictures (ICC.1, section 7.2.6)."""
    return icc is not None and icc[16:20] == (b"GRAY" if grey else b"RGB ")
