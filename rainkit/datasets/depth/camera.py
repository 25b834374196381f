"""Cameras of stereo pictures, which turn disparity into depth."""

from __future__ import annotations

import json
import math
from pathlib import Path

from rainkit.errors import DatasetError

__all__ = ["baseline_times_focal", "find_camera"]


def find_camera(disparity: Path) -> Path:
    """The camera file of a Cityscapes disparity map.

    ``A_camera.json`` for ``A_disparity.png``, in the same folder or at the same place below a
    folder ``camera`` instead of ``disparity``.

    Raises:
        DatasetError: there is none.
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
        f"{disparity}: disparity is no distance without the camera: put {name} beside it, or add "
        "--depth-camera FILE; for disparity of unknown scale add --depth-format disparity"
    )


def baseline_times_focal(camera: Path) -> float:
    """Depth in metres of a disparity of 1 px: ``extrinsic.baseline`` times ``intrinsic.fx``.

    Raises:
        DatasetError: the file cannot be read or says neither.
    """
    try:
        data = json.loads(camera.read_text(encoding="utf-8"))
        product = float(data["extrinsic"]["baseline"]) * float(data["intrinsic"]["fx"])
    except OSError as error:
        raise DatasetError(f"{camera}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError):
        product = math.nan
    if not (math.isfinite(product) and product > 0):
        raise DatasetError(
            f"{camera}: is no camera file; it needs extrinsic.baseline (m) and intrinsic.fx (px)"
        )
    return product
