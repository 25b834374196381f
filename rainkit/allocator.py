"""Setting up the C library's memory allocator."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_large_blocks"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_large_blocks() -> None:
    """Keep glibc from handing every large array back to the system.

    It returns each of them and pays its page faults again for the next one; keeping them made
    512x512 inference 2 to 4 times and rain 2 times faster. Other C libraries are left alone.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
