"""Paired augmentation through albumentations: what happens to one picture happens to both.

Every draw comes from the sample's own seed, so that the same sample is the same pixels whatever
the worker count.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import albumentations as A

__all__ = ["Augmentation"]

Picture = NDArray[np.uint8]


class Augmentation:
    """A random square crop of both pictures, then flips and quarter turns of both.

    Pictures smaller than the crop are extended by reflection.
    """

    def __init__(self, patch: int, *, turn: bool) -> None:
        # It asks the network for its newest version at import otherwise.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations as A
        import cv2

        steps: list[A.BasicTransform] = [
            A.PadIfNeeded(patch, patch, border_mode=cv2.BORDER_REFLECT_101),
            A.RandomCrop(patch, patch),
        ]
        if turn:
            steps.append(A.D4(p=1.0))
        self._pair: A.Compose = A.Compose(steps, additional_targets={"clean": "image"})

    def __call__(self, rainy: Picture, clean: Picture, seed: int) -> tuple[Picture, Picture]:
        """Two HWC uint8 pictures of one size -> two of ``patch`` x ``patch``."""
        self._pair.set_random_seed(seed)
        both = self._pair(image=rainy, clean=clean)
        return both["image"], both["clean"]
