"""Giving every pixel of a depth map with holes a depth."""

from __future__ import annotations

import cv2
import numpy as np

from rainkit.datasets.depth.values import Mask, Metres

__all__ = ["fill"]


def fill(z: Metres, valid: Mask) -> Metres:
    """Each pixel that is not ``valid`` gets the depth of the nearest one that is.

    Depths are copied, never mixed: at the edge of a near thing no halo of depths in between that
    nothing in the scene has. At least one pixel must be valid.
    """
    if valid.all():
        return z
    holes = (~valid).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels number the valid pixels from 1, in the order of rows.
    return np.ascontiguousarray(z[valid][np.asarray(nearest, np.int64) - 1])
