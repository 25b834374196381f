"""Camera files of stereo pictures, with which disparity is converted to depth."""

from __future__ import annotations

import json
import math
from pathlib import Path

from rainkit.errors import DatasetError

__all__ = ["baseline_times_focal", "find_camera"]


def find_camera(disparity: Path) -> Path:
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
        "add --depth-camera FILE; for disparity of unknown scale add --depth-format disparity"
    )


def baseline_times_focal(camera: Path) -> float:
    """Return the depth in metres at a disparity of 1 px.

    It is ``extrinsic.baseline`` times ``intrinsic.fx``.

    Raises:
        DatasetError: The file cannot be read, or one of the values is missing.
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
            f"{camera}: is not a camera file; it needs extrinsic.baseline (m) and intrinsic.fx (px)"
        )
    return product
