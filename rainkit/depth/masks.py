"""Sky and road masks: the pixels that look like sky or road by colour, smoothness and position.

All arithmetic is on integers, so that every processor gives the same masks.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from rainkit.depth.depth_map import Mask
from rainkit.images import RGB8

__all__ = [
    "SceneMasks",
    "shrink_by_halves",
    "sky_and_road",
    "sky_mask",
]


LONGEST_SIDE = 256  # px; finer detail does not help to tell sky from road
_SKY_ENDS = 0.75  # share of the height below which nothing is sky
_ROAD_STARTS = 0.5  # share of the height above which nothing is road
_ROAD_REACHES = 0.85  # share of the height that a road reaches; the camera car's bonnet may follow
_BETWEEN_LEAVES = 12  # px of the small picture around sky in which rough pixels may be sky, too
_SMALLEST = 0.01  # share of the picture; smaller patches are walls, shirts and paper


class SceneMasks(NamedTuple):
    """Masks [h, w] of the pixels of a small picture that look like sky and like road."""

    sky: Mask
    road: Mask

    @property
    def share(self) -> float:
        """Share of the pixels that look like either."""
        return float(np.count_nonzero(self.sky | self.road)) / self.sky.size


def shrink_by_halves(clean: RGB8) -> tuple[RGB8, int]:
    """Shrink a picture [H, W, 3] by a power of two to at most 256 px a side.

    Edges are repeated to complete the last blocks, so that block (i, j) becomes pixel (i, j).

    Returns:
        The small picture and the power of two.
    """
    height, width = clean.shape[:2]
    factor = 1
    while max(height, width) > LONGEST_SIDE * factor:
        factor *= 2
    if factor == 1:
        return np.ascontiguousarray(clean), 1
    below, right = -height % factor, -width % factor
    whole = cv2.copyMakeBorder(clean, 0, below, 0, right, cv2.BORDER_REPLICATE)
    size = whole.shape[1] // factor, whole.shape[0] // factor
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8), factor


def sky_and_road(small: RGB8) -> SceneMasks:
    """Return the masks of sky and road in a small picture, uint8 [h, w, 3] RGB.

    Sky is fairly smooth, cool and brighter than most of the picture, or blue, and touches the top
    edge. Road is grey and smooth, and reaches the bottom.
    """
    height = small.shape[0]
    red, green, blue = (channel.astype(np.int16) for channel in cv2.split(small))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    rough = cv2.medianBlur(edges, 3)
    bright = int(np.median(grey)) + 10
    cool = blue >= red - 10

    overcast = (rough < 18) & (grey >= max(100, bright)) & (cool | (grey >= 210))
    cloud = (rough < 40) & (grey >= max(160, bright)) & cool
    clear = (rough < 40) & (blue > red + 20) & (blue >= green) & (blue >= 60)
    sky = overcast | cloud | clear
    sky[round(_SKY_ENDS * height) :] = False
    sky = _touching(sky, slice(0, 2))

    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    road = (rough < 20) & (chroma < 36) & (grey > 25) & (grey < 235) & ~sky
    road[: round(_ROAD_STARTS * height)] = False
    return SceneMasks(sky, _touching(road, slice(round(_ROAD_REACHES * height), None)))


def sky_mask(clean: RGB8) -> Mask:
    """Return the mask [H, W] of the pixels of a picture [H, W, 3] that look like sky."""
    small, factor = shrink_by_halves(clean)
    sky = sky_and_road(small).sky
    if not sky.any():
        return np.zeros(clean.shape[:2], bool)
    darkest, brightest = np.percentile(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[sky], (10, 90))
    reach = np.ones((2 * _BETWEEN_LEAVES + 1,) * 2, np.uint8)
    near = cv2.dilate(sky.astype(np.uint8), reach)
    near[np.flatnonzero(sky.any(axis=1))[-1] + 1 :] = 0  # the ground
    sky, near = (
        np.asarray(mask, bool)
        .repeat(factor, 0)
        .repeat(factor, 1)[: clean.shape[0], : clean.shape[1]]
        for mask in (sky, near)
    )
    grey = cv2.cvtColor(clean, cv2.COLOR_RGB2GRAY)
    alike = (grey >= darkest - 10) & (grey <= brightest + 10)
    alike &= clean[..., 2] >= np.maximum(clean[..., 0], 10) - 10
    return np.asarray(sky | (near & alike), bool)


def _touching(mask: Mask, rows: slice) -> Mask:
    """Return the larger connected patches of a mask that reach into the given rows."""
    count, labels, patches, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4
    )
    keep = np.zeros(count, bool)
    keep[np.unique(labels[rows])] = True
    keep &= patches[:, cv2.CC_STAT_AREA] >= _SMALLEST * mask.size
    keep[0] = False  # label 0 is the background
    return np.asarray(keep[labels], bool)
