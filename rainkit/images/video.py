"""Decoding of video files, frame by frame."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.errors import ImageError
from rainkit.images.read import opencv_silent

__all__ = ["read_frames"]


def read_frames(
    path: Path, wanted: Collection[int] | None = None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the number and the upright picture of each frame.

    Args:
        path: a file in any format that OpenCV's FFmpeg reads.
        wanted: numbers of the frames to yield; None for all. Converting the others to RGB is saved.

    Yields:
        The number of the frame, from 0, and its picture, uint8 [H, W, 3] RGB.

    Raises:
        ImageError: There is no such file, or no frame of it can be decoded.
    """
    # FFmpeg would write to the terminal, too; it reads this when it opens its first file.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if not path.is_file():
        raise ImageError(f"{path}: no such file; name a video")
    if not path.stat().st_size:
        raise ImageError(f"{path}: is empty (0 bytes)")
    with opencv_silent():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    last = None if wanted is None else max(wanted, default=-1)
    number = 0
    try:
        while capture.grab():
            if wanted is None or number in wanted:
                decoded, picture = capture.retrieve()
                if decoded:
                    yield number, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            if number == last:
                return
            number += 1
    finally:
        capture.release()
    if not number:
        raise ImageError(f"{path}: cannot be decoded as a video; convert it to MP4 (H.264)")
