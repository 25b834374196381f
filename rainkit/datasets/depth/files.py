"""Reading the numbers of depth maps from files, whatever their unit is."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from rainkit import images
from rainkit.errors import DatasetError, RainkitError, UsageError

__all__ = ["SUFFIXES", "Values", "read_values"]

SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr")
"""Suffixes, in lower case, of files that may be depth maps."""

Values: TypeAlias = npt.NDArray[Any]
"""uint8, uint16 or float32 [H, W]."""

_ARRAY = "depth"  # name of the array in an .npz file
_CHANNELS = ("z", "y", "depth")  # names, in lower case, of channels in an .exr file


def read_values(path: Path) -> Values:
    """Read one channel of numbers, uint8, uint16 or float32 [H, W].

    The suffix of the file determines its format. Wider floats are narrowed. A file with several
    channels is accepted if all of them are equal.

    Raises:
        DatasetError: The suffix is unknown, the file is damaged, its channels differ, or its
            numbers have another type.
        ImageError: A PNG or TIFF file cannot be read.
        UsageError: The file is OpenEXR, and the package that reads it is missing.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: is not a depth map; use one of {', '.join(SUFFIXES)}")
    try:
        values = _one_channel(reader(path), path)
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite
                return np.ascontiguousarray(values, np.float32)
    except RainkitError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise DatasetError(f"{path}: does not fit into memory") from error
    except Exception as error:  # decoders raise errors of many classes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(f"{path}: is damaged ({reason}); write it again") from error
    if values.dtype not in (np.uint8, np.uint16):
        raise DatasetError(f"{path}: holds {values.dtype}; save it as uint16 or float32")
    return np.ascontiguousarray(values)


def _one_channel(values: Values, path: Path) -> Values:
    if values.ndim == 3 and values.shape[2] >= 1:
        first = values[..., 0]
        if any(not np.array_equal(first, values[..., i]) for i in range(1, values.shape[2])):
            raise DatasetError(
                f"{path}: has {values.shape[2]} channels that differ, as colours do; save the "
                "depth map with one channel"
            )
        values = first
    if values.ndim != 2 or 0 in values.shape:
        raise DatasetError(f"{path}: has the shape {list(values.shape)}, not [height, width]")
    return values


def _picture(path: Path) -> Values:
    return images.read(path).rgb


def _tiff(path: Path) -> Values:
    """Read floats with Pillow, which refuses truncated files, and other numbers as a picture."""
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            if image.mode == "F":
                return np.array(image)
    except UnidentifiedImageError:
        pass  # the error of the picture reader says what is wrong
    return _picture(path)


def _npy(path: Path) -> Values:
    with path.open("rb") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _npz(path: Path) -> Values:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        if _ARRAY not in arrays:
            held = ", ".join(arrays) or "nothing"
            raise DatasetError(f"{path}: holds {held}; name the array {_ARRAY!r}")
        return np.asarray(arrays[_ARRAY])


def _pfm(path: Path) -> Values:
    """Read a portable float map: rows go from the bottom up; little-endian if the scale is < 0."""
    data = path.read_bytes()
    header = re.match(rb"(P[Ff])\s+(\d+)\s+(\d+)\s+([-+.\deE]+)\s", data)
    if header is None:
        raise DatasetError(f"{path}: is not a portable float map; write it again")
    kind, width, height, scale = header.groups()
    shape = int(height), int(width), 3 if kind == b"PF" else 1
    count = shape[0] * shape[1] * shape[2]
    order = "<f4" if float(scale) < 0 else ">f4"
    values: Values = np.frombuffer(data, order, count, header.end())
    return values.reshape(shape)[::-1]


def _exr(path: Path) -> Values:
    try:
        import OpenEXR
    except ImportError as error:
        raise UsageError(
            f'{path}: reading OpenEXR needs another package: pip install "rainkit[exr]"'
        ) from error
    path.open("rb").close()  # the library's own errors do not say that a file is missing
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for name, channel in file.channels().items()}
    for name in sorted(channels):
        if name.rpartition(".")[2].casefold() in _CHANNELS:
            return np.asarray(channels[name])
    return np.dstack(list(channels.values()))


_READERS = {
    ".png": _picture,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".npy": _npy,
    ".npz": _npz,
    ".pfm": _pfm,
    ".exr": _exr,
}
