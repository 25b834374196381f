"""Pictures in files and in memory: finding, decoding, encoding and conversion to tensors."""

from __future__ import annotations

from rainkit.images.atomic import atomic_path
from rainkit.images.convert import to_array, to_tensor, to_uint8
from rainkit.images.find import SUFFIXES, Found, find
from rainkit.images.metadata import fits, metadata
from rainkit.images.picture import Picture, Pixels
from rainkit.images.read import decode, read, size
from rainkit.images.write import encode, write

__all__ = [
    "SUFFIXES",
    "Found",
    "Picture",
    "Pixels",
    "atomic_path",
    "decode",
    "encode",
    "find",
    "fits",
    "metadata",
    "read",
    "size",
    "to_array",
    "to_tensor",
    "to_uint8",
    "write",
]
