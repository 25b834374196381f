"""Rain: drops from a rain rate, their streaks, the veil behind them, and how they blend.

Pure functions of (picture, settings, seed) on numpy arrays: no files, no global state.
"""

from __future__ import annotations

from rainkit.rain.bank import Bank
from rainkit.rain.mixture import Mixture
from rainkit.rain.render import RENDERER, Rendered, render
from rainkit.rain.settings import DEPTHLESS, LEVELS, PRESETS, Level, RainSettings

__all__ = [
    "DEPTHLESS",
    "LEVELS",
    "PRESETS",
    "RENDERER",
    "Bank",
    "Level",
    "Mixture",
    "RainSettings",
    "Rendered",
    "render",
]
