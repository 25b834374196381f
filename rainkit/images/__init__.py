"""Pictures in files and in memory: finding, decoding, encoding and conversion to tensors."""

from __future__ import annotations

from rainkit.images.find import SUFFIXES, Found, find
from rainkit.images.metadata import fits, metadata
from rainkit.images.picture import (
    LUMA_WEIGHTS,
    Picture,
    Pixels,
    shrink,
    to_array,
    to_tensor,
    to_uint8,
)
from rainkit.images.read import decode, open_file, read, size
from rainkit.images.write import encode, write

__all__ = [
    "LUMA_WEIGHTS",
    "SUFFIXES",
    "Found",
    "Picture",
    "Pixels",
    "decode",
    "encode",
    "find",
    "fits",
    "metadata",
    "open_file",
    "read",
    "shrink",
    "size",
    "to_array",
    "to_tensor",
    "to_uint8",
    "write",
]
