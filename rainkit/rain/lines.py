"""Streaks as programs for pictures draw them: straight lines of even light, as in Rain100H.

Drops that fall before a camera are bright in the middle of their streaks and fade at both ends.
Lines are not: each is as bright at its ends as in its middle, longer, and crosses others.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.rain.weather import log_uniform

__all__ = ["draw_lines"]

_SHIFT = 4  # places after the point of coordinates, in bits
_LAYERS = (0.35, 0.4, 0.25)  # how likely one, two and three directions are
_PLANES = 3  # lines of one plane hide each other, and those of another add to them
_BANDS = 0.4  # share of layers with wide, faint bands behind the lines


def draw_lines(
    height: int, width: int, rng: np.random.Generator, *, roll_deg: float, strength: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Draw lines of one to three directions.

    Args:
        height: height in px.
        width: width in px.
        rng: what all choices are drawn from.
        roll_deg: tilt of the first direction from vertical in degrees.
        strength: factor on the light of all lines.

    Returns:
        The share of each pixel that lines cover, uint8 [height, width] in steps of 1/255.
    """
    clear = np.full((height, width), 255, np.uint8)
    layers = 1 + int(rng.choice(len(_LAYERS), p=_LAYERS))
    for layer in range(layers):
        tilt = roll_deg + (rng.normal(0.0, 16.0) if layer else 0.0)
        share = log_uniform(rng, 0.25, 0.85) / layers**0.7
        light = strength * log_uniform(rng, 0.095, 0.24)
        thick = log_uniform(rng, 0.45, 1.25)
        long = log_uniform(rng, 45.0, 450.0)
        spread = rng.uniform(0.0, 2.0)
        for _ in range(_PLANES):
            plane = _plane(height, width, rng, tilt, spread, share / _PLANES, (long, thick, light))
            clear = _behind(clear, plane)
        if rng.random() < _BANDS:
            band = (2.0 * long, 6.0 * thick, 0.35 * light)
            plane = _plane(height, width, rng, tilt, spread, 0.5 * share, band)
            clear = _behind(clear, plane)
    return np.asarray(cv2.bitwise_not(clear), np.uint8)


def _behind(clear: npt.NDArray[np.uint8], plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the share of each pixel that stays uncovered once a plane of lines is added."""
    return np.asarray(cv2.multiply(clear, cv2.bitwise_not(plane), scale=1 / 255), np.uint8)


def _plane(
    height: int,
    width: int,
    rng: np.random.Generator,
    tilt_deg: float,
    spread_deg: float,
    share: float,
    typical: tuple[float, float, float],
) -> npt.NDArray[np.uint8]:
    """Draw lines that hide each other.

    Args:
        height: height in px.
        width: width in px.
        rng: what all choices are drawn from.
        tilt_deg: mean tilt of the lines from vertical in degrees.
        spread_deg: standard deviation of the tilt.
        share: area of all lines, in areas of the picture.
        typical: length and width in px, and the share of a pixel that a line covers.
    """
    long, thick, light = typical
    # Lines that begin outside reach into the picture.
    area = (height + long) * (width + long)
    number = int(rng.poisson(share * area / (long * thick)))
    angle = np.radians(rng.normal(tilt_deg, spread_deg, number))
    x = rng.uniform(-long / 2, width + long / 2, number)
    y = rng.uniform(-long / 2, height + long / 2, number)
    length = long * rng.uniform(0.4, 1.6, number)
    half = thick * rng.uniform(0.5, 1.5, number) / 2
    cover = np.clip(light * rng.lognormal(-0.1, 0.45, number), 0.0, 1.0)
    along = np.stack([np.sin(angle), np.cos(angle)], 1) * (length / 2)[:, None]
    across = np.stack([np.cos(angle), -np.sin(angle)], 1) * half[:, None]
    middle = np.stack([x, y], 1)
    corners = np.stack(
        [
            middle - along - across,
            middle - along + across,
            middle + along + across,
            middle + along - across,
        ],
        1,
    )
    points = np.rint(corners * (1 << _SHIFT)).astype(np.int32)
    plane = np.zeros((height, width), np.uint8)
    for line, value in zip(points, np.rint(cover * 255).tolist(), strict=True):
        cv2.fillConvexPoly(plane, line, value, cv2.LINE_AA, _SHIFT)
    return plane
