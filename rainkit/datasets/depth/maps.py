"""Depth maps from files: their numbers are converted to metres, and their holes are filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.datasets.depth.camera import baseline_times_focal, find_camera
from rainkit.datasets.depth.files import Values, read_values
from rainkit.datasets.depth.filling import fill
from rainkit.datasets.depth.looks import looks_like_sky
from rainkit.datasets.depth.relative import from_farness, from_nearness
from rainkit.datasets.depth.values import NEAREST_M, SKY_M, Depth, Mask, Metres, decode
from rainkit.errors import DatasetError

__all__ = ["FORMATS", "read_map"]

_GUESSED = " (guessed)"

_HIGHEST_MM, _MEDIAN_MM = 20_000, 500  # highest value and least median of maps in millimetres
_SPECKLE = 0.001  # share of the picture; smaller patches of disparity are mismatches
_SUBPIXEL = 16  # in 1/16 px: neighbours whose disparity differs by at most 1 px belong together
_SPECK = np.ones((5, 5), np.uint8)  # px; smaller patches of infinity are holes, not sky
_FLAGS = "--depth-format relative (larger is farther) or disparity (larger is nearer)"


class _Known(NamedTuple):
    """Depth in metres [H, W] where ``valid`` is True; the other values have no meaning."""

    z: Metres
    valid: Mask


def read_map(
    path: Path,
    clean: npt.NDArray[np.uint8],
    *,
    form: str | None = None,
    camera: Path | None = None,
) -> Depth:
    """Read the depth map of a photograph.

    Without a ``form``, floats are metres, and the unit of uint16 is guessed: values are millimetres
    if none is above 20000 and their median is above 500, and KITTI's otherwise.

    Values are unknown if they are 0, negative, infinite or NaN, except that 0 is the end of the
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
    values = read_values(path)
    if values.shape != clean.shape[:2]:
        raise DatasetError(
            f"{path}: is {values.shape[1]}x{values.shape[0]}, but its photograph is "
            f"{clean.shape[1]}x{clean.shape[0]}; make both the same size"
        )
    kind = form or _kind(values, path)
    meaning = kind.removesuffix(_GUESSED)
    if meaning in _SIXTEEN_BIT and values.dtype != np.uint16:
        raise DatasetError(f"{path}: holds {values.dtype}; --depth-format {kind} is for uint16")
    known = _READERS[meaning](values, path, camera)
    if not known.valid.any():
        raise DatasetError(
            f"{path}: holds no depth: all values are 0, negative, infinite or NaN; leave it out"
        )
    metric = meaning not in ("relative", "disparity")
    # The sky is set after filling: trees above the reach of a laser get the depth below them.
    z = fill(known.z, known.valid)
    if metric and not known.valid.all():
        z[~known.valid & (looks_like_sky(clean) | _infinite(values))] = SKY_M
    return Depth(
        z=np.clip(z, NEAREST_M, SKY_M),
        valid=known.valid,
        metric=metric,
        kind=kind,
        source="map",
        file=path,
    )


def _kind(values: Values, path: Path) -> str:
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
        return "metres"
    if disparity:
        return "cityscapes"
    millimetres = values.max() <= _HIGHEST_MM and np.median(values) > _MEDIAN_MM
    return ("mm" if millimetres else "kitti") + _GUESSED


def _kitti(values: Values, path: Path, camera: Path | None) -> _Known:
    # These are stored as rainkit's own maps, whose highest value is the sky.
    return _Known(decode(values), values > 0)


def _millimetres(values: Values, path: Path, camera: Path | None) -> _Known:
    return _Known(values.astype(np.float32) / np.float32(1000), values > 0)


def _metres(values: Values, path: Path, camera: Path | None) -> _Known:
    valid = np.isfinite(values) & (values > 0)
    if valid.any() and (middle := float(np.median(values[valid]))) > SKY_M:
        raise DatasetError(
            f"{path}: has a median of {middle:g}, too far for metres: convert it, or add {_FLAGS}"
        )
    return _Known(values, valid)


def _cityscapes(values: Values, path: Path, camera: Path | None) -> _Known:
    disparity = (values.astype(np.float32) - 1) / np.float32(256)
    product = np.float32(baseline_times_focal(camera or find_camera(path)))
    patches = (values // 16).astype(np.int16)  # in 1/16 px; 0 if nothing matched
    cv2.filterSpeckles(patches, 0, round(_SPECKLE * values.size), _SUBPIXEL)
    return _Known(product / np.maximum(disparity, product / np.float32(SKY_M)), patches > 0)


def _relative(values: Values, path: Path, camera: Path | None) -> _Known:
    return _unscaled(from_farness, values, path)


def _disparity(values: Values, path: Path, camera: Path | None) -> _Known:
    return _unscaled(from_nearness, values, path)


def _unscaled(scale: Callable[[Values, Mask, str], Metres], values: Values, path: Path) -> _Known:
    valid = np.isfinite(values) & (values >= 0)
    return _Known(scale(values, valid, str(path)) if valid.any() else values, valid)


def _infinite(values: Values) -> Mask:
    """Return the mask of whole areas of infinity, which renderers write for the sky."""
    infinite = np.isposinf(values).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(infinite, cv2.MORPH_OPEN, _SPECK), bool)


_READERS: Mapping[str, Callable[[Values, Path, Path | None], _Known]] = MappingProxyType(
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
FORMATS = tuple(_READERS)
"""Formats of depth maps, by which their numbers are converted to metres."""
