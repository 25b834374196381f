"""HEIC and AVIF files: their boxes, and the pixels of HEIC through the package pillow-heif."""

from __future__ import annotations

import functools
import importlib.util
import io
import struct
from typing import Any, NamedTuple

import numpy as np
from PIL import features

from rainkit.errors import ImageError
from rainkit.images.picture import Encoding, Picture, Pixels, to_uint8

__all__ = [
    "AVIF_SUFFIXES",
    "HEIC_SUFFIXES",
    "Heic",
    "avif_bits",
    "colour_codes",
    "encode",
    "kind_of",
    "open_heic",
    "readable",
    "remedy",
    "with_colour_codes",
]

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
AVIF_SUFFIXES = frozenset({".avif"})

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)

_UNSPECIFIED, _BT709, _SRGB = 2, 1, 13
"""Codes of ITU-T H.273: of anything, of the primaries of sRGB, and of its transfer."""


class Heic(NamedTuple):
    """The primary picture of a HEIC file.

    Attributes:
        image: the picture of pillow-heif, which decodes its pixels when they are read.
        size: width and height in px, upright.
        info: what the file tells besides its pixels.
        others: number of further pictures, which are not read.
    """

    image: Any
    size: tuple[int, int]
    info: dict[str, Any]
    others: int

    def colours(self) -> tuple[Pixels, Pixels | None]:
        """Return colours [H, W] or [H, W, 3] and alpha [H, W] or None: uint8, or uint16 if deeper.

        Raises:
            Exception: pillow-heif's, of many classes, if the pixels are damaged.
        """
        samples = np.asarray(self.image)
        bits = int(self.info.get("bit_depth", 8))
        if samples.dtype != np.uint8:  # its lowest bits are empty, so that white is not the largest
            levels = (samples >> (16 - bits)).astype(np.float32)
            samples = np.rint(levels * (65535 / (2**bits - 1))).astype(np.uint16)
        name = str(self.image.mode).split(";")[0]
        alpha = None
        if name[-1] in "Aa":
            alpha = np.ascontiguousarray(samples[..., -1])
            samples = samples[..., :-1]
            if name[-1] == "a":
                samples = _divided(samples, alpha)
        colour = np.ascontiguousarray(samples[..., 0] if samples.shape[2:] == (1,) else samples)
        return colour if colour.flags.writeable else colour.copy(), alpha


def _divided(colour: Pixels, alpha: Pixels) -> Pixels:
    """Divide colours that are multiplied by alpha; transparent ones become black."""
    largest = int(np.iinfo(colour.dtype).max)
    by = np.maximum(alpha, 1)[..., None].astype(np.float32)
    quotient = np.rint(colour.astype(np.float32) * largest / by)
    return np.asarray(np.where(alpha[..., None] == 0, 0, quotient.clip(0, largest)), colour.dtype)


def kind_of(data: bytes) -> str | None:
    """Return ``HEIC``, ``AVIF``, or None for a file that is neither, by the brands it names."""
    if data[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(data[:4]), 256)
    brands = {data[place : place + 4] for place in (8, *range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


@functools.cache
def readable(kind: str) -> bool:
    """Return whether this installation reads and writes ``HEIC`` or ``AVIF``."""
    if kind == "AVIF":
        return bool(features.check("avif"))
    return importlib.util.find_spec("pillow_heif") is not None


def remedy(kind: str) -> str:
    """Return what to install to read HEIC or AVIF files."""
    return "pip install pillow-heif" if kind == "HEIC" else "pip install 'pillow>=11.3'"


def open_heic(data: bytes) -> Heic:
    """Return the primary picture of a HEIC file, without decoding its pixels.

    Raises:
        Exception: pillow-heif's, of many classes, if the file is damaged.
    """
    import pillow_heif

    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    primary = file[file.primary_index]
    return Heic(primary, primary.size, primary.info, len(file) - 1)


def colour_codes(data: bytes) -> tuple[int, int, int, int] | None:
    """Return primaries, transfer, matrix and range of ITU-T H.273; None if they say sRGB."""
    place = data.find(b"colrnclx", 0, 1 << 16)
    if place < 0 or len(data) < place + 15:
        return None
    primaries, transfer, matrix, full = struct.unpack_from(">3HB", data, place + 8)
    if primaries in (_UNSPECIFIED, _BT709) and transfer in (_UNSPECIFIED, _SRGB):
        return None
    return primaries, transfer, matrix, full >> 7


def with_colour_codes(data: bytes, primaries: int, transfer: int) -> bytes:
    """Return an AVIF file that says these primaries and this transfer of ITU-T H.273."""
    said = struct.pack(">2H", primaries, transfer)
    place = -1
    while (place := data.find(b"colrnclx", place + 1, 1 << 16)) >= 0:  # of pictures and of tracks
        data = data[: place + 8] + said + data[place + 12 :]
    return data


def avif_bits(data: bytes) -> int:
    """Return the bits per sample of an AVIF file (AV1 Codec ISO Media File Format, section 2.3)."""
    place = data.find(b"av1C", 0, 1 << 16)
    if place < 0 or len(data) < place + 7 or not data[place + 6] & 0x40:
        return 8
    return 12 if data[place + 6] & 0x20 else 10


def encode(picture: Picture, samples: Pixels, icc: bytes | None, quality: int | None) -> bytes:
    """Return the bytes of a HEIC file.

    Args:
        picture: the picture, for its metadata.
        samples: what is written: [H, W] or [H, W, C] of uint8 or uint16, alpha last.
        icc: the colour profile.
        quality: 1 to 100; None for 95.

    Raises:
        ImageError: pillow-heif is not installed, or cannot write HEIC files.
    """
    if not readable("HEIC"):
        raise ImageError(f"HEIC files cannot be written here: {remedy('HEIC')}")
    import pillow_heif

    height, width = samples.shape[:2]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[1 if samples.ndim == 2 else samples.shape[2]]
    options: dict[str, Any] = {}
    known = picture.encoding or Encoding()
    if samples.dtype != np.uint8:
        bits = known.bits if known.bits > 8 else 12
        levels = np.rint(samples.astype(np.float32) * ((2**bits - 1) / 65535)).astype(np.uint16)
        samples, options["bit_depth"], mode = levels << (16 - bits), bits, f"{mode};16"
    else:
        samples = to_uint8(samples)
    for kind, body in picture.chunks:
        if kind == b"cICP" and len(body) == 4:
            options |= {"color_primaries": body[0], "transfer_characteristics": body[1]}
            options |= {"matrix_coefficients": 9 if body[0] == 9 else 6, "full_range_flag": 1}
    if picture.exif is not None:
        options["exif"] = picture.exif
    if picture.xmp is not None:
        options["xmp"] = picture.xmp
    if icc is not None:
        options |= {"icc_profile": icc, "icc_profile_type": "prof"}
    file = io.BytesIO()
    made = pillow_heif.from_bytes(mode, (width, height), np.ascontiguousarray(samples).tobytes())
    made.save(
        file,
        quality=95 if quality is None else quality,
        chroma=(known.subsampling or "4:4:4").replace(":", ""),
        **options,
    )
    return file.getvalue()
