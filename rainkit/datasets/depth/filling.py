"""Filling of the holes in depth maps."""

from __future__ import annotations

import cv2
import numpy as np

from rainkit.datasets.depth.values import Mask, Metres

__all__ = ["fill"]


def fill(z: Metres, valid: Mask) -> Metres:
    """Give each pixel that is not ``valid`` the depth of the nearest pixel that is.

    Depths are copied and never mixed, so that no halo of intermediate depths appears around near
    objects. At least one pixel must be valid.
    """
    if valid.all():
        return z
    holes = (~valid).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels number the valid pixels from 1, in the order of rows.
    return np.ascontiguousarray(z[valid][np.asarray(nearest, np.int64) - 1])
