"""Camera motion: measuring it, and finding the clips in which the camera stood still."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit import images

__all__ = ["STILL", "Pose", "Reference", "StillClip", "find_still_clips", "shrink"]

_SIDE = 480
"""Longest side in px of the grey pictures that are compared.

Rain moves an estimate on them by about 0.01 px, and an estimate takes a few milliseconds, whatever
the size of the video.
"""

_SMALL_SIDE = 48  # longest side of the pictures that show cuts and flashes, but no streaks
_CUT = 0.6  # correlation of two neighbouring small pictures below which they are of two shots
_ALIKE = 0.8  # correlation with the reference below which a frame shows something else
_FLASH = 8.0  # levels by which the light may differ from the reference's
_FAR = 0.02  # share of the longest side; registering a larger drift would crop too much
_FAST = 0.0008  # share of the longest side from frame to frame; faster motion blurs
_SLOW = 0.5  # px from frame to frame that are never too fast
_PATIENCE = 5  # frames in a row unlike the reference after which the scene counts as changed
_REPEATED = 0.02  # levels of mean difference below which a frame repeats the one before

Grey = NDArray[np.uint8]
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pose:
    """The place of the scene in a frame, relative to a reference.

    Attributes:
        dx: displacement to the right at the centre of the picture, in px.
        dy: displacement downwards, in px.
        rotation_deg: clockwise rotation about the centre in degrees.
    """

    dx: float
    dy: float
    rotation_deg: float

    def matrix(self, size: Size) -> NDArray[np.float64]:
        """Return the matrix [2, 3] from places (x, y) in a reference of ``size`` to the frame."""
        x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
        turn = math.radians(self.rotation_deg)
        cos, sin = math.cos(turn), math.sin(turn)
        return np.array(
            [
                [cos, -sin, x - cos * x + sin * y + self.dx],
                [sin, cos, y - sin * x - cos * y + self.dy],
            ]
        )

    def corners(self, size: Size) -> NDArray[np.float64]:
        """Return the displacement of the four corners of the picture, [4, 2] px."""
        right, low = size[0] - 1, size[1] - 1
        places = np.array([[0, 0, 1], [right, 0, 1], [0, low, 1], [right, low, 1]], np.float64)
        return places @ self.matrix(size).T - places[:, :2]

    def drift(self, size: Size) -> float:
        """Return the root mean square of the displacement of all points, in px."""
        turned = math.radians(self.rotation_deg) * math.hypot(*size)
        return math.sqrt(self.dx**2 + self.dy**2 + turned**2 / 12)


STILL = Pose(0.0, 0.0, 0.0)


class Reference:
    """A picture that frames are measured against."""

    def __init__(self, grey: NDArray[np.generic], size: Size) -> None:
        """Take a picture that :func:`shrink` made, and width and height of the full one."""
        self._grey = grey.astype(np.float32)
        self._small = (grey.shape[1], grey.shape[0])
        self._scale = size[0] / grey.shape[1]

    def find(self, grey: Grey, near: Pose = STILL) -> tuple[Pose, float] | None:
        """Measure a frame by the enhanced correlation coefficient, which ignores its brightness.

        Args:
            grey: the frame, shrunk.
            near: pose to start from.

        Returns:
            The pose in px of the full picture and the correlation after registration; None if the
            picture does not look like the reference.
        """
        start = Pose(near.dx / self._scale, near.dy / self._scale, near.rotation_deg)
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-4)
        try:
            alike, matrix = cv2.findTransformECC(
                self._grey,
                grey.astype(np.float32),
                start.matrix(self._small).astype(np.float32),
                cv2.MOTION_EUCLIDEAN,
                stop,
                np.full(grey.shape, 255, np.uint8),
                5,
            )
        except cv2.error:  # no common structure to follow
            return None
        turn = math.atan2(matrix[1, 0], matrix[0, 0])
        middle = np.array([(self._small[0] - 1) / 2, (self._small[1] - 1) / 2])
        dx, dy = (matrix[:, :2] @ middle + matrix[:, 2] - middle) * self._scale
        # Rounded below what a picture shows, so that the last bits of a sum do not matter.
        pose = Pose(round(float(dx), 4), round(float(dy), 4), round(math.degrees(turn), 5))
        return pose, float(alike)


@dataclass(slots=True)
class StillClip:
    """A clip of a video that shows one scene.

    Attributes:
        size: width and height in px.
        poses: poses, relative to the first one, of the frames in which the camera stood still.
        dropped: why other frames are left out, by number.
    """

    size: Size
    poses: dict[int, Pose] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)

    @property
    def spread_px(self) -> tuple[float, float]:
        """Median and greatest distance of the scene from its median place in px."""
        places = np.array([(pose.dx, pose.dy) for pose in self.poses.values()])
        away = np.hypot(*(places - np.median(places, axis=0)).T)
        return round(float(np.median(away)), 4), round(float(away.max()), 4)


def shrink(rgb: NDArray[np.uint8]) -> Grey:
    """Return a grey picture whose longest side is at most 480 px: [H, W, 3] -> [h, w]."""
    return images.shrink(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), _SIDE)


def find_still_clips(frames: Iterable[tuple[int, NDArray[np.uint8]]]) -> list[StillClip]:
    """Divide a video where its scene changes, and find the frames in which the camera stood still.

    A cut ends a clip, and so does a lasting change of the camera or the light. Frames are left out
    if they are ``moving`` (blurred by the camera's motion), ``moved`` (too far to register, or with
    something else in sight), of another ``light``, or ``repeated``.

    Args:
        frames: number and uint8 [H, W, 3] RGB of each frame; one is held at a time.
    """
    clips: list[StillClip] = []
    follower: _Follower | None = None
    for number, rgb in frames:
        size, grey = (rgb.shape[1], rgb.shape[0]), shrink(rgb)
        if follower is None or follower.is_over or follower.sees_cut(size, grey):
            follower = _Follower(size, grey)
            clips.append(follower.clip)
        follower.add(number, grey)
    return clips


class _Follower:
    """A clip that is followed from its first frame on."""

    def __init__(self, size: Size, grey: Grey) -> None:
        self.clip = StillClip(size)
        self._reference = Reference(grey, size)
        self._light = _small(grey)
        self._last: Grey | None = None
        self._pose: Pose | None = None  # of the frame before
        self._unlike = 0

    @property
    def is_over(self) -> bool:
        """True if the last frames have been unlike the first one for too long."""
        return self._unlike >= _PATIENCE

    def sees_cut(self, size: Size, grey: Grey) -> bool:
        """Return whether a frame belongs to another shot than the one before."""
        if size != self.clip.size:
            return True
        if self._last is None:
            return False
        before, now = (g - g.mean() for g in (_small(self._last), _small(grey)))
        norm = math.sqrt(float((before**2).sum() * (now**2).sum()))
        return norm > 0 and float((before * now).sum()) < _CUT * norm

    def add(self, number: int, grey: Grey) -> None:
        """Measure a frame, and keep it or note why not."""
        found = self._reference.find(grey, self._pose or STILL)
        pose = found[0] if found is not None and found[1] >= _ALIKE else None
        reason = self._judge(grey, pose)
        self._unlike = self._unlike + 1 if reason in ("moved", "light") else 0
        if reason == "moving" and number - 1 in self.clip.poses:
            del self.clip.poses[number - 1]  # the motion had begun
            self.clip.dropped[number - 1] = reason
        if pose is not None and not reason:
            self.clip.poses[number] = pose
        else:
            self.clip.dropped[number] = reason
        self._last, self._pose = grey, pose

    def _judge(self, grey: Grey, pose: Pose | None) -> str:
        size = self.clip.size
        if pose is None or pose.drift(size) > _FAR * max(size):
            return "moved"
        if abs(float(np.median(_small(grey) - self._light))) > _FLASH:
            return "light"
        if self._last is not None and float(cv2.absdiff(grey, self._last).mean()) < _REPEATED:
            return "repeated"
        if self._pose is not None:
            step = math.hypot(pose.dx - self._pose.dx, pose.dy - self._pose.dy)
            if step > max(_SLOW, _FAST * max(size)):
                return "moving"
        return ""


def _small(grey: Grey) -> NDArray[np.float32]:
    return images.shrink(grey, _SMALL_SIDE).astype(np.float32)
