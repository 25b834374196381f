"""Depth maps from files: what their numbers mean, in metres, with holes filled."""

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

_HIGHEST_MM, _MEDIAN_MM = 20_000, 500  # of maps that are taken for millimetres
_SPECKLE = 0.001  # of the picture: smaller patches of disparity are mismatches
_SUBPIXEL = 16  # neighbours within a disparity of 1 px, in 1/16 px, belong together
_SPECK = np.ones((5, 5), np.uint8)  # px: smaller patches of infinity are holes, not sky
_FLAGS = "--depth-format relative (larger is farther) or disparity (larger is nearer)"


class _Known(NamedTuple):
    """Metres [H, W] where ``valid``, anything elsewhere."""

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

    Floats are metres unless ``form`` says otherwise. uint16 without a ``form`` is a guess: one in
    millimetres has no value above 20000 and a median over 500; all others are taken for KITTI's.
    Values that are 0, negative, infinite or NaN are unknown, except 0 in ``relative`` and
    ``disparity``, the end of their range. So are patches of Cityscapes disparity below 0.1 % of the
    picture. What is unknown is the sky at 500 m where it looks like sky or is infinite, and
    elsewhere as far as the nearest pixel that is known.

    Args:
        path: the map, of the photograph's size.
        clean: the photograph, uint8 [H, W, 3] RGB.
        form: one of FORMATS, or None.
        camera: a ``*_camera.json`` for Cityscapes disparity; default: the one beside the map.

    Raises:
        DatasetError: another size, no unit, no valid pixel, no camera, or a damaged file.
        ImageError: a PNG or TIFF file that cannot be read.
        UsageError: an OpenEXR file, and the package that reads them is missing.
    """
    values = read_values(path)
    if values.shape != clean.shape[:2]:
        raise DatasetError(
            f"{path}: is {values.shape[1]}x{values.shape[0]}, its photograph "
            f"{clean.shape[1]}x{clean.shape[0]}; make them one size"
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
    # Not from the sky: trees above the reach of a laser belong to what is below them.
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
    """What the numbers mean where nobody said it."""
    # A map of disparity read as depth would have near and far the wrong way round.
    disparity = path.stem.endswith("_disparity") or path.parent.name == "disparity"
    if values.dtype == np.uint8 or (disparity and values.dtype != np.uint16):
        what = "a disparity map" if disparity else "8-bit"
        raise DatasetError(
            f"{path}: is {what}, which has no unit: add {_FLAGS}, or give "
            "metres as float32 .npy, .pfm or .tif"
        )
    if values.dtype != np.uint16:
        return "metres"
    if disparity:
        return "cityscapes"
    millimetres = values.max() <= _HIGHEST_MM and np.median(values) > _MEDIAN_MM
    return ("mm" if millimetres else "kitti") + _GUESSED


def _kitti(values: Values, path: Path, camera: Path | None) -> _Known:
    # As rainkit's own maps, whose greatest value is the sky.
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
    patches = (values // 16).astype(np.int16)  # 1/16 px; below that is what matched nothing
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
    """Where a map of metres has whole areas of infinity, as renderers write for the sky."""
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
"""What the numbers of a map may mean."""
