"""TIFF files: what their tags declare, and the samples that Pillow reduces, misreads or refuses.

Pillow reads pictures with up to 8 bits in one plane correctly, and with more bits only if they are
grey. Of all others it is given the samples as one grey picture in a file made for it: libtiff
decompresses them, and what they mean is decided here.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rainkit.errors import one_line
from rainkit.images import tags
from rainkit.images.picture import Pixels
from rainkit.images.tags import Directory, Entry

__all__ = [
    "SIGNATURES",
    "Layout",
    "colours",
    "directories",
    "is_raw",
    "layout",
    "unsupported",
]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first bytes of TIFF and BigTIFF files."""

# Tags of TIFF 6.0, section 8 and 15 to 21, and of the DNG specification.
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _OFFSETS, _ORIENTATION, _SAMPLES, _ROWS, _BYTE_COUNTS = 266, 273, 274, 277, 278, 279
_PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS = 284, 317, 322, 323, 324
_TILE_BYTE_COUNTS, _SUB_DIRECTORIES, _INK_SET, _EXTRA, _FORMAT = 325, 330, 332, 338, 339
_SUBSAMPLING, _DNG_VERSION = 530, 50706

_COLOUR_FILTERS = (32803, 34892)
"""Photometric interpretations of raws (DNG specification): a colour filter array, linear raw."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_DEPTHS = {
    _WHITE_IS_ZERO: (1, 2, 4, 8, 10, 12, 14, 16),
    _BLACK_IS_ZERO: (1, 2, 4, 8, 10, 12, 14, 16),
    _RGB: (8, 10, 12, 14, 16),
    _PALETTE: (1, 2, 4, 8),
    _CMYK: (8,),
    _YCBCR: (8,),
}
_NAMES = {4: "a transparency mask", 8: "CIE L*a*b* colours", 9: "ICC L*a*b* colours"}
_NAMES |= {10: "ITU L*a*b* colours", 32844: "LogL samples", 32845: "LogLuv samples"}

_NONE, _OLD_JPEG, _JPEG, _PACK_BITS = 1, 6, 7, 32773
_OF_BYTES = (_NONE, 5, 8, 32946, _PACK_BITS, 34925, 50000)
"""Compressions of bytes, whatever they mean: LZW, Deflate, PackBits, LZMA, Zstandard."""
_UNSPECIFIED, _ASSOCIATED, _UNASSOCIATED, _COREL = 0, 1, 2, 999
_MASK = 4
_MAX_SAMPLES = 64


class Layout(NamedTuple):
    """What the tags of a page declare.

    Attributes:
        directory: the tags.
        width: width in px as stored.
        height: height in px as stored.
        photometric: what the samples are, or -1 if the file does not say.
        bits: bits per sample, of each sample.
        samples: samples per pixel.
        extra: meanings of the samples after the colours; RGB with a fourth sample of which
            nothing is said has alpha.
        planar: whether each sample has a plane of its own.
        compression: how the samples are compressed.
    """

    directory: Directory
    width: int
    height: int
    photometric: int
    bits: tuple[int, ...]
    samples: int
    extra: tuple[int, ...]
    planar: bool
    compression: int

    @property
    def aside(self) -> bool:
        """Whether the page is a smaller copy of another one, or a mask for it."""
        return bool(self.directory.number(_SUBFILE, 0) & 5) or self.photometric == _MASK

    @property
    def orientation(self) -> int:
        """The EXIF orientation, 1 to 8."""
        try:
            value = self.directory.number(_ORIENTATION, 1)
        except ValueError:  # which does not matter for the pixels
            return 1
        return value if value in range(1, 9) else 1

    @property
    def own(self) -> bool:
        """Whether :func:`colours` reads the file, because Pillow does not do it correctly."""
        if self.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or self.bits[0] < 8:
            return False
        if self.compression not in _OF_BYTES:
            return False
        if self.bits[0] > 8 or (self.planar and self.samples > 1):
            return True
        if self.directory.big and self.directory.order == ">":  # Pillow takes them for classic ones
            return True
        rgb = self.photometric == _RGB
        return bool(self.extra) and not (rgb and self.extra[0] and len(self.extra) == 1)


def is_raw(data: bytes) -> bool:
    """Return whether a TIFF file is a camera raw, whose first directory is often a thumbnail."""
    try:
        first = tags.first(data)
        if _DNG_VERSION in first.entries or first.number(_PHOTOMETRIC, 0) in _COLOUR_FILTERS:
            return True
        if not first.number(_SUBFILE, 0) & 1:
            return False
        return any(
            tags.parse(data, offset, first.order, first.big).number(_PHOTOMETRIC, 0)
            in _COLOUR_FILTERS
            for offset in first.numbers(_SUB_DIRECTORIES)[:16]
        )
    except tags.BROKEN:
        return False


def directories(data: bytes) -> list[Directory]:
    """Return the tags of all pages.

    Raises:
        ValueError: The tags are damaged, or the pages follow each other in a circle.
    """
    try:
        found = [tags.first(data)]
        seen: set[int] = set()
        while (offset := found[-1].following) != 0:
            if offset in seen:
                raise ValueError("its pages follow each other in a circle")
            seen.add(offset)
            found.append(tags.parse(data, offset, found[0].order, found[0].big))
    except tags.BROKEN as error:
        raise ValueError(f"the tags of its pages cannot be read ({one_line(error)})") from error
    return found


def layout(data: bytes, page: Directory | None = None) -> Layout:
    """Return what the tags of a page declare.

    Args:
        data: the file.
        page: the tags of the page; None for the first one.

    Raises:
        ValueError: The tags are damaged or contradict each other.
    """
    try:
        first = tags.first(data) if page is None else page
    except tags.BROKEN as error:
        raise ValueError("its tags cannot be read") from error
    width, height = first.number(_WIDTH, 0), first.number(_HEIGHT, 0)
    if width < 1 or height < 1:
        raise ValueError("its tags tell no width and height")
    compression = first.number(_COMPRESSION, _NONE)
    # JPEG says itself how many samples there are and what they mean.
    jpeg = compression in (_OLD_JPEG, _JPEG)
    photometric = _YCBCR if compression == _OLD_JPEG else first.number(_PHOTOMETRIC, -1)
    samples = first.number(_SAMPLES, 3 if jpeg and photometric in (_RGB, _YCBCR) else 1)
    if not 0 < samples <= _MAX_SAMPLES:
        raise ValueError(f"its tags tell {samples} samples per pixel")
    bits = first.numbers(_BITS, (1,))
    bits = bits * samples if len(bits) == 1 else bits[:samples]
    number, extra = _COLOURS.get(photometric, 1), first.numbers(_EXTRA)
    if samples == number + 1 and not extra:
        extra = (_UNASSOCIATED,)
    return Layout(
        directory=first,
        width=width,
        height=height,
        photometric=photometric,
        bits=bits,
        samples=samples,
        extra=extra,
        planar=first.number(_PLANAR, 1) == 2,
        compression=compression,
    )


def unsupported(found: Layout) -> str | None:
    """Return what of a file is not supported, as in 'has ...', or None."""
    first, photometric = found.directory, found.photometric
    if first.number(_SUBFILE, 0) & 1:
        return "a preview as its first page"
    if first.number(_SUBFILE, 0) & 4 or photometric not in _COLOURS:
        if photometric == -1:
            return "no tag that tells what its samples mean"
        return _NAMES.get(photometric, f"the photometric interpretation {photometric}")
    formats = set(first.numbers(_FORMAT, (1,)))
    if formats != {1}:
        signed = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
        return f"{signed.get(max(formats), 'undefined')} samples"
    if len(set(found.bits)) != 1 or len(found.bits) != found.samples:
        return f"samples of {', '.join(map(str, found.bits))} bits"
    if found.bits[0] not in _DEPTHS[photometric]:
        kind = " of CMYK" if photometric == _CMYK else ""
        return f"samples of {found.bits[0]} bits{kind}"
    if found.samples - len(found.extra) != _COLOURS[photometric] and not (
        photometric == _YCBCR and found.samples == 1  # grey in JPEG
    ):
        return f"{found.samples} samples per pixel, of which its tags do not tell the meaning"
    if not set(found.extra) <= {_UNSPECIFIED, _ASSOCIATED, _UNASSOCIATED, _COREL}:
        return f"extra samples of the unknown kinds {found.extra}"
    if first.number(_PLANAR, 1) not in (1, 2):
        return f"the planar configuration {first.number(_PLANAR, 1)}"
    if photometric == _CMYK and first.number(_INK_SET, 1) != 1:
        return "other inks than cyan, magenta, yellow and black"
    if photometric == _WHITE_IS_ZERO and _ASSOCIATED in found.extra:
        return "associated alpha beside a grey whose zero is white"
    sampled = first.numbers(_SUBSAMPLING, (2, 2))
    if photometric == _YCBCR and found.compression == _NONE and sampled != (1, 1):
        return "subsampled YCbCr without compression"
    if found.bits[0] > 8:
        if found.compression not in _OF_BYTES:
            return f"{found.bits[0]} bits and the compression {found.compression}"
        predictor = first.number(_PREDICTOR, 1)
        if predictor not in (1, 2) or (predictor == 2 and found.bits[0] != 16):
            return f"{found.bits[0]} bits and the predictor {predictor}"
    return None


def colours(data: bytes, found: Layout) -> tuple[Pixels, Pixels | None]:
    """Return colours [H, W] or [H, W, 3] and alpha [H, W] or None, as stored, not turned.

    Samples of 10, 12 and 14 bits are scaled to 16 bits, a white that is zero is inverted, and
    colours that are multiplied by alpha are divided by it.

    Args:
        data: the file.
        found: its layout, of which :func:`unsupported` says nothing and ``own`` is True.

    Raises:
        ValueError: Its tags contradict each other.
        Exception: Pillow's, of many classes, if the samples are damaged.
    """
    samples = _samples(data, found)
    number = _COLOURS[found.photometric]
    depth, largest = found.bits[0], np.iinfo(samples.dtype).max
    if 8 < depth < 16:
        scale = np.rint(np.arange(2**depth) * (largest / (2**depth - 1))).astype(np.uint16)
        samples = scale[samples]
    colour = samples[..., :number]
    colour = np.ascontiguousarray(colour) if samples.flags.writeable else colour.copy()
    if found.photometric == _WHITE_IS_ZERO:
        colour = largest - colour
    alpha = None
    opacities = [place for place, kind in enumerate(found.extra) if kind != _UNSPECIFIED]
    if opacities:
        alpha = samples[..., number + opacities[0]].copy()
        if found.extra[opacities[0]] == _ASSOCIATED:
            colour = _divided(colour, alpha)
    return colour[..., 0] if number == 1 else colour, alpha


def _divided(colour: Pixels, alpha: Pixels) -> Pixels:
    """Divide colours by alpha and round to the nearest level; transparent ones become black."""
    largest, by = np.iinfo(colour.dtype).max, np.maximum(alpha, 1)[..., None].astype(np.uint32)
    quotient = (colour.astype(np.uint32) * largest + by // 2) // by
    quotient[alpha == 0] = 0
    return np.asarray(np.minimum(quotient, largest), colour.dtype)


def _samples(data: bytes, found: Layout) -> Pixels:
    """Return all samples, [H, W, samples]: uint8, or uint16 for more than 8 bits."""
    first, planes = found.directory, found.samples if found.planar else 1
    tiled = _TILE_OFFSETS in first.entries
    offsets = first.numbers(_TILE_OFFSETS if tiled else _OFFSETS)
    sizes = first.numbers(_TILE_BYTE_COUNTS if tiled else _BYTE_COUNTS)
    width = first.number(_TILE_WIDTH, 0) if tiled else found.width
    rows = min(first.number(_TILE_HEIGHT, 0) if tiled else first.number(_ROWS, 2**32), 2**31)
    rows = rows if tiled else min(rows, found.height)
    if width < 1 or rows < 1:
        raise ValueError("its tiles or strips have no size")
    pieces = -(-found.width // width) * -(-found.height // rows)
    raw = found.compression == _NONE and not tiled and found.bits[0] in (8, 16)
    raw = raw and first.number(_FILL_ORDER, 1) == 1
    sizes = (0,) * len(offsets) if raw else sizes  # which some programs write wrongly
    if len(offsets) != planes * pieces or len(sizes) != planes * pieces:
        raise ValueError("its tags do not tell where all tiles or strips are")
    read = []
    for plane in range(planes):
        place = slice(plane * pieces, (plane + 1) * pieces)
        grid = _Grid(found.width, width, rows, found.samples // planes, tiled)
        if raw:
            read.append(_raw_plane(data, found, grid, offsets[place]))
        else:
            read.append(_plane(data, found, grid, offsets[place], sizes[place]))
    return read[0] if planes == 1 else np.dstack(read)


class _Grid(NamedTuple):
    """Tiles or strips of a plane: widths of the picture and of a piece, rows, samples per pixel."""

    across: int
    width: int
    rows: int
    channels: int
    tiled: bool


def _raw_plane(data: bytes, found: Layout, grid: _Grid, offsets: tuple[int, ...]) -> Pixels:
    """Return the samples of a plane that are not compressed, [H, W, channels]."""
    dtype = np.dtype(f"{found.directory.order}u{found.bits[0] // 8}")
    row, strips, left = grid.across * grid.channels, [], found.height
    for offset in offsets:
        number = row * min(grid.rows, left)
        left -= grid.rows
        if offset + number * dtype.itemsize > len(data):
            raise ValueError("it is truncated")
        strips.append(np.frombuffer(data, dtype, number, offset))
    samples = np.concatenate(strips) if len(strips) > 1 else strips[0]
    native = samples.astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(found.height, grid.across, grid.channels)


def _plane(
    data: bytes, found: Layout, grid: _Grid, offsets: tuple[int, ...], sizes: tuple[int, ...]
) -> Pixels:
    """Return the samples of a plane, [H, W, channels]."""
    depth, order = found.bits[0], found.directory.order
    whole = depth in (8, 16)  # or else the bytes are read, and the bits are taken out of them

    def units(pixels: int) -> int:
        return pixels * grid.channels if whole else -(-pixels * grid.channels * depth // 8)

    body, places = bytearray(b"\0" * 8), []
    for offset, size in zip(offsets, sizes, strict=True):
        if offset + size > len(data):
            raise ValueError("it is truncated")
        places.append(len(body))
        body += data[offset : offset + size]
    body += b"\0" * (len(body) % 2)
    columns = -(-grid.across // grid.width) * grid.width if grid.tiled and not whole else 0
    values: dict[int, tuple[int, ...]] = {
        _WIDTH: (units(columns or grid.across),),
        _HEIGHT: (found.height,),
        _BITS: (depth if whole else 8,),
        _COMPRESSION: (found.compression,),
        _PHOTOMETRIC: (_BLACK_IS_ZERO,),
        _SAMPLES: (1,),
        _FILL_ORDER: (found.directory.number(_FILL_ORDER, 1),),
    }
    if grid.tiled:
        values |= {_TILE_WIDTH: (units(grid.width),), _TILE_HEIGHT: (grid.rows,)}
        values |= {_TILE_OFFSETS: tuple(places), _TILE_BYTE_COUNTS: sizes}
    else:
        values |= {_ROWS: (grid.rows,), _OFFSETS: tuple(places), _BYTE_COUNTS: sizes}
    kinds = {tag: "H" if tag in (_BITS, _COMPRESSION, _PHOTOMETRIC) else "I" for tag in values}
    entries = {tag: Entry.of(kinds[tag], order, *given) for tag, given in values.items()}
    body[:8] = tags.head(order, len(body))
    body += tags.pack(entries, order, len(body))
    file = io.BytesIO(body)
    del body  # of large pictures each copy counts
    with Image.open(file, formats=("TIFF",)) as image:
        image.load()
        file.close()
        read = np.asarray(image)
    del image
    if whole:
        samples = read.astype(np.uint8 if depth == 8 else np.uint16, copy=False)
    else:
        samples = _unpacked(read, depth, units(grid.width), grid.width * grid.channels)
        samples = samples[:, : grid.across * grid.channels]
    pixels = samples.reshape(found.height, grid.across, grid.channels)
    # libtiff ignores the predictor of the other compressions, too.
    predicted = found.compression not in (_NONE, _PACK_BITS)
    if predicted and found.directory.number(_PREDICTOR, 1) == 2:
        pixels = pixels.copy()
        for left in range(0, grid.across, grid.width):
            piece = pixels[:, left : left + grid.width]
            np.cumsum(piece, axis=1, dtype=piece.dtype, out=piece)
    return pixels


def _unpacked(read: NDArray[np.uint8], depth: int, size: int, number: int) -> NDArray[np.uint16]:
    """Take samples of ``depth`` bits out of bytes, of which each piece of a row has ``size``."""
    weights = (1 << np.arange(depth)[::-1]).astype(np.uint16)
    rows = []
    for row in read:
        bits = np.unpackbits(row.reshape(-1, size), axis=1)[:, : number * depth]
        rows.append((bits.reshape(-1, depth) @ weights).astype(np.uint16))
    return np.stack(rows)
