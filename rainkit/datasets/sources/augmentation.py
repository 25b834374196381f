"""Paired augmentation through albumentations: both pictures of a pair are changed alike.

Every draw comes from the sample's own seed, so that a sample has the same pixels for any number of
workers.
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

# Numbers that extend a sample's seed; albumentations takes the seed itself, enlargement takes 3.
_CUT, _COLOURS, _FLIPS = 1, 2, 4


class Augmentation:
    """A random square crop of both pictures, followed by flips, or by flips and quarter turns.

    Quarter turns make rain horizontal, so that a network learns to take horizontal lines of the
    scene for rain. Flips keep rain near the vertical.

    Pictures smaller than the crop are extended by reflection. With ``training.whole``, pictures
    are not cropped to squares but shrunk to that longest side, and their sides are cut to a
    multiple. In the share ``training.photometric`` of samples, brightness, contrast, gamma, hue and
    saturation of both pictures change alike.

    Args:
        training: settings that select these steps.
        multiple_of: number that the sides of whole pictures are multiples of.
    """

    def __init__(self, training: Training, *, multiple_of: int = 1) -> None:
        # Otherwise albumentations asks the network for its newest version when it is imported.
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
        # Colours are apart from the other steps, whose draws must not depend on them.
        colours: list[A.BasicTransform] = [
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=1.0),
            A.RandomGamma(gamma_limit=(70, 140), p=1.0),
            A.HueSaturationValue(hue_shift_limit=10, sat_shift_limit=30, val_shift_limit=0, p=1.0),
        ]
        self._colours: A.Compose = A.Compose(colours, additional_targets=both)

    def __call__(self, rainy: RGB8, clean: RGB8, seed: int) -> tuple[RGB8, RGB8]:
        """Augment two uint8 [H,W,3] pictures of one size to ``patch`` x ``patch``, or whole."""
        if self._whole:
            rainy, clean = shrink(rainy, self._whole), shrink(clean, self._whole)
            rows, columns = self._cut(rainy.shape[:2], np.random.default_rng([seed, _CUT]))
            rainy, clean = (self._extended(each)[rows, columns] for each in (rainy, clean))
        rainy, clean = _apply(self._pair, rainy, clean, seed)
        if self._flips:
            # albumentations would draw both flips and the place of the crop from equal numbers.
            down, right = np.random.default_rng([seed, _FLIPS]).choice((1, -1), 2)
            rainy, clean = (np.ascontiguousarray(each[::down, ::right]) for each in (rainy, clean))
        if self._share:
            rng = np.random.default_rng([seed, _COLOURS])
            if rng.random() < self._share:
                rainy, clean = _apply(self._colours, rainy, clean, int(rng.integers(2**31)))
        return rainy, clean

    def _cut(self, sides: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
        """Draw the slices that cut a picture's sides to multiples, from a random start."""
        cuts = []
        for side in sides:
            kept = max(side // self._multiple, 1) * self._multiple
            start = int(rng.integers(max(side - kept, 0) + 1))
            cuts.append(slice(start, start + kept))
        return tuple(cuts)

    def _extended(self, picture: RGB8) -> RGB8:
        """Extend sides that are shorter than the smallest multiple by reflection."""
        down, right = (max(self._multiple - side, 0) for side in picture.shape[:2])
        if not (down or right):
            return picture
        border = cv2.BORDER_REFLECT_101
        return np.asarray(cv2.copyMakeBorder(picture, 0, down, 0, right, border), np.uint8)


def _apply(steps: A.Compose, rainy: RGB8, clean: RGB8, seed: int) -> tuple[RGB8, RGB8]:
    steps.set_random_seed(seed)
    both = steps(image=rainy, clean=clean)
    return both["image"], both["clean"]
