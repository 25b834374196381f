"""Depth maps in files: their formats and units, and the cameras of stereo pictures."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from rainkit import images
from rainkit.depth.depth_map import (
    NEAREST_M,
    SKY_M,
    DepthMap,
    Mask,
    Metres,
    decode,
    depth_from_disparity,
    depth_from_distance,
    fill,
)
from rainkit.depth.masks import sky_mask
from rainkit.errors import DatasetError, RainkitError, UsageError, one_line
from rainkit.files import system_reason
from rainkit.images import RGB8

__all__ = ["FORMATS", "GUESSED", "SUFFIXES", "read_map"]

SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".exr")
"""Suffixes, in lower case, of files that may be depth maps."""

_Values: TypeAlias = npt.NDArray[Any]
"""uint8, uint16 or float32 [H, W]."""

GUESSED = " (guessed)"
"""End of the kind of a map whose unit was told from its values."""

_HIGHEST_MM, _MEDIAN_MM = 20_000, 500  # highest value and least median of maps in millimetres
_SPECKLE = 0.001  # share of the picture; smaller patches of disparity are mismatches
_SUBPIXEL = 16  # in 1/16 px: neighbours whose disparity differs by at most 1 px belong together
_SPECK = np.ones((5, 5), np.uint8)  # px; smaller patches of infinity are holes, not sky
_FLAGS = "--set depth_format=relative (larger is farther) or =disparity (larger is nearer)"

_ARRAY = "depth"  # name of the array in an .npz file
_CHANNELS = ("z", "y", "depth")  # names, in lower case, of channels in an .exr file


class _Known(NamedTuple):
    """Depth in metres [H, W] where ``valid`` is True; the other values have no meaning."""

    z: Metres
    valid: Mask


def read_map(
    path: Path,
    clean: RGB8,
    *,
    form: str | None = None,
    camera: Path | None = None,
) -> DepthMap:
    """Read the depth map of a photograph.

    Without a ``form``, floats are metres, unless none is above 1 or there are three equal channels,
    which is how networks for relative depth, such as MiDaS, are saved, and is refused. The unit of
    uint16 is guessed: values are millimetres if none is above 20000 and their median is above 500,
    and KITTI's otherwise.

    _Values are unknown if they are 0, negative, infinite or NaN, except that 0 is the end of the
    range in ``relative`` and ``disparity``. Patches of Cityscapes disparity below 0.1 % of the
    picture are unknown, too. An unknown pixel becomes sky at 500 m if it looks like sky or is
    infinite, and otherwise gets the depth of the nearest known pixel.

    Args:
        path: the depth map, which must have the photograph's size.
        clean: the photograph, uint8 [H, W, 3] RGB.
        form: one of FORMATS, or None to go by the file.
        camera: a ``*_camera.json`` for Cityscapes disparity; None for the one beside the map.

    Raises:
        DatasetError: The map has another size, no unit, no valid pixel or no camera, or it is
            damaged.
        ImageError: A PNG or TIFF file cannot be read.
        UsageError: The file is OpenEXR, and the package that reads it is missing.
    """
    values, channels = _read_values(path)
    if values.shape != clean.shape[:2]:
        raise DatasetError(
            f"{path}: is {values.shape[1]}x{values.shape[0]}, but its photograph is "
            f"{clean.shape[1]}x{clean.shape[0]}; make both the same size"
        )
    kind = form or _kind(values, path, channels)
    meaning = kind.removesuffix(GUESSED)
    if meaning in _SIXTEEN_BIT and values.dtype != np.uint16:
        raise DatasetError(f"{path}: holds {values.dtype}; depth_format {kind} is for uint16")
    known = _CONVERTERS[meaning](values, path, camera)
    if not known.valid.any():
        raise DatasetError(
            f"{path}: holds no depth: all values are 0, negative, infinite or NaN; leave it out"
        )
    metric = meaning not in ("relative", "disparity")
    # The sky is set after filling: trees above the reach of a laser get the depth below them.
    z = fill(known.z, known.valid)
    if metric and not known.valid.all():
        z[~known.valid & (sky_mask(clean) | _infinite(values))] = SKY_M
    return DepthMap(
        z=np.clip(z, NEAREST_M, SKY_M),
        valid=known.valid,
        metric=metric,
        kind=kind,
        source="map",
        file=path,
    )


def _kind(values: _Values, path: Path, channels: int) -> str:
    """Return the format of a map by its type, values and name."""
    # A disparity map that is read as depth would swap near and far.
    disparity = path.stem.endswith("_disparity") or path.parent.name == "disparity"
    if values.dtype == np.uint8 or (disparity and values.dtype != np.uint16):
        what = "a disparity map" if disparity else "8-bit"
        raise DatasetError(
            f"{path}: is {what}, which has no unit: add {_FLAGS}, or give metres as float32 in a "
            ".npy, .pfm or .tif file"
        )
    if values.dtype != np.uint16:
        known = values[np.isfinite(values) & (values > 0)]
        if known.size and (channels > 1 or float(known.max()) <= 1):
            what = f"{channels} equal channels of floats" if channels > 1 else "floats up to 1"
            raise DatasetError(
                f"{path}: holds {what}, which may be metres or depth without a unit, as MiDaS gives"
                f" it: add {_FLAGS} or =metres"
            )
        return "metres"
    if disparity:
        return "cityscapes"
    if _is_own(path):
        return "kitti"
    millimetres = values.max() <= _HIGHEST_MM and np.median(values) > _MEDIAN_MM
    return ("mm" if millimetres else "kitti") + GUESSED


def _is_own(path: Path) -> bool:
    """Return whether a map lies in the folder ``depth`` of a dataset of ``rainkit synth``."""
    return any(
        (parent.parent / "dataset.json").is_file()
        for parent in path.parents
        if parent.name == "depth"
    )


def _kitti(values: _Values, path: Path, camera: Path | None) -> _Known:
    # These are stored as rainkit's own maps, whose highest value is the sky.
    return _Known(decode(values), values > 0)


def _millimetres(values: _Values, path: Path, camera: Path | None) -> _Known:
    return _Known(values.astype(np.float32) / np.float32(1000), values > 0)


def _metres(values: _Values, path: Path, camera: Path | None) -> _Known:
    valid = np.isfinite(values) & (values > 0)
    if valid.any() and (middle := float(np.median(values[valid]))) > SKY_M:
        raise DatasetError(
            f"{path}: has a median of {middle:g}, too far for metres: convert it, or add {_FLAGS}"
        )
    return _Known(values, valid)


def _cityscapes(values: _Values, path: Path, camera: Path | None) -> _Known:
    disparity = (values.astype(np.float32) - 1) / np.float32(256)
    product = np.float32(_depth_at_one_px(camera or _find_camera(path)))
    patches = (values // 16).astype(np.int16)  # in 1/16 px; 0 if nothing matched
    cv2.filterSpeckles(patches, 0, round(_SPECKLE * values.size), _SUBPIXEL)
    return _Known(product / np.maximum(disparity, product / np.float32(SKY_M)), patches > 0)


def _relative(values: _Values, path: Path, camera: Path | None) -> _Known:
    return _unscaled(depth_from_distance, values, path)


def _disparity(values: _Values, path: Path, camera: Path | None) -> _Known:
    return _unscaled(depth_from_disparity, values, path)


def _unscaled(scale: Callable[[_Values, Mask, str], Metres], values: _Values, path: Path) -> _Known:
    valid = np.isfinite(values) & (values >= 0)
    return _Known(scale(values, valid, str(path)) if valid.any() else values, valid)


def _infinite(values: _Values) -> Mask:
    """Return the mask of whole areas of infinity, which renderers write for the sky."""
    infinite = np.isposinf(values).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(infinite, cv2.MORPH_OPEN, _SPECK), bool)


def _find_camera(disparity: Path) -> Path:
    """Return the camera file of a Cityscapes disparity map.

    The file of ``A_disparity.png`` is ``A_camera.json`` in the same folder, or at the same place
    below a folder ``camera`` instead of ``disparity``.

    Raises:
        DatasetError: There is no camera file.
    """
    name = f"{disparity.stem.removesuffix('_disparity')}_camera.json"
    places = [disparity.parent]
    parts = disparity.parent.parts
    if "disparity" in parts:
        at = len(parts) - 1 - parts[::-1].index("disparity")
        places.append(Path(*parts[:at], "camera", *parts[at + 1 :]))
    for place in places:
        if (place / name).is_file():
            return place / name
    raise DatasetError(
        f"{disparity}: disparity gives no distance without its camera: put {name} beside it, or "
        "add --set depth_camera=FILE; for disparity of unknown scale add "
        "--set depth_format=disparity"
    )


def _depth_at_one_px(camera: Path) -> float:
    """Return the depth in metres at a disparity of 1 px.

    It is ``extrinsic.baseline`` times ``intrinsic.fx``.

    Raises:
        DatasetError: The file cannot be read, or one of the values is missing.
    """
    try:
        data = json.loads(camera.read_text(encoding="utf-8"))
        product = float(data["extrinsic"]["baseline"]) * float(data["intrinsic"]["fx"])
    except OSError as error:
        raise DatasetError(f"{camera}: cannot be read ({system_reason(error)})") from error
    except (ValueError, KeyError, TypeError):
        product = math.nan
    if not (math.isfinite(product) and product > 0):
        raise DatasetError(
            f"{camera}: is not a camera file; it needs extrinsic.baseline (m) and intrinsic.fx (px)"
        )
    return product


def _read_values(path: Path) -> tuple[_Values, int]:
    """Read one channel of numbers, uint8, uint16 or float32 [H, W], and tell how many there are.

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
        stored = reader(path)
        channels = stored.shape[2] if stored.ndim == 3 else 1
        values = _one_channel(stored, path)
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite
                return np.ascontiguousarray(values, np.float32), channels
    except RainkitError:
        raise
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({system_reason(error)})") from error
    except MemoryError as error:
        raise DatasetError(f"{path}: does not fit into memory") from error
    except Exception as error:  # decoders raise errors of many classes
        raise DatasetError(f"{path}: is damaged ({one_line(error)}); write it again") from error
    if values.dtype not in (np.uint8, np.uint16):
        raise DatasetError(f"{path}: holds {values.dtype}; save it as uint16 or float32")
    return np.ascontiguousarray(values), channels


def _one_channel(values: _Values, path: Path) -> _Values:
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


def _picture(path: Path) -> _Values:
    return images.read(path).rgb


def _tiff(path: Path) -> _Values:
    """Read floats with Pillow, which refuses truncated files, and other numbers as a picture."""
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            if image.mode == "F":
                return np.array(image)
    except UnidentifiedImageError:
        pass  # the error of the picture reader says what is wrong
    return _picture(path)


def _npy(path: Path) -> _Values:
    with path.open("rb") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _npz(path: Path) -> _Values:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        if _ARRAY not in arrays:
            held = ", ".join(arrays) or "nothing"
            raise DatasetError(f"{path}: holds {held}; name the array {_ARRAY!r}")
        return np.asarray(arrays[_ARRAY])


def _pfm(path: Path) -> _Values:
    """Read a portable float map: rows go from the bottom up; little-endian if the scale is < 0."""
    data = path.read_bytes()
    header = re.match(rb"(P[Ff])\s+(\d+)\s+(\d+)\s+([-+.\deE]+)\s", data)
    if header is None:
        raise DatasetError(f"{path}: is not a portable float map; write it again")
    kind, width, height, scale = header.groups()
    shape = int(height), int(width), 3 if kind == b"PF" else 1
    count = shape[0] * shape[1] * shape[2]
    order = "<f4" if float(scale) < 0 else ">f4"
    values: _Values = np.frombuffer(data, order, count, header.end())
    return values.reshape(shape)[::-1]


def _exr(path: Path) -> _Values:
    try:
        import OpenEXR
    except ImportError as error:
        raise UsageError(
            f"{path}: reading OpenEXR needs another package: pip install OpenEXR"
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
_CONVERTERS: Mapping[str, Callable[[_Values, Path, Path | None], _Known]] = MappingProxyType(
    {
        "metres": _metres,
        "kitti": _kitti,
        "nyu": _millimetres,
        "mm": _millimetres,
        "cityscapes": _cityscapes,
        "relative": _relative,
        "disparity": _disparity,
    }
)
_SIXTEEN_BIT = frozenset({"kitti", "nyu", "mm", "cityscapes"})

FORMATS = tuple(_CONVERTERS)
"""Formats of depth maps, by which their numbers are converted to metres."""
