"""Matching the tone of a pair: the clean picture gets the tone of the rainy one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.images import RGB8

__all__ = ["apply_curve", "tone_curve"]

_Curve = NDArray[np.uint8]

_BINS = 32
_PERCENTILE = 15.0
_SMALLEST_BIN = 1 / 2000
"""Bins with a smaller fraction of the picture's pixels are joined with the next one."""


def tone_curve(clean: RGB8, rainy: RGB8) -> _Curve:
    """Return the monotone curve of each channel that gives the clean picture the rainy one's tone.

    In some datasets (Rain800), rainy pictures are darker than the clean ones, each by another
    curve, although rain only adds light. A network that is trained on such pairs learns to undo
    that tone, and changes the tone of every other photograph, too. After this curve is applied to
    the clean picture, the two pictures differ by the rain alone.

    Since rain adds light, the dry pixels are the darker ones among those with the same clean value:
    the curve leads from the 15th percentile of each bin of clean values to the 15th percentile of
    the rainy values of the same pixels. It continues beyond the outermost bins with their slope.
    Where streaks cover nearly everything, even these pixels are brighter than the scene. So the
    curve never brightens: what makes a picture brighter is rain, and has no place in the target.

    Args:
        clean: the clean picture, uint8 [H,W,3].
        rainy: the same scene with rain, of the same size.

    Returns:
        The new level of each level of each channel, uint8 [3,256]; see :func:`apply_curve`.
    """
    if clean.shape != rainy.shape:
        raise ValueError(f"two pictures of one size are needed, not {clean.shape}, {rainy.shape}")
    return np.stack([_curve(clean[..., k].ravel(), rainy[..., k].ravel()) for k in range(3)])


def apply_curve(picture: RGB8, curve: _Curve) -> RGB8:
    """Apply the curves of :func:`tone_curve` to the channels of a picture, uint8 [H,W,3]."""
    table = np.ascontiguousarray(curve.T).reshape(1, 256, 3)
    return np.asarray(cv2.LUT(np.ascontiguousarray(picture), table), np.uint8)


def _curve(clean: NDArray[np.uint8], rainy: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from scipy.optimize import isotonic_regression

    # Rows are clean levels and columns rainy ones, so a bin's percentiles follow from its rows.
    joint = np.bincount(clean.astype(np.intp) * 256 + rainy, minlength=1 << 16)
    joint = joint.reshape(_BINS, 256 // _BINS, 256)
    before, after, counts = [], [], []
    for rows, first in _joined(joint, max(clean.size * _SMALLEST_BIN, 1.0)):
        before.append(first + _percentile(rows.sum(1)))
        after.append(_percentile(rows.sum(0)))
        counts.append(int(rows.sum()))
    levels = isotonic_regression(after, weights=counts).x
    curve = np.interp(np.arange(256), before, levels)
    low, high = 1.0, 1.0
    if len(before) > 1:
        slopes = np.diff(levels) / np.diff(before)
        low, high = np.clip(slopes[[0, -1]], 0.5, 2.0)
    below = np.arange(256) < before[0]
    above = np.arange(256) > before[-1]
    curve[below] = levels[0] - low * (before[0] - np.arange(256)[below])
    curve[above] = levels[-1] + high * (np.arange(256)[above] - before[-1])
    curve = np.minimum(curve, np.arange(256))
    return np.asarray(np.rint(np.clip(curve, 0, 255)), np.uint8)


def _joined(joint: NDArray[np.intp], least: float) -> list[tuple[NDArray[np.intp], int]]:
    """Return runs of bins with at least ``least`` pixels, each with its first clean level."""
    width = joint.shape[1]
    runs: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(joint) + 1):
        if joint[start:end].sum() >= least:
            runs.append((start, end))
            start = end
    if start < len(joint) and joint[start:].sum():
        begin = runs.pop()[0] if runs else start
        runs.append((begin, len(joint)))
    return [(joint[a:b].reshape(-1, 256), a * width) for a, b in runs]


def _percentile(counts: NDArray[np.intp]) -> float:
    """Return the percentile of levels 0, 1, 2, ... that occur ``counts`` times.

    A level stands for the interval around it, so that the result is not an integer.
    """
    ends = np.cumsum(counts)
    wanted = ends[-1] * _PERCENTILE / 100
    level = int(np.searchsorted(ends, wanted))
    within = (wanted - (ends[level] - counts[level])) / counts[level]
    return level - 0.5 + float(within)
