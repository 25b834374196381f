"""Paired augmentation through albumentations: what happens to one picture happens to both.

Every draw comes from the sample's own seed, so that the same sample is the same pixels whatever
the worker count.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import cv2
import numpy as np

from rainkit.api import Training
from rainkit.images import RGB8, shrink

if TYPE_CHECKING:
    import albumentations as A

__all__ = ["Augmentation"]

# What a sample's seed is extended by; albumentations has the seed itself, enlargement has 3.
_CUT, _COLOURS, _FLIPS = 1, 2, 4


class Augmentation:
    """A random square crop of both pictures, then flips, or flips and quarter turns, of both.

    A quarter turn lays rain on its side: a network that sees it takes horizontal lines of the scene
    for rain. Flips keep rain near the vertical.

    Pictures smaller than the crop are extended by reflection. With ``training.whole`` there is no
    such crop: pictures are shrunk to that longest side, and lose what their sides are longer than
    a multiple. In a share of samples, ``training.photometric``, brightness, contrast, gamma, hue
    and saturation of both change by the same draws.

    Args:
        training: says which of these.
        multiple_of: sides of whole pictures are multiples of this.
    """

    def __init__(self, training: Training, *, multiple_of: int = 1) -> None:
        # It asks the network for its newest version at import otherwise.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations as A

        self._whole, self._multiple = training.whole, multiple_of
        self._share = training.photometric
        steps: list[A.BasicTransform] = []
        if not training.whole:
            patch = training.patch
            steps += [
                A.PadIfNeeded(patch, patch, border_mode=cv2.BORDER_REFLECT_101),
                A.RandomCrop(patch, patch),
            ]
        self._flips = training.augment == "flips"
        if training.augment == "d4":
            steps.append(A.D4(p=1.0))
        both = {"clean": "image"}
        self._pair: A.Compose = A.Compose(steps, additional_targets=both)
        # Apart from the others: what is cropped and turned must not depend on them.
        colours: list[A.BasicTransform] = [
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=1.0),
            A.RandomGamma(gamma_limit=(70, 140), p=1.0),
            A.HueSaturationValue(hue_shift_limit=10, sat_shift_limit=30, val_shift_limit=0, p=1.0),
        ]
        self._colours: A.Compose = A.Compose(colours, additional_targets=both)

    def __call__(self, rainy: RGB8, clean: RGB8, seed: int) -> tuple[RGB8, RGB8]:
        """Two HWC uint8 pictures of one size -> two of ``patch`` x ``patch``, or whole ones."""
        if self._whole:
            rainy, clean = shrink(rainy, self._whole), shrink(clean, self._whole)
            rows, columns = self._cut(rainy.shape[:2], np.random.default_rng([seed, _CUT]))
            rainy, clean = (self._extended(each)[rows, columns] for each in (rainy, clean))
        rainy, clean = _apply(self._pair, rainy, clean, seed)
        if self._flips:
            # albumentations would draw both flips, and the crop's place, from the same numbers.
            down, right = np.random.default_rng([seed, _FLIPS]).choice((1, -1), 2)
            rainy, clean = (np.ascontiguousarray(each[::down, ::right]) for each in (rainy, clean))
        if self._share:
            rng = np.random.default_rng([seed, _COLOURS])
            if rng.random() < self._share:
                rainy, clean = _apply(self._colours, rainy, clean, int(rng.integers(2**31)))
        return rainy, clean

    def _cut(self, sides: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
        """Where to cut a picture so that its sides are multiples, a random few pixels in."""
        cuts = []
        for side in sides:
            kept = max(side // self._multiple, 1) * self._multiple
            start = int(rng.integers(max(side - kept, 0) + 1))
            cuts.append(slice(start, start + kept))
        return tuple(cuts)

    def _extended(self, picture: RGB8) -> RGB8:
        """By reflection, where a side is shorter than the smallest multiple."""
        down, right = (max(self._multiple - side, 0) for side in picture.shape[:2])
        if not (down or right):
            return picture
        border = cv2.BORDER_REFLECT_101
        return np.asarray(cv2.copyMakeBorder(picture, 0, down, 0, right, border), np.uint8)


def _apply(steps: A.Compose, rainy: RGB8, clean: RGB8, seed: int) -> tuple[RGB8, RGB8]:
    steps.set_random_seed(seed)
    both = steps(image=rainy, clean=clean)
    return both["image"], both["clean"]
