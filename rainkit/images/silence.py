"""Keeping decoders from writing to the terminal: errors say what they would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

__all__ = ["opencv_silent"]

_quiet = threading.Lock()


@contextmanager
def opencv_silent() -> Iterator[None]:
    """OpenCV's log level is the process's: it is lowered while it decodes, and put back."""
    log = cv2.utils.logging
    with _quiet:
        level = log.setLogLevel(log.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            log.setLogLevel(level)
