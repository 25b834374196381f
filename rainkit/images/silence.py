"""Keeping OpenCV from writing to the terminal; rainkit's errors say what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["opencv_silent"]

_quiet = threading.Lock()


@contextmanager
def opencv_silent() -> Iterator[None]:
    """Silence OpenCV within a block; its log level belongs to the process and is restored."""
    log = cv2.utils.logging
    with _quiet:
        level = log.setLogLevel(log.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            log.setLogLevel(level)
