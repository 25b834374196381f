"""Environment variables that libraries read once, when they are first imported."""

from __future__ import annotations

import os

__all__ = ["calm_openmp"]


def calm_openmp() -> None:
    """Let idle OpenMP threads sleep, unless the user chose otherwise; call it before torch loads.

    On a shared machine, threads that spin make small networks up to ten times slower.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
