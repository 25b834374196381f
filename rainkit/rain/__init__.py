"""The physics of rain: drops, their streaks, the veil of distant rain, and how they blend.

All functions are pure functions of (picture, settings, seed) on numpy arrays. They use no files
and no global state.
"""

from __future__ import annotations

from rainkit.rain.bank import Bank
from rainkit.rain.distribution import RainDistribution
from rainkit.rain.render import RENDERER, Rendered, render
from rainkit.rain.settings import DEPTHLESS, LEVELS, PRESETS, Level, RainSettings

__all__ = [
    "DEPTHLESS",
    "LEVELS",
    "PRESETS",
    "RENDERER",
    "Bank",
    "Level",
    "RainDistribution",
    "RainSettings",
    "Rendered",
    "render",
]
