"""Paired augmentation: flips and turns, scaling before and after the rain, noise and sharpening.

Every draw comes from the sample's own seed, so that a sample has the same pixels for any number of
workers.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from rainkit.api import Training
from rainkit.images import RGB8, shrink

if TYPE_CHECKING:
    import albumentations as A

# Otherwise albumentations asks the network for its newest version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__all__ = [
    "Augmentation",
    "Enlargement",
    "SensorNoise",
    "Sharpening",
    "shrunk_pieces",
]


# Numbers that extend a sample's seed; the place of the crop takes the seed alone, enlargement 3,
# textures 5, sensor noise 6, lines of the scene 7 and sharpening 8.
_CUT, _COLOURS, _FLIPS = 1, 2, 4


class Augmentation:
    """A random square crop of both pictures, followed by flips, or by flips and quarter turns.

    Quarter turns make rain horizontal, so that a network learns to take horizontal lines of the
    scene for rain. Flips keep rain near the vertical, and a horizontal flip alone lets it fall
    down, too.

    Pictures smaller than the crop are extended by reflection. A crop whose side is
    ``training.crop`` is resized to ``training.patch``. With ``training.whole``, pictures
    are not cropped to squares but shrunk to that longest side, and their sides are cut to a
    multiple. In the share ``training.photometric`` of samples, brightness, contrast, gamma, hue and
    saturation of both pictures change alike.

    Args:
        training: settings that select these steps.
        multiple_of: number that the sides of whole pictures are multiples of.
    """

    def __init__(self, training: Training, *, multiple_of: int = 1) -> None:
        self._whole, self._multiple = training.whole, multiple_of
        self._share = training.photometric
        self._patch, self._crop = training.patch, training.crop or training.patch
        self._flips = training.augment in ("flips", "hflip")
        self._down = training.augment == "flips"
        self._turns = _turns(training) if training.augment == "d4" else None
        self._colours = _colours() if training.photometric else None

    def __call__(self, rainy: RGB8, clean: RGB8, seed: int) -> tuple[RGB8, RGB8]:
        """Augment two uint8 [H,W,3] pictures of one size to ``patch`` x ``patch``, or whole."""
        augmented = self._augmented((rainy,) if rainy is clean else (rainy, clean), seed)
        return augmented[0], augmented[-1]

    def _augmented(self, pictures: Sequence[RGB8], seed: int) -> Sequence[RGB8]:
        """Augment one picture, or two alike."""
        if self._whole:
            pictures = [shrink(each, self._whole) for each in pictures]
            rows, columns = self._cut(pictures[0].shape[:2], np.random.default_rng([seed, _CUT]))
            pictures = [self._extended(each)[rows, columns] for each in pictures]
        if self._turns is not None:
            pictures = _apply(self._turns, pictures, seed)
        elif not self._whole:
            pictures = self._squares(pictures, seed)
        if self._flips:
            # Other numbers than those that the place of the crop was drawn from.
            down, right = np.random.default_rng([seed, _FLIPS]).choice((1, -1), 2)
            down = down if self._down else 1
            pictures = [np.ascontiguousarray(each[::down, ::right]) for each in pictures]
        if self._colours is not None:
            rng = np.random.default_rng([seed, _COLOURS])
            if rng.random() < self._share:
                pictures = _apply(self._colours, pictures, int(rng.integers(2**31)))
        return pictures

    def _squares(self, pictures: Sequence[RGB8], seed: int) -> Sequence[RGB8]:
        """Return a random square of pictures of one size, extended and resized if necessary.

        It has the pixels that albumentations' PadIfNeeded, RandomCrop and Resize give for the seed,
        whose overhead is half a millisecond a sample.
        """
        crop, patch = self._crop, self._patch
        height, width = pictures[0].shape[:2]
        down, right = max(crop - height, 0), max(crop - width, 0)
        if down or right:
            before = down // 2, right // 2
            after = down - before[0], right - before[1]
            edges = before[0], after[0], before[1], after[1]
            border = cv2.BORDER_REFLECT_101
            pictures = [_array(cv2.copyMakeBorder(each, *edges, border)) for each in pictures]
        draw = random.Random(seed)
        top, left = (int(draw.random() * (max(side, crop) - crop + 1)) for side in (height, width))
        squares = [each[top : top + crop, left : left + crop] for each in pictures]
        if crop == patch:
            return squares
        how = cv2.INTER_AREA if crop > patch else cv2.INTER_CUBIC
        return [_array(cv2.resize(each, (patch, patch), interpolation=how)) for each in squares]

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


def _turns(training: Training) -> A.Compose:
    """Return albumentations' random crop, or none of whole pictures, with flips and turns."""
    import albumentations as A

    steps: list[A.BasicTransform] = []
    if not training.whole:
        patch = training.patch
        crop = training.crop or patch
        border = cv2.BORDER_REFLECT_101
        steps += [A.PadIfNeeded(crop, crop, border_mode=border), A.RandomCrop(crop, crop)]
        if crop != patch:
            how = cv2.INTER_AREA if crop > patch else cv2.INTER_CUBIC
            steps.append(A.Resize(patch, patch, interpolation=how))
    return A.Compose([*steps, A.D4(p=1.0)], additional_targets=_BOTH)


def _colours() -> A.Compose:
    """Return albumentations' changes of brightness, contrast, gamma, hue and saturation."""
    import albumentations as A

    steps: list[A.BasicTransform] = [
        A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=1.0),
        A.RandomGamma(gamma_limit=(70, 140), p=1.0),
        A.HueSaturationValue(hue_shift_limit=10, sat_shift_limit=30, val_shift_limit=0, p=1.0),
    ]
    return A.Compose(steps, additional_targets=_BOTH)


_BOTH = {"clean": "image"}


def _apply(steps: A.Compose, pictures: Sequence[RGB8], seed: int) -> Sequence[RGB8]:
    steps.set_random_seed(seed)
    both = steps(image=pictures[0], clean=pictures[-1])
    return both["image"], both["clean"]


def _array(picture: Any) -> RGB8:
    return np.asarray(picture, np.uint8)


_ENLARGEMENT = 3  # extends a sample's seed, see rainkit.datasets.sources.augmentation
_LEAST, _MOST = 1.1, 2.5


@dataclass(frozen=True, slots=True)
class Enlargement:
    """An enlargement of a degraded crop together with its clean crop.

    Photographs on the web have often been enlarged after they were taken in the rain, so that their
    streaks are wide and soft.

    Attributes:
        patch: side of the enlarged crop in px.
        factor: factor by which the sides grow.
        interpolation: OpenCV's constant for the interpolation.
    """

    patch: int
    factor: float
    interpolation: int

    @classmethod
    def draw(cls, share: float, patch: int, seed: int) -> Enlargement | None:
        """Draw an enlargement for a share of samples; other draws do not depend on the share."""
        if not share:
            return None
        rng = np.random.default_rng([seed, _ENLARGEMENT])
        if rng.random() >= share:
            return None
        factor = float(rng.uniform(_LEAST, _MOST))
        return cls(patch, factor, cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR)

    def cut(self, crop: RGB8) -> RGB8:
        """Return the middle of a crop, which fills the patch once it is enlarged."""
        side = math.ceil(self.patch / self.factor)
        start = (self.patch - side) // 2
        return np.ascontiguousarray(crop[start : start + side, start : start + side])

    def apply(self, crop: RGB8) -> RGB8:
        """Enlarge the middle that :meth:`cut` returned."""
        size = (self.patch, self.patch)
        return np.asarray(cv2.resize(crop, size, interpolation=self.interpolation), np.uint8)


_SENSOR = 6  # extends a sample's seed
_FAINTEST = 0.7  # levels


@dataclass(frozen=True, slots=True)
class SensorNoise:
    """The noise of a sensor, the same in both pictures of a pair, so that it is not learned away.

    Attributes:
        sigma: standard deviation in grey levels (0 to 255).
        seed: seed of the noise.
    """

    sigma: float
    seed: int

    @classmethod
    def draw(cls, share: float, most: float, seed: int) -> SensorNoise | None:
        """Draw noise for a share of samples; other draws do not depend on the share.

        The deviation is log-uniform up to ``most`` levels.
        """
        if not share:
            return None
        rng = np.random.default_rng([seed, _SENSOR])
        if rng.random() >= share:
            return None
        low = min(_FAINTEST, most)
        return cls(low * (most / low) ** rng.random() if low else 0.0, seed)

    def over(self, rainy: RGB8, clean: RGB8) -> tuple[RGB8, RGB8]:
        """Add the noise to two pictures of one size, [H, W, 3]; most of it is grey."""
        rng = np.random.default_rng([self.seed, _SENSOR, 1])
        grain = rng.standard_normal((*clean.shape[:2], 4), np.float32) * np.float32(self.sigma)
        noise = np.rint(0.8 * grain[..., :1] + 0.6 * grain[..., 1:]).astype(np.int16)
        noisy = (np.clip(each + noise, 0, 255).astype(np.uint8) for each in (rainy, clean))
        return next(noisy), next(noisy)


_SHARPENING = 8  # extends a sample's seed
_AMOUNTS, _SIGMAS = (0.3, 3.0), (0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Sharpening:
    """An unsharp mask over both pictures of a pair, as cameras and editors lay it over photographs.

    It brightens streaks and gives them dark rims, which a network must take off with them.

    Attributes:
        amount: factor on what is added, the difference to the blurred picture.
        sigma: standard deviation of that blur in px.
    """

    amount: float
    sigma: float

    @classmethod
    def draw(cls, share: float, seed: int) -> Sharpening | None:
        """Draw a mask for a share of samples; other draws do not depend on the share."""
        if not share:
            return None
        rng = np.random.default_rng([seed, _SHARPENING])
        if rng.random() >= share:
            return None
        amount, sigma = (low * (high / low) ** rng.random() for low, high in (_AMOUNTS, _SIGMAS))
        return cls(amount, sigma)

    def apply(self, crop: RGB8) -> RGB8:
        """Return a sharpened crop, [H, W, 3]."""
        blurred = cv2.GaussianBlur(crop, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT_101)
        sharp = cv2.addWeighted(crop, 1 + self.amount, blurred, -self.amount, 0.0)
        return np.asarray(sharp, np.uint8)


def shrunk_pieces(
    *pictures: RGB8,
    scale: float,
    patch: int,
    rng: np.random.Generator,
    change: Callable[[int, RGB8], RGB8] = lambda _, picture: picture,
) -> tuple[tuple[RGB8, ...], int]:
    """Return the same piece of several pictures of one size, shrunk, and the new longest side.

    The pieces are ``patch`` x ``patch``. Only they are resized, since that takes long for a whole
    picture. The scale is raised if the shorter side would be less than ``patch``; pictures that
    keep their size are returned whole.

    Args:
        pictures: the pictures, uint8 [H,W,3].
        scale: factor of their sides, at most 1.
        patch: side of the pieces in px.
        rng: generator for the place of the pieces.
        change: called with the number of each picture and the part of it that is used, before it is
            resized; returns that part with other colours.
    """
    height, width = pictures[0].shape[:2]
    scale = max(scale, min(1.0, patch / min(height, width)))
    size = (round(width * scale), round(height * scale))
    if size == (width, height):
        return tuple(change(n, each) for n, each in enumerate(pictures)), max(size)
    side = min(math.ceil(patch / scale), height, width)
    top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
    small: list[Any] = [
        cv2.resize(
            change(n, picture[top : top + side, left : left + side]),
            (patch, patch),
            interpolation=cv2.INTER_AREA,
        )
        for n, picture in enumerate(pictures)
    ]
    return tuple(np.asarray(each, np.uint8) for each in small), max(size)
