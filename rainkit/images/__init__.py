"""Pictures in files and in memory: finding, decoding, encoding and conversion to tensors."""

from __future__ import annotations

from rainkit.images.find import (
    SUFFIXES,
    VIDEO_SUFFIXES,
    PictureFile,
    find,
    left_out,
    pictures_below,
)
from rainkit.images.metadata import metadata, profile_fits
from rainkit.images.picture import (
    LUMA_WEIGHTS,
    RGB8,
    Animation,
    Encoding,
    Picture,
    Pixels,
    shrink,
    to_array,
    to_tensor,
    to_uint8,
)
from rainkit.images.read import MAX_PIXELS, decode, open_file, read, size
from rainkit.images.write import encode, not_held, write

__all__ = [
    "LUMA_WEIGHTS",
    "MAX_PIXELS",
    "RGB8",
    "SUFFIXES",
    "VIDEO_SUFFIXES",
    "Animation",
    "Encoding",
    "Picture",
    "PictureFile",
    "Pixels",
    "decode",
    "encode",
    "find",
    "left_out",
    "metadata",
    "not_held",
    "open_file",
    "pictures_below",
    "profile_fits",
    "read",
    "shrink",
    "size",
    "to_array",
    "to_tensor",
    "to_uint8",
    "write",
]
